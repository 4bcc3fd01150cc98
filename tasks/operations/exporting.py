"""Write what a model said, and the truth beside it, in a form that other tools read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from tasks.data.coco_results import COCO_EXPORT_SCHEMA, CocoNames, counted_names, source_names, write_coco
from tasks.data.commit import Manifest, commit_directory, hash_file, read_manifest, verify_directory
from tasks.data.fiftyone_dataset import FIFTYONE_EXPORT_SCHEMA, FiftyOneSource, write_fiftyone
from tasks.data.image_outcomes import read_outcomes
from tasks.data.predictions import read_predictions
from tasks.data.prepared import AboutDataset, read_about, read_records
from tasks.data.records import ImagePrediction, ImageRecord
from tasks.data.strict_json import read_json
from tasks.data.target_directory import check_target
from tasks.errors import IntegrityError, UnavailableError
from tasks.operations import layout
from tasks.operations.measuring import EVALUATION_SCHEMA, measure_model
from tasks.services.settings import Settings

Format = Literal["coco", "fiftyone"]
SCHEMAS: Final[dict[Format, str]] = {"coco": COCO_EXPORT_SCHEMA, "fiftyone": FIFTYONE_EXPORT_SCHEMA}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where the parts of one evaluated model are."""

    evaluation: Path
    predictions: Path
    records: Path
    about: Path
    dataset: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluated:
    """Predictions that their reader has checked, and where they are from."""

    places: _Places
    about: AboutDataset
    records: list[ImageRecord]
    predictions: list[ImagePrediction]
    provenance: dict[str, Any]

    @property
    def split(self) -> str:
        return str(self.provenance["split"])

    @property
    def name(self) -> str:
        """Return a name for people; a hash in it tells two models apart."""
        return f"{layout.MODEL_NAME}-{self.split}-{self.provenance['model_sha256'][:8]}"


def export_predictions(
    form: Format,
    out: Path,
    repository: Path,
    settings: Settings,
    *,
    model: str | None = None,
    data: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Export predictions and truth of the val split.

    Args:
        form: ``coco`` or ``fiftyone``.
        out: Directory to commit. It may hold an export of the same form, which is replaced.
        repository: Root of the project.
        settings: Where things are kept.
        model: What ``tasks.operations.measuring.measure_model`` takes; None: the current candidate, as the
            stages left it.
        data: A version of the dataset; None: the data of the checkout.
        say: Told what is going on.

    Returns:
        The format, the directory, what it was made of, and how much it holds.

    Raises:
        UsageError: If ``out`` holds something else.
        UnavailableError: If a stage has not run, or images are not there.
        IntegrityError: If predictions, evaluation and data do not belong together.
        DataError: If a prediction breaks a rule. Nothing is written.
    """
    check_target(out, schema=SCHEMAS[form])
    if model is None and data is None:
        places = _of_stages(repository)
    else:
        places = _measured(model or str(repository / layout.MODEL), data, repository, settings, say)
    evaluated = _read(places)
    say(f"exporting {len(evaluated.records)} images of {evaluated.split} to {out}")
    manifest = _export_coco(out, evaluated) if form == "coco" else _export_fiftyone(out, evaluated)
    return {
        "format": form,
        "out": str(out),
        "sha256": manifest.sha256,
        **manifest.provenance,
        "images": len(evaluated.records),
        "regions": sum(len(record.regions) for record in evaluated.records),
        "detections": sum(len(item.detections) for item in evaluated.predictions),
        "files": len(manifest.files),
        "size": sum(size for _, size in manifest.files.values()),
    }


def _of_stages(repository: Path) -> _Places:
    return _Places(
        evaluation=repository / layout.EVALUATION,
        predictions=repository / layout.PREDICTIONS,
        records=repository / layout.VAL_RECORDS,
        about=repository / layout.ABOUT,
        dataset=repository / layout.DATASET,
    )


def _measured(
    model: str, data: str | None, repository: Path, settings: Settings, say: Callable[[str], None]
) -> _Places:
    measured = measure_model(model, repository, settings, data=data, say=say)
    return _Places(
        evaluation=measured.evaluation,
        predictions=measured.predictions,
        records=measured.records,
        about=measured.about,
        dataset=measured.dataset,
    )


def _read(places: _Places) -> _Evaluated:
    evaluation, predictions = places.evaluation, places.predictions
    for path in (evaluation, predictions):
        if not path.exists():
            raise UnavailableError("has not been made.", obj=str(path), hint="Run `groundwork eval`.")
    verify_directory(evaluation, schema=EVALUATION_SCHEMA)
    metrics = read_json(evaluation / "metrics.json")
    if hash_file(predictions) != metrics["predictions_sha256"]:
        raise IntegrityError(
            f"are not those of the evaluation {evaluation}.",
            obj=str(predictions),
            hint="Run `groundwork eval`.",
        )
    about, records = read_about(places.about), read_records(places.records)
    header, found = read_predictions(
        predictions,
        records,
        dataset_sha256=about.dataset_sha256,
        split=metrics["dataset"]["split"],
        categories=about.categories,
        model_sha256=metrics["model_sha256"],
    )
    provenance = {
        "dataset_sha256": header.dataset_sha256,
        "split": header.split,
        "model_sha256": header.model_sha256,
        "predictions_sha256": metrics["predictions_sha256"],
        "definition_sha256": metrics["definition_sha256"],
    }
    return _Evaluated(about=about, records=records, predictions=found, places=places, provenance=provenance)


def _export_coco(out: Path, evaluated: _Evaluated) -> Manifest:
    names = _coco_names(evaluated.places.dataset, evaluated)
    return commit_directory(
        out,
        lambda staging: write_coco(
            staging, evaluated.records, evaluated.predictions, names, description=evaluated.name
        ),
        schema=COCO_EXPORT_SCHEMA,
        provenance=evaluated.provenance
        | {"category_ids": "of the source" if names.is_source else "counted from 1"},
    )


def _coco_names(dataset: Path, evaluated: _Evaluated) -> CocoNames:
    if not dataset.is_dir():  # it is not needed for anything else here: images are not part of the export
        return counted_names(evaluated.about)
    return source_names(dataset, evaluated.about, evaluated.split)


def _export_fiftyone(out: Path, evaluated: _Evaluated) -> Manifest:
    dataset = evaluated.places.dataset
    if not dataset.is_dir():
        raise UnavailableError("is not here.", obj=str(dataset), hint="Run `groundwork data pull`.")
    if read_manifest(dataset).sha256 != evaluated.about.dataset_sha256:
        raise IntegrityError(
            "is another dataset than that of the predictions.",
            obj=str(dataset),
            hint="Run `groundwork eval`.",
        )
    source = FiftyOneSource(
        dataset=dataset,
        dataset_sha256=evaluated.about.dataset_sha256,
        split=evaluated.split,
        name=evaluated.name,
        info=evaluated.provenance,
        categories=evaluated.about.categories,
    )
    outcomes = read_outcomes(evaluated.places.evaluation)
    predictions = {item.image_id: item for item in evaluated.predictions}
    return commit_directory(
        out,
        lambda staging: write_fiftyone(staging, source, evaluated.records, predictions, outcomes),
        schema=FIFTYONE_EXPORT_SCHEMA,
        provenance=evaluated.provenance,
    )
