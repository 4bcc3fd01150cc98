"""Stage evaluate_detection: checked predictions and the truth in, a committed evaluation out.

``--out`` holds ``metrics.json`` (``groundwork.metrics/1``), ``per_image.parquet`` and ``matches.parquet``
(both as ``evaluation.tables`` describes them) and ``curves.json`` (``groundwork.curves/1``).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.definition import DETECTION
from evaluation.detection import DetectionEvaluation, evaluate
from evaluation.instances import ImageDetections, ImageTruth
from tasks.data.commit import commit_directory, hash_file
from tasks.data.predictions import PredictionsHeader, read_predictions
from tasks.data.prepared import AboutDataset, read_about, read_records
from tasks.data.records import ImagePrediction, ImageRecord, RegionRecord
from tasks.data.rle import run_lengths
from tasks.errors import DataError
from tasks.stages._command import run_stage

EVALUATION_SCHEMA = "groundwork.evaluation/1"
METRICS_SCHEMA = "groundwork.metrics/1"
_AGAIN = "Make it again with `dvc repro prepare_coco`."


def run(*, records: Path, about: Path, predictions: Path, out: Path) -> None:
    """Score the predictions of one split.

    Args:
        records: Every image of the split with its regions and their masks; the name of the file is the split.
        about: ``dataset.json`` of the prepared data.
        predictions: What the model said about every image.
        out: Directory to commit.

    Raises:
        DataError: If records, predictions or masks break a rule. Nothing is written and no score exists.
        IntegrityError: If the predictions are about another dataset.
    """
    dataset = read_about(about)
    truth = sorted(read_records(records), key=lambda record: record.image_id)
    split = _check_split(records, truth, dataset)
    header, found = read_predictions(
        predictions,
        truth,
        dataset_sha256=dataset.dataset_sha256,
        split=split,
        categories=dataset.categories,
    )
    place = {name: number for number, name in enumerate(dataset.categories)}
    result = evaluate(
        [_to_truth(record, place, source=records) for record in truth],
        [_to_detections(prediction, place) for prediction in found],
        categories=dataset.categories,
    )
    document = _metrics_document(
        result,
        header,
        images_expected=dataset.splits[split].images,
        images_scored=len(found),
        predictions_sha256=hash_file(predictions),
    )
    names = ("dataset_sha256", "split", "model_sha256", "predictions_sha256", "definition_sha256")
    known = document | header.to_json()
    commit_directory(
        out,
        lambda staging: _write(staging, document, result),
        schema=EVALUATION_SCHEMA,
        provenance={name: known[name] for name in names},
    )


def _check_split(path: Path, records: Sequence[ImageRecord], dataset: AboutDataset) -> str:
    split, regions = path.stem, sum(len(record.regions) for record in records)
    counts = dataset.splits.get(split)
    if counts is None or (counts.images, counts.regions) != (len(records), regions):
        raise DataError(
            f"holds {len(records)} images and {regions} regions; dataset.json says {counts} of {split!r}.",
            obj=str(path),
            hint=_AGAIN,
        )
    return split


def _to_truth(record: ImageRecord, place: dict[str, int], *, source: Path) -> ImageTruth:
    regions = record.regions
    try:
        return ImageTruth(
            image_id=record.image_id,
            height=record.height,
            width=record.width,
            region_ids=np.array([region.region_id for region in regions], dtype=np.int64),
            categories=np.array([place[region.category] for region in regions], dtype=np.int64),
            boxes_xyxy=np.array([region.box_xyxy for region in regions], dtype=np.float64).reshape(-1, 4),
            masks=tuple(_checked_mask(region) for region in regions),
            is_crowd=np.array([region.is_crowd for region in regions], dtype=bool),
        )
    except KeyError as error:
        raise _bad_record(source, record, f"category {error} is not one of {sorted(place)}.") from error
    except ValueError as error:
        raise _bad_record(source, record, str(error)) from error


def _checked_mask(region: RegionRecord) -> dict[str, Any]:
    if region.mask is None:
        raise ValueError(f"region {region.region_id} has no mask to compare with.")
    run_lengths(region.mask)
    return region.mask.to_json()


def _bad_record(source: Path, record: ImageRecord, message: str) -> DataError:
    return DataError(message, obj=f"{source} image {record.image_id}", hint=_AGAIN)


def _to_detections(prediction: ImagePrediction, place: dict[str, int]) -> ImageDetections:
    items = prediction.detections
    return ImageDetections(
        image_id=prediction.image_id,
        height=prediction.height,
        width=prediction.width,
        categories=np.array([place[item.category] for item in items], dtype=np.int64),
        boxes_xyxy=np.array([item.box_xyxy for item in items], dtype=np.float64).reshape(-1, 4),
        masks=tuple(item.mask.to_json() for item in items),
        scores=np.array([item.score for item in items], dtype=np.float64),
    )


def _metrics_document(
    result: DetectionEvaluation,
    header: PredictionsHeader,
    *,
    images_expected: int,
    images_scored: int,
    predictions_sha256: str,
) -> dict[str, Any]:
    return {
        "schema": METRICS_SCHEMA,
        "dataset": {"sha256": header.dataset_sha256, "split": header.split, "images": images_expected},
        "model_sha256": header.model_sha256,
        "predictions_sha256": predictions_sha256,
        "definition": DETECTION.to_json(),
        "definition_sha256": DETECTION.sha256,
        "coverage": {"images_expected": images_expected, "images_scored": images_scored},
        "outcome": result.outcome,
        "metrics": [metric.to_json() for metric in result.metrics],
        "undefined": result.undefined,
    }


def _write(staging: Path, document: dict[str, Any], result: DetectionEvaluation) -> None:
    for name, content in (("metrics.json", document), ("curves.json", result.curves)):
        (staging / name).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    result.tables.per_image.to_parquet(staging / "per_image.parquet", index=False)
    result.tables.matches.to_parquet(staging / "matches.parquet", index=False)


if __name__ == "__main__":
    run_stage(run)
