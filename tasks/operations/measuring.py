"""Measure any model on any version of the data, with the very stages of the graph, outside the graph.

What was measured once is found again by the identities of everything that went into it: model, dataset,
prepared records, metric definition and code. It is verified before it is used again.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evaluation.definition import DETECTION
from tasks.data.commit import hash_file, read_manifest, verify_directory
from tasks.data.importing import DATASET_SCHEMA
from tasks.data.prepared import PREPARED_SCHEMA, read_about
from tasks.errors import GroundworkError, UnavailableError
from tasks.operations import layout
from tasks.operations.checking import CONTRACT
from tasks.operations.data_versions import open_version
from tasks.operations.locating import LocatedModel, find_model
from tasks.operations.stage_runs import Inputs, code_identity, predict_and_evaluate, run_stage
from tasks.services.settings import Settings

EVALUATION_SCHEMA = "groundwork.evaluation/1"
_MEASURING = ("predict_masks", "evaluate_detection")
_PREPARING = ("validate_coco", "prepare_coco")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredModel:
    """A model, what it was measured on, and what came of it."""

    name: str
    """As it was asked for: a path, ``champion``, a bundle id or ``models:/...``."""
    model: Path
    """Verified directory of the model."""
    model_sha256: str
    evaluation: Path
    """Committed directory with metrics.json, per_image.parquet, matches.parquet and curves.json."""
    predictions: Path
    """predictions.jsonl behind it."""
    records: Path
    """Prepared records of the val split."""
    about: Path
    """dataset.json beside them."""
    dataset: Path
    """Directory of the images."""
    dataset_sha256: str
    """Identity of the dataset, ``Manifest.sha256``."""
    bundle_id: str | None = None
    """The bundle that the model is part of, where it was found through one."""
    sequence: int | None = None
    """Entry of the ledger that made it champion, where it was asked for as the champion."""


def measure_model(
    model: str,
    repository: Path,
    settings: Settings,
    *,
    data: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> MeasuredModel:
    """Predict and evaluate on the val split; done before with the same bytes and code, it is reused.

    Args:
        model: A model directory, ``champion``, a bundle id, or a version of the model registry:
            ``models:/<name>/<version>`` or ``models:/<name>@<alias>``.
        repository: Root of the project. Nothing in it is changed.
        settings: Where things are kept.
        data: At least 8 digits of the sha256 that ``groundwork data show`` prints, or a git revision. None:
            the data of the checkout.
        say: Told what is going on.

    Raises:
        UnavailableError: If there is no such model, its store or the remote does not answer, or a stage
            failed.
        UsageError: If the data version is unknown or ambiguous.
        DataError: If the data breaks a rule.
        IntegrityError: If model or data were changed, or the model knows other categories.
    """
    located = find_model(model, settings)
    inputs, dataset_sha256 = data_inputs(repository, settings, data=data, say=say)
    place = evaluation_place(located.sha256, inputs, repository, settings)
    if _is_measured(place, located, dataset_sha256, say):
        say(f"evaluation of {model}: reused, model and data unchanged")
    else:
        say(f"evaluating {model} on {'the current data' if data is None else f'data {data}'}")
        predict_and_evaluate(place, located.folder, inputs, repository)
    return MeasuredModel(
        name=model,
        model=located.folder,
        model_sha256=located.sha256,
        evaluation=place / "evaluation",
        predictions=place / "predictions.jsonl",
        records=inputs.records,
        about=inputs.about,
        dataset=inputs.dataset,
        dataset_sha256=dataset_sha256,
        bundle_id=located.bundle_id,
        sequence=located.sequence,
    )


def data_inputs(
    repository: Path,
    settings: Settings,
    *,
    data: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple[Inputs, str]:
    """Return validated and prepared data, and the identity of its dataset.

    The data of the checkout is taken as the graph prepared it, if that is of the dataset in ``data/``.

    Raises:
        UnavailableError: If there is no data, or the remote does not answer.
        UsageError: If the version is unknown or ambiguous.
        DataError: If the data breaks a rule.
        IntegrityError: If it was changed.
    """
    if data is not None:
        dataset, sha256 = open_version(data, repository, settings, say=say)
        return _prepare(dataset, sha256, repository, settings, say), sha256
    dataset, about = repository / layout.DATASET, repository / layout.ABOUT
    if not dataset.exists():
        raise UnavailableError(
            "there is no dataset yet.",
            obj=str(dataset),
            hint="Run `groundwork data add FOLDER` or `groundwork data pull`.",
        )
    sha256 = verify_directory(dataset, schema=DATASET_SCHEMA).sha256
    if about.exists() and read_about(about).dataset_sha256 == sha256:
        return Inputs(records=repository / layout.VAL_RECORDS, about=about, dataset=dataset), sha256
    return _prepare(dataset, sha256, repository, settings, say), sha256


def _prepare(
    dataset: Path, sha256: str, repository: Path, settings: Settings, say: Callable[[str], None]
) -> Inputs:
    """Validate and prepare a verified dataset; done before with the same code, it is reused."""
    code = code_identity(repository, _PREPARING)
    place = settings.home / "prepared" / f"{sha256[:16]}-{code[:16]}"
    prepared = place / "prepared"
    inputs = Inputs(
        records=prepared / layout.VAL_RECORDS.name, about=prepared / layout.ABOUT.name, dataset=dataset
    )
    if not _is_prepared(prepared, sha256):
        say(f"validating and preparing dataset {sha256[:12]}")
        report = place / "validation" / "report.json"
        run_stage(repository, "validate_coco", "--dataset", dataset, "--contract", repository / CONTRACT,
                  "--out", report)  # fmt: skip
        run_stage(repository, "prepare_coco", "--dataset", dataset, "--validation", report,
                  "--out", prepared)  # fmt: skip
    return inputs


def _is_prepared(folder: Path, dataset_sha256: str) -> bool:
    try:
        manifest = verify_directory(folder, schema=PREPARED_SCHEMA)
    except GroundworkError:
        return False
    return bool(manifest.provenance.get("dataset_sha256") == dataset_sha256)


def evaluation_place(model_sha256: str, inputs: Inputs, repository: Path, settings: Settings) -> Path:
    """Return where an evaluation is kept: under the identities of all that its numbers depend on."""
    files = [hash_file(path) if path.exists() else "" for path in (inputs.records, inputs.about)]
    rest = "\n".join([*files, code_identity(repository, _MEASURING)])
    parts = (
        model_sha256,
        read_manifest(inputs.dataset).sha256,
        DETECTION.sha256,
        hashlib.sha256(rest.encode()).hexdigest(),
    )
    return settings.home / "evaluations" / "-".join(part[:16] for part in parts)


def _is_measured(place: Path, model: LocatedModel, dataset_sha256: str, say: Callable[[str], None]) -> bool:
    """Say whether a whole evaluation of this model on this data lies there, with its predictions."""
    if not (place / "evaluation").is_dir():
        return False
    expected = {"model_sha256": model.sha256, "dataset_sha256": dataset_sha256}
    try:
        verify_directory(place / "evaluation", schema=EVALUATION_SCHEMA)
        made = read_manifest(place / "evaluation").provenance
        expected["predictions_sha256"] = hash_file(place / "predictions.jsonl")
    except (GroundworkError, OSError):
        made = {}
    if all(made.get(name) == value for name, value in expected.items()):
        return True
    say(f"the evaluation in {place} is damaged, evaluating again")
    return False
