"""Models of a released project, measured without a network: they say what the champion says, or less."""

import shutil
from collections.abc import Callable
from pathlib import Path

from tasks.data.commit import commit_directory, read_manifest, verify_directory
from tasks.data.predictions import PredictionsHeader, read_predictions, write_predictions
from tasks.data.prepared import read_about, read_records
from tasks.data.records import DetectionRecord, ImagePrediction
from tasks.operations import measuring
from tasks.operations.layout import MODEL, PREDICTIONS
from tasks.operations.stage_runs import code_identity
from tasks.services.settings import Settings
from tasks.stages import evaluate_detection

Detections = tuple[DetectionRecord, ...]


def everything(found: Detections) -> Detections:
    """Say what the champion says."""
    return found


def one_each(found: Detections) -> Detections:
    """Say one thing an image: recall is far below the champion's, whatever images are drawn."""
    return found[:1]


def make_twin(root: Path, name: str, settings: Settings, say: Callable[[Detections], Detections]) -> Path:
    """Commit a model directory with the champion's weights, and put its evaluation where it is looked for."""
    model = root / name
    commit_directory(
        model,
        lambda folder: _copy(root / MODEL, folder),
        schema=read_manifest(root / MODEL).schema,
        provenance={**read_manifest(root / MODEL).provenance, "twin": name},
    )
    remember(model, root, settings, say)
    return model


def remember(
    model: Path, root: Path, settings: Settings, say: Callable[[Detections], Detections] = everything
) -> Path:
    """Write the evaluation that ``measure_model`` would make if the model said this."""
    inputs, dataset_sha256 = measuring.data_inputs(root, settings)
    records, about = read_records(inputs.records), read_about(inputs.about)
    _, found = read_predictions(
        root / PREDICTIONS, records, dataset_sha256=dataset_sha256, split="val", categories=about.categories
    )
    sha256 = verify_directory(model).sha256
    place = measuring.evaluation_place(sha256, inputs, root, settings)
    place.mkdir(parents=True)
    header = PredictionsHeader(
        dataset_sha256=dataset_sha256, split="val", model_sha256=sha256, images=len(found)
    )
    write_predictions(place / "predictions.jsonl", header, [_said(item, say) for item in found])
    evaluate_detection.run(
        records=inputs.records,
        about=inputs.about,
        predictions=place / "predictions.jsonl",
        out=place / "evaluation",
    )
    return place


def remember_prepared(root: Path, settings: Settings) -> None:
    """Keep the prepared data of the checkout as those of the version it is."""
    inputs, sha256 = measuring.data_inputs(root, settings)
    code = code_identity(root, ("validate_coco", "prepare_coco"))
    shutil.copytree(
        inputs.about.parent, settings.home / "prepared" / f"{sha256[:16]}-{code[:16]}" / "prepared"
    )


def _said(prediction: ImagePrediction, say: Callable[[Detections], Detections]) -> ImagePrediction:
    return ImagePrediction(
        image_id=prediction.image_id,
        height=prediction.height,
        width=prediction.width,
        detections=say(prediction.detections),
    )


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True)
    (target / "manifest.json").unlink()
