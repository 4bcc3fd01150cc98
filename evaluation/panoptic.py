"""Panoptic quality of a split, over all classes, things and stuff.

Source: Kirillov et al., "Panoptic Segmentation" (CVPR 2019, arXiv 1801.00868), section 4, with the rules of
COCO's evaluation tool for regions that are void or a crowd. A predicted and a true segment of one class match
if their IoU is above 0.5, which at most one pair can be; void pixels inside the prediction are not part of
the union. A crowd is never matched and never a miss. An unmatched prediction is no false alarm if more than
half of it lies on void pixels and crowds of its class. ``sq`` is the mean IoU of the matches, ``rq`` is
tp / (tp + fp / 2 + fn / 2) and ``pq`` their product, per class; then means over the classes with any tp, fp
or fn.

Differences: several crowds of one class in one image all count, where the tool reads the last of them (COCO
has one); areas are counted in the map of ids, where the tool takes true ones from the JSON document.

Shape suffixes:
    H, W = height and width in pixels   K = categories   G = true segments   D = predicted segments
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.definition import Definition, MetricSpec
from evaluation.instances import check_rising
from evaluation.values import Found, Values, values_of

VOID: Final = 0
"""The id of pixels that belong to no segment."""

QUANTITIES: Final = {"pq": "panoptic quality", "sq": "segmentation quality", "rq": "recognition quality"}
GROUPS: Final = {"": "classes", "_things": "classes of things", "_stuff": "classes of stuff"}

PANOPTIC: Final = Definition(
    name="coco-panoptic/1",
    iou_percent=(50,),
    recall_points=0,
    caps=(),
    areas=(),
    conventions=(
        "segments match above IoU 0.5; void pixels inside a prediction are not part of the union",
        "an unmatched prediction more than half on void and crowds of its class is no false alarm",
        "metrics are means over the classes with any match, miss or false alarm",
        "sq is 0 for a class without a match",
    ),
    metrics=tuple(
        MetricSpec(name=f"panoptic.{quantity}{group}", meaning=f"mean {meaning} over {classes}")
        for group, classes in GROUPS.items()
        for quantity, meaning in QUANTITIES.items()
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticCategory:
    """A class and its kind."""

    name: str
    is_thing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment of an image."""

    id: int
    """Value of its pixels in the map, above 0."""
    category: int
    """Place in the list of categories."""
    is_crowd: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PanopticMap:
    """Which segment each pixel of an image belongs to."""

    image_id: int
    ids_HW: npt.NDArray[np.integer]
    """Id of a segment, or ``VOID``."""
    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        """Check that map and segments agree. Raises ValueError or TypeError naming the image and the id."""
        where, ids = f"image {self.image_id}", [segment.id for segment in self.segments]
        if not np.issubdtype(self.ids_HW.dtype, np.integer) or self.ids_HW.ndim != 2:
            raise TypeError(
                f"{where}: ids_HW must hold integers in two dimensions, "
                f"got {self.ids_HW.dtype} {self.ids_HW.shape}."
            )
        if len(set(ids)) != len(ids) or min(ids, default=1) <= VOID:
            raise ValueError(f"{where}: ids of segments must be above {VOID} and differ, got {sorted(ids)}.")
        if min((segment.category for segment in self.segments), default=0) < 0:
            raise ValueError(f"{where}: category of a segment must be at least 0.")
        drawn = set(np.unique(self.ids_HW).tolist()) - {VOID}
        if drawn != set(ids):
            raise ValueError(
                f"{where}: pixels have the ids {sorted(drawn - set(ids))} of no segment; segments "
                f"{sorted(set(ids) - drawn)} have no pixel."
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PanopticCounts:
    """What one image adds to each category; every number of a split is made of these sums."""

    image_id: int
    tp_K: npt.NDArray[np.int64]
    fp_K: npt.NDArray[np.int64]
    fn_K: npt.NDArray[np.int64]
    iou_sum_K: npt.NDArray[np.float64]
    """Over the matches."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PanopticEvaluation:
    """Everything that evaluation says about one model on one split."""

    values: Values
    undefined_classes: dict[str, str]
    """Name of a class that has no quality -> why."""
    per_class: pd.DataFrame
    """One row per class that has a quality: ``class``, ``is_thing``, ``pq``, ``sq``, ``rq``, ``tp``, ``fp``,
    ``fn``, ``iou_sum``."""
    per_image: pd.DataFrame
    """One row per image: ``image_id``, ``tp``, ``fp``, ``fn``, ``iou_sum``, and ``pq`` over its segments
    without regard to class (absent where there is nothing to find and nothing was found)."""
    counts: pd.DataFrame
    """One row per image and class with any tp, fp or fn: ``image_id``, ``class``, ``tp``, ``fp``, ``fn``,
    ``iou_sum``; sums of it give every number, under any weighting of the images."""


def match_panoptic(
    truth: PanopticMap, predicted: PanopticMap | None, *, num_categories: int
) -> PanopticCounts:
    """Match the segments of one image.

    Args:
        truth: The true segments.
        predicted: The predicted ones; None: no prediction exists, so that every true segment is missed.
        num_categories: Number of categories that may occur.

    Returns:
        Matches, false alarms and misses by category.

    Raises:
        ValueError: If the images or their sizes differ, a category is unknown, or a prediction is a crowd.
    """
    if predicted is None:
        predicted = PanopticMap(image_id=truth.image_id, ids_HW=np.zeros_like(truth.ids_HW), segments=())
    _check_pair(truth, predicted, num_categories)
    overlap_GD, crowd_G, categories = _overlap(truth, predicted)
    true_G, found_D = categories
    area_D, area_G, void_D = overlap_GD.sum(axis=0), overlap_GD.sum(axis=1), overlap_GD[0]
    # The first row and column are void: no segment.
    same_GD = (true_G[:, None] == found_D) & (true_G[:, None] >= 0)
    union_GD = area_G[:, None] + area_D - overlap_GD - void_D
    iou_GD = np.where(same_GD & ~crowd_G[:, None], overlap_GD / np.maximum(union_GD, 1), 0.0)
    match_GD = iou_GD > 0.5
    excused_D = void_D + np.where(same_GD & crowd_G[:, None], overlap_GD, 0).sum(axis=0)
    is_wrong_D = ~match_GD.any(axis=0) & (found_D >= 0) & ~(2 * excused_D > area_D)
    is_missed_G = ~match_GD.any(axis=1) & (true_G >= 0) & ~crowd_G
    g, d = np.nonzero(match_GD)

    def count(categories: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.bincount(categories, minlength=num_categories).astype(np.int64)

    return PanopticCounts(
        image_id=truth.image_id,
        tp_K=count(true_G[g]),
        fp_K=count(found_D[is_wrong_D]),
        fn_K=count(true_G[is_missed_G]),
        iou_sum_K=np.bincount(true_G[g], iou_GD[g, d], minlength=num_categories).astype(np.float64),
    )


def _check_pair(truth: PanopticMap, predicted: PanopticMap, num_categories: int) -> None:
    where = f"image {truth.image_id}"
    if predicted.image_id != truth.image_id:
        raise ValueError(f"the prediction of image {predicted.image_id} stands where {where} is expected.")
    if predicted.ids_HW.shape != truth.ids_HW.shape:
        raise ValueError(
            f"{where}: the prediction must have the shape {truth.ids_HW.shape} (height, width), "
            f"got {predicted.ids_HW.shape}."
        )
    for name, item in (("true", truth), ("predicted", predicted)):
        for segment in item.segments:
            if segment.category >= num_categories:
                raise ValueError(
                    f"{where}: {name} segment {segment.id} has category {segment.category}, which is not one "
                    f"of {num_categories}."
                )
            if segment.is_crowd and item is predicted:
                raise ValueError(
                    f"{where}: predicted segment {segment.id} is a crowd; only truth may have any."
                )


def _overlap(
    truth: PanopticMap, predicted: PanopticMap
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], list[npt.NDArray[np.int64]]]:
    """Count the common pixels of all pairs, shape (G, D), void first; categories are -1 for void."""
    sides, categories = [], []
    for item in (truth, predicted):
        rows = sorted(item.segments, key=lambda segment: segment.id)
        ids = np.array([VOID, *(segment.id for segment in rows)])
        sides.append(np.searchsorted(ids, item.ids_HW.ravel()))
        categories.append(np.array([-1, *(segment.category for segment in rows)]))
    crowd_G = np.array([False, *(s.is_crowd for s in sorted(truth.segments, key=lambda s: s.id))])
    shape = (len(categories[0]), len(categories[1]))
    overlap = np.bincount(sides[0] * shape[1] + sides[1], minlength=shape[0] * shape[1])
    return overlap.astype(np.int64).reshape(shape), crowd_G, categories


def evaluate_panoptic(
    images: Sequence[PanopticCounts], *, categories: Sequence[PanopticCategory]
) -> PanopticEvaluation:
    """Score the matches of every image of a split.

    Args:
        images: By rising image id, one entry for every image.
        categories: In the order of their numbers.

    Returns:
        Metrics in [0, 1], each over the classes that it counts; undefined for a group without such a class.

    Raises:
        ValueError: If there is no image, ids do not rise, names repeat, or numbers of categories differ.
    """
    _check_images(images, categories)
    is_thing_K = np.array([category.is_thing for category in categories], dtype=bool)
    name_K = np.array([category.name for category in categories], dtype=object)
    sums = {name: np.stack([getattr(image, f"{name}_K") for image in images]) for name in _SUMS}
    occurs_NK = (sums["tp"] + sums["fp"] + sums["fn"]) > 0
    occurs_K = occurs_NK.any(axis=0)
    per_class = _with_quality({name: sum_NK.sum(axis=0)[occurs_K] for name, sum_NK in sums.items()})
    per_class.insert(0, "class", pd.array(name_K[occurs_K], dtype="str"))
    per_class.insert(1, "is_thing", is_thing_K[occurs_K])
    chosen = {"": occurs_K[occurs_K], "_things": is_thing_K[occurs_K], "_stuff": ~is_thing_K[occurs_K]}
    found: dict[str, Found] = {}
    for group, rows in chosen.items():
        reason = f"none of the {GROUPS[group]} has a segment"
        for quantity in QUANTITIES:
            mean = float(per_class.loc[rows, quantity].mean()) if rows.any() else 0.0
            found[f"panoptic.{quantity}{group}"] = (mean, int(rows.sum())) if rows.any() else reason
    image_ids, (n, k) = np.array([image.image_id for image in images]), np.nonzero(occurs_NK)
    per_image = _with_quality({name: sum_NK.sum(axis=1) for name, sum_NK in sums.items()})
    per_image["pq"] = pd.arrays.FloatingArray(per_image["pq"].to_numpy(), ~occurs_NK.any(axis=1))
    per_image.insert(0, "image_id", image_ids)
    counts = {"image_id": image_ids[n], "class": pd.array(name_K[k], dtype="str")}
    return PanopticEvaluation(
        values=values_of(PANOPTIC, found),
        undefined_classes=dict.fromkeys(
            name_K[~occurs_K].tolist(), "no image has a match, a miss or a false alarm of this class"
        ),
        per_class=per_class,
        per_image=per_image.drop(columns=["sq", "rq"]),
        counts=pd.DataFrame(counts | {name: sum_NK[n, k] for name, sum_NK in sums.items()}),
    )


_SUMS: Final = ("tp", "fp", "fn", "iou_sum")


def _with_quality(sums: dict[str, npt.NDArray[np.generic]]) -> pd.DataFrame:
    """Add the three qualities; 0 where there is nothing to divide by."""
    table = pd.DataFrame(sums)
    tp, iou_sum = table["tp"].to_numpy(dtype=float), table["iou_sum"].to_numpy()
    claimed = tp + (table["fp"] + table["fn"]).to_numpy() / 2
    table.insert(0, "pq", iou_sum / np.maximum(claimed, 0.5))
    table.insert(1, "sq", iou_sum / np.maximum(tp, 1.0))
    table.insert(2, "rq", tp / np.maximum(claimed, 0.5))
    return table


def _check_images(images: Sequence[PanopticCounts], categories: Sequence[PanopticCategory]) -> None:
    check_rising([image.image_id for image in images])
    names = [category.name for category in categories]
    if len(set(names)) != len(names):
        raise ValueError(f"names of categories must differ, got {names}.")
    for image in images:
        if len(image.tp_K) != len(categories):
            raise ValueError(
                f"image {image.image_id} has {len(image.tp_K)} categories, {len(categories)} are named."
            )
