"""Stage: turn a validated COCO dataset into records, with boxes alone for training."""

import json
from pathlib import Path

from tasks.data.coco import category_names, read_split, to_records
from tasks.data.commit import commit_directory, verify_directory
from tasks.data.importing import DATASET_SCHEMA, SPLITS
from tasks.data.prepared import PREPARED_SCHEMA, AboutDataset, SplitCounts, dump_records
from tasks.data.strict_json import read_json
from tasks.data.validation import VALIDATION_SCHEMA
from tasks.errors import DataError
from tasks.stages._command import run_stage

_WITH_MASKS = {"train": False, "val": True}


def run(*, dataset: Path, validation: Path, out: Path) -> None:
    """Write ``train.jsonl`` without masks, ``val.jsonl`` with masks, and ``dataset.json``.

    No byte of ``train.jsonl`` depends on a mask: neither masks nor areas are read for it.
    """
    manifest = verify_directory(dataset, schema=DATASET_SCHEMA)
    _check_validation(validation, manifest.sha256)
    splits = {name: read_split(dataset, name) for name in SPLITS}
    sha256 = {name: entry[0] for name, entry in manifest.files.items()}
    records = {name: to_records(split, sha256, masks=_WITH_MASKS[name]) for name, split in splits.items()}
    about = AboutDataset(
        dataset_sha256=manifest.sha256,
        categories=category_names(splits["train"]),
        splits={
            name: SplitCounts(images=len(items), regions=sum(len(item.regions) for item in items))
            for name, items in records.items()
        },
    )

    def write(folder: Path) -> None:
        for name, items in records.items():
            (folder / f"{name}.jsonl").write_bytes(dump_records(items))
        (folder / "dataset.json").write_text(json.dumps(about.to_json(), indent=1) + "\n")

    commit_directory(out, write, schema=PREPARED_SCHEMA, provenance={"dataset_sha256": manifest.sha256})


def _check_validation(validation: Path, dataset_sha256: str) -> None:
    """Refuse data that nobody checked.

    Raises:
        DataError: If the report is for other data, or does not say that all rules held.
    """
    report = read_json(validation)
    if not isinstance(report, dict) or report.get("schema") != VALIDATION_SCHEMA:
        raise _refused(validation, f"is not a report with schema {VALIDATION_SCHEMA!r}.")
    if report.get("dataset_sha256") != dataset_sha256:
        raise _refused(
            validation, f"is about dataset {report.get('dataset_sha256')}, this one is {dataset_sha256}."
        )
    if report.get("passed") is not True:
        raise _refused(validation, "says that the dataset did not pass.")


def _refused(validation: Path, message: str) -> DataError:
    return DataError(message, obj=str(validation), hint="Run `dvc repro validate_coco`.")


if __name__ == "__main__":
    run_stage(run)
