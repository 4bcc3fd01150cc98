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
from evaluation.flat_matching import Matches, match_all
from evaluation.instances import ImageDetections, ImageTruth, check_pairs
from evaluation.metric import Metric
from evaluation.scorer import Scores, scores_of
from evaluation.tables import Tables, is_right, tables_of

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
    truths: Sequence[ImageTruth],
    detections: Sequence[ImageDetections],
    *,
    categories: Sequence[str],
    kinds: Sequence[Kind] = KINDS,
) -> DetectionEvaluation:
    """Score the detections of every image of a split.

    Args:
        truths: The regions, one entry per image, by rising image id.
        detections: One entry per image in the same order, also for images without a detection.
        categories: Names in the order of their numbers.
        kinds: By which overlaps. The metrics, columns and curves of the others are left out; without masks,
            a gate that judges all metrics has no answer.

    Returns:
        Metrics, the names without a value, both tables and the curves.

    Raises:
        ValueError: If the images differ, there is none, no kind is wanted or one is unknown or wanted twice,
            masks are wanted where detections have none, or run lengths do not fill a mask.
    """
    check_pairs(truths, detections, num_categories=len(categories))
    if not kinds or [kind for kind in KINDS if kind in kinds] != list(kinds):
        raise ValueError(f"kinds must be some of {KINDS} in this order, got {tuple(kinds)!r}.")
    matches = match_all(truths, detections, kinds=kinds)
    tables = tables_of(matches, categories=categories)
    scores = {kind: scores_of(matches, kind, num_categories=len(categories)) for kind in kinds}
    values = {name: value for kind in kinds for name, value in _coco_values(kind, scores[kind]).items()}
    metrics, undefined = _metrics(values | _pair_values(tables), _counts(matches, tables), kinds)
    return DetectionEvaluation(
        outcome=_outcome(tables),
        metrics=metrics,
        undefined=undefined,
        tables=tables,
        curves=_curves(scores) | {"sizes": _recall_by_side(matches)},
    )


def _metrics(
    values: dict[str, float | None], counts: dict[str, int], kinds: Sequence[Kind]
) -> tuple[tuple[Metric, ...], dict[str, str]]:
    """Put the values in the order of the definition; of those without one, say why."""
    metrics, undefined = [], {}
    for spec in DETECTION.metrics:
        value = values.get(spec.name)
        if value is None:
            undefined[spec.name] = _why(spec.name, kinds)
            continue
        metrics.append(
            Metric(
                name=spec.name,
                value=value,
                unit=spec.unit,
                higher_is_better=spec.higher_is_better,
                count=counts[spec.name],
            )
        )
    return tuple(metrics), undefined


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
    """Average over detections; without masks, only their number is left."""
    images, matches = tables.per_image, tables.matches
    regions = int(images["num_regions"].sum())

    def mean_of(column: str) -> float | None:
        present = matches[column].dropna()
        return (float(present.mean()) if len(present) else 0.0) if regions else None

    values: dict[str, float | None] = {"detections_per_image": float(images["num_detections"].mean())}
    if "mask_iou" in matches:
        counted = ~matches["mask_ignored_50"]
        precision = float(matches.loc[counted, "mask_matched_50"].mean()) if counted.any() else 0.0
        values["mask.precision50"] = precision if regions else None
        values["mask.matched_iou"] = mean_of("mask_iou")
    if "mask_iou_at_box_match" in matches:
        values["mask.iou_at_box_match"] = mean_of("mask_iou_at_box_match")
    return values


def _counts(matches: Matches, tables: Tables) -> dict[str, int]:
    area_G = matches.flat.region_areas[~matches.flat.is_crowd]
    counts = {spec.name: len(area_G) for spec in DETECTION.metrics}
    for kind in KINDS:
        for name in ("small", "medium", "large"):
            low, high = AREAS[name]
            counts[f"{kind}.ap_{name}"] = int(((area_G >= low) & (area_G <= high)).sum())
    counts["detections_per_image"] = len(tables.per_image)
    if "mask" in matches.found:
        counts["mask.precision50"] = int((matches.found["mask"].ignored[0] & 1 == 0).sum())
        counts["mask.matched_iou"] = int(is_right(matches.found["mask"], 0).sum())
    if "box" in matches.found:
        counts["mask.iou_at_box_match"] = int(is_right(matches.found["box"], 0).sum())
    return counts


def _why(name: str, kinds: Sequence[Kind]) -> str:
    for kind in KINDS:
        if kind not in kinds and (name.startswith(f"{kind}.") or f"_{kind}_" in name):
            return {"box": "boxes", "mask": "masks"}[kind] + " were not compared"
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


def _recall_by_side(matches: Matches) -> list[dict[str, Any]]:
    """Count by size the regions and those found at IoU 0.5; a mean over nothing is left out."""
    flat, counted_G = matches.flat, ~matches.flat.is_crowd
    bin_G = np.searchsorted(SIDES, np.sqrt(flat.region_areas[counted_G]), side="right") - 1
    iou_of: dict[Kind, npt.NDArray[np.float64]] = {}
    for kind, found in matches.found.items():
        right_N = is_right(found, 0)
        iou_G = np.full(len(counted_G), np.nan)
        iou_G[found.region[right_N]] = found.iou[right_N]
        iou_of[kind] = iou_G[counted_G]
    rows = []
    for number, low in enumerate(SIDES):
        inside_G = bin_G == number
        row: dict[str, Any] = {
            "side_px": [low, SIDES[number + 1] if number + 1 < len(SIDES) else None],
            "regions": int(inside_G.sum()),
        }
        for kind, iou_G in iou_of.items():
            found_ious = iou_G[inside_G & ~np.isnan(iou_G)]
            row[f"{kind}_found50"] = len(found_ious)
            if kind == "mask" and len(found_ious):
                row["mask_matched_iou"] = float(np.mean(found_ious))
        rows.append(row)
    return rows
