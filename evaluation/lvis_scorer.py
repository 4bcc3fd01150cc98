"""Precision and recall by the rules of LVIS, from the scorer hotcoco.

Why hotcoco 1.3 (MIT): in its LVIS mode both arrays equal those of lvis-api 0.5.3 to the last bit, on boxes
and masks, 10 to 30 times faster; lvis-api itself does not run under NumPy 2.

Shape suffixes:
    T = thresholds of IoU   R = points of recall   K = categories   A = area ranges
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hotcoco
import numpy as np
import numpy.typing as npt

from evaluation.definition import AREAS, IOU_PERCENT, RECALL_POINTS, Kind
from evaluation.instances import ImageDetections
from evaluation.lvis_truth import LvisCategory, LvisImage
from evaluation.masks import to_xywh

_IOU_TYPE = {"box": "bbox", "mask": "segm"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LvisScores:
    """Arrays as in COCO; a category without regions in an area range has no number there."""

    precision: npt.NDArray[np.float64]
    """Interpolated, shape (T, R, K, A)."""
    recall: npt.NDArray[np.float64]
    """Highest recall, shape (T, K, A)."""
    has_regions: npt.NDArray[np.bool_]
    """Shape (K, A)."""


def score_lvis(
    images: Sequence[LvisImage],
    detections: Sequence[ImageDetections],
    *,
    categories: Sequence[LvisCategory],
    kind: Kind,
) -> LvisScores:
    """Match and accumulate as LVIS does.

    Args:
        images: Checked by ``evaluate_lvis``.
        detections: Those that are scored, image by image in the same order, at most 300 an image: the
            scorer keeps the best 300 of a category and drops the rest.
        categories: In the order of their numbers.
        kind: Which overlap decides.

    Returns:
        Arrays over the 10 thresholds, 101 points of recall, categories and 4 area ranges.

    Raises:
        ValueError: If the scorer answers in another form.
    """
    shape = (len(IOU_PERCENT), RECALL_POINTS, len(categories), len(AREAS))
    truth = hotcoco.COCO(_truth_document(images, categories, kind))
    found = truth.load_res(_results(detections, kind))
    evaluation = hotcoco.COCOeval(truth, found, _IOU_TYPE[kind], lvis_style=True)
    evaluation.evaluate()
    evaluation.accumulate()
    arrays: dict[str, Any] = evaluation.eval or {}
    precision, recall = np.asarray(arrays["precision"]), np.asarray(arrays["recall"])
    if precision.shape != (*shape, 1):
        raise ValueError(f"the scorer returned precision of shape {precision.shape}, expected {(*shape, 1)}.")
    recall = recall[..., 0]
    return LvisScores(precision=precision[..., 0], recall=recall, has_regions=recall[0] >= 0.0)


def _truth_document(
    images: Sequence[LvisImage], categories: Sequence[LvisCategory], kind: Kind
) -> dict[str, Any]:
    """Write the form of the files; places of categories become ids from 1."""
    rows: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image in images:
        item = image.truth
        rows.append(
            {
                "id": item.image_id,
                "height": item.height,
                "width": item.width,
                "neg_category_ids": sorted(place + 1 for place in image.negative),
                "not_exhaustive_category_ids": sorted(place + 1 for place in image.not_exhaustive),
            }
        )
        boxes, areas = to_xywh(item.boxes_xyxy).tolist(), image.areas.tolist()
        columns = zip(item.categories.tolist(), boxes, areas, item.masks, strict=True)
        for category, box, area, mask in columns:
            row = {
                "id": len(annotations) + 1,
                "image_id": item.image_id,
                "category_id": category + 1,
                "bbox": box,
                "area": area,
                "iscrowd": 0,
            }
            annotations.append(row | ({"segmentation": dict(mask)} if kind == "mask" else {}))
    named = [
        {"id": number, "name": item.name, "frequency": item.frequency}
        for number, item in enumerate(categories, start=1)
    ]
    return {"images": rows, "categories": named, "annotations": annotations}


def _results(detections: Sequence[ImageDetections], kind: Kind) -> list[dict[str, Any]]:
    results = []
    for item in detections:
        shapes: Sequence[Any] = item.masks if kind == "mask" else to_xywh(item.boxes_xyxy).tolist()
        for category, shape, confidence in zip(
            item.categories.tolist(), shapes, item.scores.tolist(), strict=True
        ):
            key, value = ("segmentation", dict(shape)) if kind == "mask" else ("bbox", shape)
            results.append(
                {"image_id": item.image_id, "category_id": category + 1, key: value, "score": confidence}
            )
    return results
