"""Stage: let a trained segmenter speak about every image of a split."""

from pathlib import Path

import numpy as np
from transformers.utils.logging import disable_progress_bar

from models.segmentation.decode import Detections
from models.segmentation.hub import BoxSegmenter
from tasks.data.commit import verify_directory
from tasks.data.images import read_rgb
from tasks.data.predictions import PredictionsHeader, write_predictions
from tasks.data.prepared import read_about, read_records
from tasks.data.records import DetectionRecord, ImagePrediction, ImageRecord
from tasks.data.rle import encode_mask
from tasks.data.segmenter_directory import SEGMENTER_SCHEMA
from tasks.errors import IntegrityError
from tasks.stages._command import run_stage
from tasks.stages._progress import StageProgress


def run(*, model: Path, dataset: Path, records: Path, about: Path, out: Path) -> None:
    """Predict the masks of every image in ``records`` and commit them to ``out``.

    The thresholds are the model's own, those with which it will answer when it is served.

    Raises:
        IntegrityError: If the model is damaged, or knows other categories than the data.
        DataError: If an image or a record is damaged.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    manifest = verify_directory(model, schema=SEGMENTER_SCHEMA)
    described, images = read_about(about), read_records(records)
    segmenter = BoxSegmenter.from_pretrained(model, local_files_only=True, use_safetensors=True)
    if segmenter.category_names != described.categories:
        raise IntegrityError(
            f"knows the categories {segmenter.category_names}, the data has {described.categories}.",
            obj=str(model),
            hint="Train on this data with `dvc repro train_segmenter`.",
        )
    predictions = []
    with StageProgress("predicting", len(images)) as progress:
        for record in images:
            pixels = read_rgb(dataset / record.file, height=record.height, width=record.width)
            found = segmenter.predict([pixels])[0]
            predictions.append(to_prediction(record, found, described.categories))
            progress.update(len(predictions))
    header = PredictionsHeader(
        dataset_sha256=described.dataset_sha256,
        split=records.stem,
        model_sha256=manifest.sha256,
        images=len(images),
    )
    write_predictions(out, header, predictions)


def to_prediction(record: ImageRecord, found: Detections, categories: tuple[str, ...]) -> ImagePrediction:
    """Turn what the model found in an image into a prediction line."""
    masks = found.masks.numpy().astype(np.bool_)
    detections = tuple(
        DetectionRecord(
            category=categories[category],
            score=score,
            box_xyxy=(box[0], box[1], box[2], box[3]),
            mask=encode_mask(mask),
        )
        for category, score, box, mask in zip(
            found.categories.tolist(), found.scores.tolist(), found.boxes_xyxy.tolist(), masks, strict=True
        )
    )
    return ImagePrediction(
        image_id=record.image_id, height=record.height, width=record.width, detections=detections
    )


if __name__ == "__main__":
    run_stage(run)
