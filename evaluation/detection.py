"""Detection metrics of one split: every number of the definition, or the reason why there is none.

Shape suffixes:
    T = thresholds of IoU   R = points of recall   K = categories   A = area ranges   M = caps on detections
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evaluation.definition import AREAS, CAPS, DETECTION, IOU_PERCENT, KINDS, Kind
from evaluation.instances import ImageDetections, ImageTruth, check_pairs
from evaluation.masks import areas
from evaluation.metric import Metric
from evaluation.scorer import Scores, score
from evaluation.tables import Tables, build_tables

Outcome = Literal["scored", "no detections", "no regions"]

SIDES = (0, 8, 16, 24, 32, 48, 64, 96)
"""Bins of the square root of a region's area, in pixels; the last one is open."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectionEvaluation:
    """Everything that evaluation says about one model on one split."""

    outcome: Outcome
    """``no detections``: every score is 0. ``no regions``: nothing can be scored."""
    metrics: tuple[Metric, ...]
    undefined: dict[str, str]
    """Name of a metric that has no value -> why."""
    tables: Tables
    curves: dict[str, Any]
    """JSON: precision over recall at IoU 0.50 and 0.75, and recall by size of the region."""


def evaluate(
    truths: Sequence[ImageTruth], detections: Sequence[ImageDetections], *, categories: Sequence[str]
) -> DetectionEvaluation:
    """Score the detections of every image of a split.

    Args:
        truths: The regions, one entry per image, by rising image id.
        detections: One entry per image in the same order, also for images without a detection.
        categories: Names in the order of their numbers.

    Returns:
        Metrics, the names without a value, both tables and the curves.

    Raises:
        ValueError: If the images differ, or there is none.
    """
    check_pairs(truths, detections, num_categories=len(categories))
    tables = build_tables(truths, detections, categories=categories)
    scores = {kind: score(truths, detections, categories=categories, kind=kind) for kind in KINDS}
    values = {name: value for kind in KINDS for name, value in _coco_values(kind, scores[kind]).items()}
    values |= _pair_values(tables)
    counts = _counts(truths, tables)
    metrics, undefined = [], {}
    for spec in DETECTION.metrics:
        value, count = values[spec.name], counts[spec.name]
        if value is None:
            undefined[spec.name] = _why(spec.name)
        else:
            metrics.append(
                Metric(
                    name=spec.name,
                    value=value,
                    unit=spec.unit,
                    higher_is_better=spec.higher_is_better,
                    count=count,
                )
            )
    return DetectionEvaluation(
        outcome=_outcome(tables),
        metrics=tuple(metrics),
        undefined=undefined,
        tables=tables,
        curves=_curves(scores) | {"sizes": _recall_by_side(truths, tables)},
    )


def _outcome(tables: Tables) -> Outcome:
    if not tables.per_image["num_regions"].sum():
        return "no regions"
    return "scored" if len(tables.matches) else "no detections"


def _coco_values(kind: Kind, scores: Scores) -> dict[str, float | None]:
    precision, recall, has = scores.precision, scores.recall, scores.has_regions
    area = {name: index for index, name in enumerate(AREAS)}
    place = {percent: index for index, percent in enumerate(IOU_PERCENT)}
    values = {
        "ap": _mean(precision[..., 0], has[:, 0]),
        "ap50": _mean(precision[place[50], ..., 0], has[:, 0]),
        "ap75": _mean(precision[place[75], ..., 0], has[:, 0]),
        "recall50": _mean(recall[place[50], :, 0, -1], has[:, 0]),
        "ar_all": _mean(recall[..., 0, -1], has[:, 0]),
    }
    for name in ("small", "medium", "large"):
        values[f"ap_{name}"] = _mean(precision[..., area[name]], has[:, area[name]])
    for index, cap in enumerate(CAPS):
        values[f"ar_{cap}"] = _mean(recall[..., 0, index], has[:, 0])
    return {f"{kind}.{name}": value for name, value in values.items()}


def _mean(values_K: npt.NDArray[np.float64], has_K: npt.NDArray[np.bool_]) -> float | None:
    """Average over the categories (last axis) that have regions, and over all else."""
    return float(values_K[..., has_K].mean()) if has_K.any() else None


def _pair_values(tables: Tables) -> dict[str, float | None]:
    images, matches = tables.per_image, tables.matches
    regions, counted = int(images["num_regions"].sum()), ~matches["mask_ignored_50"]

    def mean_of(column: str) -> float | None:
        present = matches[column].dropna()
        return (float(present.mean()) if len(present) else 0.0) if regions else None

    precision = float(matches.loc[counted, "mask_matched_50"].mean()) if counted.any() else 0.0
    return {
        "mask.precision50": precision if regions else None,
        "mask.matched_iou": mean_of("mask_iou"),
        "mask.iou_at_box_match": mean_of("mask_iou_at_box_match"),
        "detections_per_image": float(images["num_detections"].mean()),
    }


def _counts(truths: Sequence[ImageTruth], tables: Tables) -> dict[str, int]:
    area_G = np.concatenate([areas(item.masks)[~item.is_crowd] for item in truths])
    counts = {spec.name: len(area_G) for spec in DETECTION.metrics}
    for kind in KINDS:
        for name in ("small", "medium", "large"):
            low, high = AREAS[name]
            counts[f"{kind}.ap_{name}"] = int(((area_G >= low) & (area_G <= high)).sum())
    matches = tables.matches
    return counts | {
        "mask.precision50": int((~matches["mask_ignored_50"]).sum()),
        "mask.matched_iou": int(matches["mask_matched_50"].sum()),
        "mask.iou_at_box_match": int(matches["box_matched_50"].sum()),
        "detections_per_image": len(truths),
    }


def _why(name: str) -> str:
    size = name.rpartition("_")[2]
    if size in AREAS and size != "all":
        low, high = AREAS[size]
        limit = f"from {low:.0f} to {high:.0f}" if high < AREAS["all"][1] else f"of at least {low:.0f}"
        return f"no region has an area {limit} px"
    return "no image has a region"


def _curves(scores: dict[Kind, Scores]) -> dict[str, Any]:
    curves = []
    for kind, item in scores.items():
        has_K = item.has_regions[:, 0]
        for percent in (50, 75):
            place = IOU_PERCENT.index(percent)
            precision_RK = item.precision[place, :, :, 0][:, has_K]
            score_RK = item.score[place, :, :, 0][:, has_K]
            curves.append(
                {
                    "kind": kind,
                    "iou": percent / 100,
                    "precision": precision_RK.mean(axis=1).tolist() if has_K.any() else [],
                    "score": score_RK.mean(axis=1).tolist() if has_K.any() else [],
                }
            )
    return {
        "schema": "groundwork.curves/1",
        "recall": np.linspace(0.0, 1.0, DETECTION.recall_points).tolist(),
        "precision_recall": curves,
    }


def _recall_by_side(truths: Sequence[ImageTruth], tables: Tables) -> list[dict[str, Any]]:
    """Count by size the regions and those found at IoU 0.5; a mean over nothing is left out."""
    side_G = np.concatenate([np.sqrt(areas(item.masks)[~item.is_crowd]) for item in truths])
    ids_G = np.concatenate([item.region_ids[~item.is_crowd] for item in truths])
    image_G = np.concatenate([np.full((~item.is_crowd).sum(), item.image_id) for item in truths])
    bin_G = np.searchsorted(SIDES, side_G, side="right") - 1
    found = tables.matches[tables.matches["mask_matched_50"]]
    keys = zip(found["image_id"].tolist(), found["mask_region_id"].tolist(), strict=True)
    iou_of = dict(zip(keys, found["mask_iou"].tolist(), strict=True))
    found = tables.matches[tables.matches["box_matched_50"]]
    boxed = set(zip(found["image_id"].tolist(), found["box_region_id"].tolist(), strict=True))
    rows = []
    for number, low in enumerate(SIDES):
        inside = bin_G == number
        regions = list(zip(image_G[inside].tolist(), ids_G[inside].tolist(), strict=True))
        ious = [iou_of[region] for region in regions if region in iou_of]
        row: dict[str, Any] = {
            "side_px": [low, SIDES[number + 1] if number + 1 < len(SIDES) else None],
            "regions": len(regions),
            "box_found50": sum(region in boxed for region in regions),
            "mask_found50": len(ious),
        }
        rows.append(row | ({"mask_matched_iou": float(np.mean(ious))} if ious else {}))
    return rows
