"""Detection metrics under weights of the images, from the two tables.

An image of weight 2 counts as two images, one of weight 0 is not there. Sums of whole weights are exact, so
no order of summation changes them, and neither does the number of threads. Average precision is a compiled
loop: 3,000 rows of weights over half a million detections take it a second, where NumPy takes eight.

Shape suffixes:
    B = rows of weights   b = some of them   I = images   K = categories with regions
    T = thresholds of IoU   N = detections by category and falling score   R = points of recall
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.definition import CAPS, IOU_PERCENT, KINDS, RECALL_POINTS
from evaluation.flat import stable_order
from evaluation.tables import Tables
from evaluation.threads import share_out

FloatArray = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_RECALL_R = np.linspace(0.0, 1.0, RECALL_POINTS)
_ROWS = 64  # of weights at a time: those of 5,000 images stay in the cache


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sorted:
    """The detections by category and falling score, and the regions."""

    matches: pd.DataFrame
    rows: Ints
    """Which rows of the matches, in order, shape (N,)."""
    image: Ints
    """Place of the image of each detection, shape (N,)."""
    code: Ints
    """Place of its category among those with regions, shape (N,)."""
    names: list[str]
    """The categories with regions, shape (K,)."""
    regions: FloatArray
    """Number in each image, shape (K, I)."""

    def bits(self, column: str, percents: tuple[int, ...]) -> npt.NDArray[np.uint16]:
        """Return flags of several thresholds in this order; bit t stands for ``percents[t]``, shape (N,)."""
        bits_N = np.zeros(len(self.matches), dtype=np.uint16)
        for t, percent in enumerate(percents):
            flags_N = self.matches[column.format(percent)].to_numpy(dtype=bool)
            bits_N |= flags_N.astype(np.uint16) << np.uint16(t)
        return bits_N[self.rows]


OfCategories = Callable[[_Sorted, FloatArray, FloatArray], FloatArray]
"""Detections, weights (B, I) and regions (K, B) -> values where there are regions, shape (K, B)."""


def metric_under(tables: Tables, metric: str, weight_BI: FloatArray) -> FloatArray:
    """Return a metric for each row of weights, shape (B,).

    Args:
        tables: Without problems.
        metric: A key of ``DETECTION_METRICS``.
        weight_BI: Of at least 0, shape (B, I).

    Raises:
        ValueError: If a row holds no region.
    """
    return DETECTION_METRICS[metric](tables, weight_BI)


def by_category(tables: Tables, metric: str) -> dict[str, float]:
    """Return a metric of every category that has regions, over the images as they are.

    Raises:
        ValueError: If the metric is none of a category.
    """
    once_1I = np.ones((1, len(tables.per_image)))
    if metric in _OF_CATEGORY:
        return {name: float(value_B[0]) for name, _, value_B in _each(tables, once_1I, _OF_CATEGORY[metric])}
    if metric not in _MEANS:
        raise ValueError(f"{metric!r} has no value of one category.")
    rows_of = tables.matches.groupby("category").indices
    values = {}
    for name in tables.categories:
        if tables.regions_of(name).any():
            of_name = tables.matches.iloc[rows_of.get(name, [])]
            one = Tables(per_image=tables.per_image, matches=of_name)
            values[name] = float(DETECTION_METRICS[metric](one, once_1I)[0])
    return values


def has_categories(metric: str) -> bool:
    """Say whether ``by_category`` knows the metric."""
    return metric in _OF_CATEGORY or metric in _MEANS


def items(tables: Tables, metric: str) -> FloatArray:
    """Count what a metric rests on, image by image, shape (I,): regions, detections, pairs, or the image."""
    if metric == "detections_per_image":
        return np.ones(len(tables.per_image))
    if metric not in _MEANS:
        return tables.per_image["num_regions"].to_numpy(np.float64)
    _, among = _MEANS[metric]
    image_N = _place(tables, tables.matches[among(tables.matches)])
    return np.bincount(image_N, minlength=len(tables.per_image)).astype(np.float64)


def is_defined(tables: Tables, metric: str) -> npt.NDArray[np.bool_]:
    """Say for which images alone the metric has a value, shape (I,): those with regions, or any image."""
    if metric == "detections_per_image":
        return np.ones(len(tables.per_image), dtype=bool)
    return tables.per_image["num_regions"].to_numpy() > 0


def _place(tables: Tables, matches: pd.DataFrame) -> npt.NDArray[np.int64]:
    ids_I = tables.per_image["image_id"].to_numpy()
    return np.searchsorted(ids_I, matches["image_id"].to_numpy()).astype(np.int64)


def _sort(tables: Tables) -> _Sorted:
    matches, regions_KI = tables.matches, np.array([tables.regions_of(name) for name in tables.categories])
    has_K = np.asarray(regions_KI.sum(axis=1) > 0, dtype=np.bool_)
    names = [name for name, has in zip(tables.categories, has_K.tolist(), strict=True) if has]
    image_N = _place(tables, matches)
    number_N, known = pd.factorize(matches["category"])
    place_of = {name: k for k, name in enumerate(names)}
    # What has no name has the number -1: the last one.
    code_N = np.array([*(place_of.get(name, -1) for name in known), -1], dtype=np.int64)[number_N]
    # Equal scores keep the order of image and prediction, as in COCO.
    given = _in_order(image_N, matches["detection"].to_numpy(np.int64))
    order_N = given[np.argsort(-matches["score"].to_numpy(np.float64)[given], kind="stable")]
    order_N = order_N[code_N[order_N] >= 0]
    rows_N = stable_order(code_N, within=order_N)
    return _Sorted(
        matches=matches,
        rows=rows_N,
        image=image_N[rows_N],
        code=code_N[rows_N],
        names=names,
        regions=regions_KI[has_K].astype(np.float64),
    )


def _in_order(image_N: Ints, detection_N: Ints) -> Ints:
    """Return the rows by image and place in its predictions; tables as built have them so."""
    same_N = image_N[1:] == image_N[:-1]
    if ((image_N[1:] > image_N[:-1]) | (same_N & (detection_N[1:] >= detection_N[:-1]))).all():
        return np.arange(len(image_N))
    return np.lexsort((detection_N, image_N)).astype(np.int64)


def _each(
    tables: Tables, weight_BI: FloatArray, values: OfCategories
) -> list[tuple[str, npt.NDArray[np.bool_], FloatArray]]:
    """Score each category with regions: name, which rows hold one, values (0 where none), each (B,)."""
    found = _sort(tables)
    regions_KB: FloatArray = found.regions @ weight_BI.T
    has_KB = np.asarray(regions_KB > 0)
    value_KB = np.where(has_KB, values(found, weight_BI, np.where(has_KB, regions_KB, 1.0)), 0.0)
    return list(zip(found.names, has_KB, value_KB, strict=True))


def _over_categories(tables: Tables, weight_BI: FloatArray, values: OfCategories) -> FloatArray:
    """Average a metric over the categories that have regions in a row."""
    sum_B, count_B = np.zeros(len(weight_BI)), np.zeros(len(weight_BI))
    for _, has_B, value_B in _each(tables, weight_BI, values):
        sum_B += value_B
        count_B += has_B
    if not count_B.all():
        raise ValueError(f"{int((count_B == 0).sum())} of {len(count_B)} resamples hold no region.")
    return sum_B / count_B


def _average_precision(
    found: _Sorted, weight_BI: FloatArray, regions_KB: FloatArray, *, kind: str, percents: tuple[int, ...]
) -> FloatArray:
    """Interpolate precision at 101 points of recall; only right detections can raise it.

    A detection of weight w counts as w detections of the same score.
    """
    from evaluation.compiled_weights import precision_areas

    right_N = found.bits(f"{kind}_matched_{{}}", percents)
    ignored_N = found.bits(f"{kind}_ignored_{{}}", percents)
    wrong_N = (right_N | ignored_N) == 0
    other_N = ~wrong_N
    categories = np.arange(len(found.names) + 1)
    arrays = (
        found.image[wrong_N], found.image[other_N], np.cumsum(wrong_N)[other_N],
        right_N[other_N], ignored_N[other_N],
        np.searchsorted(found.code[other_N], categories), np.searchsorted(found.code[wrong_N], categories),
    )  # fmt: skip
    area_TKB = np.empty((len(percents), *regions_KB.shape))
    exact_BI, sum_type = _exact(weight_BI, len(right_N))

    def work(begin: int, end: int) -> None:
        weight_Ib = np.ascontiguousarray(exact_BI[begin:end].T)
        area_TKb = np.empty((*area_TKB.shape[:2], end - begin))
        room_2b: npt.NDArray[np.generic] = np.empty((2, end - begin), dtype=sum_type)
        regions_Kb = np.ascontiguousarray(regions_KB[:, begin:end])
        precision_areas(weight_Ib, *arrays, regions_Kb, _RECALL_R, room_2b, area_TKb)
        area_TKB[:, :, begin:end] = area_TKb

    share_out(work, len(weight_BI), at_once=_ROWS)
    return np.asarray(area_TKB.mean(axis=0))


def _exact(weight_BI: FloatArray, count: int) -> tuple[npt.NDArray[np.generic], type]:
    """Return the weights in 16 bits, where they are whole and no sum outgrows 32 bits; else as they are."""
    highest = weight_BI.max(initial=0.0)
    if not highest < min(2**16, 2**31 / max(count, 1)):
        return weight_BI, np.float64
    short_BI = weight_BI.astype(np.uint16)
    return (short_BI, np.int32) if (short_BI == weight_BI).all() else (weight_BI, np.float64)


def _recall(
    found: _Sorted,
    weight_BI: FloatArray,
    regions_KB: FloatArray,
    *,
    kind: str,
    percents: tuple[int, ...],
    cap: int | None = None,
) -> FloatArray:
    right_N = np.bitwise_count(found.bits(f"{kind}_matched_{{}}", percents)).astype(np.float64)
    if cap is not None:
        right_N *= _rank(found) < cap
    num_images = weight_BI.shape[1]
    code_N = found.code * num_images + found.image
    right_KI = np.bincount(code_N, weights=right_N, minlength=found.regions.size).reshape(-1, num_images)
    return np.asarray(right_KI @ weight_BI.T / len(percents) / regions_KB)


def _rank(found: _Sorted) -> Ints:
    """Count the detections of the same image and category that come before, shape (N,)."""
    keys = pd.DataFrame({"image": found.image, "code": found.code})
    return np.asarray(keys.groupby(["image", "code"]).cumcount(), dtype=np.int64)


def _mean_over_detections(tables: Tables, weight_BI: FloatArray, *, metric: str) -> FloatArray:
    """Average a column of the matches over some of the detections; over none it is 0."""
    column, among = _MEANS[metric]
    images, matches = tables.per_image, tables.matches[among(tables.matches)]
    if not (regions_B := weight_BI @ images["num_regions"].to_numpy(np.float64)).all():
        raise ValueError(f"{int((regions_B == 0).sum())} of {len(regions_B)} resamples hold no region.")
    value_N = matches[column].to_numpy(dtype=np.float64, na_value=0.0)
    image_N = _place(tables, matches)
    sum_B = weight_BI @ np.bincount(image_N, weights=value_N, minlength=len(images))
    count_B = weight_BI @ np.bincount(image_N, minlength=len(images)).astype(np.float64)
    return np.divide(sum_B, count_B, out=np.zeros(len(weight_BI)), where=count_B > 0)


def _detections_per_image(tables: Tables, weight_BI: FloatArray) -> FloatArray:
    count_I = tables.per_image["num_detections"].to_numpy(np.float64)
    mean_B: FloatArray = weight_BI @ count_I / weight_BI.sum(axis=1)
    return mean_B


_OF_KIND = {
    "ap": partial(_average_precision, percents=IOU_PERCENT),
    "ap50": partial(_average_precision, percents=(50,)),
    "ap75": partial(_average_precision, percents=(75,)),
    "ar_all": partial(_recall, percents=IOU_PERCENT),
    "recall50": partial(_recall, percents=(50,)),
} | {f"ar_{cap}": partial(_recall, percents=IOU_PERCENT, cap=cap) for cap in CAPS}

_OF_CATEGORY: dict[str, OfCategories] = {
    f"{kind}.{name}": partial(function, kind=kind) for kind in KINDS for name, function in _OF_KIND.items()
}

_MEANS: dict[str, tuple[str, Callable[[pd.DataFrame], "pd.Series[bool]"]]] = {
    "mask.precision50": ("mask_matched_50", lambda matches: ~matches["mask_ignored_50"]),
    "mask.matched_iou": ("mask_iou", lambda matches: matches["mask_matched_50"]),
    "mask.iou_at_box_match": ("mask_iou_at_box_match", lambda matches: matches["box_matched_50"]),
}
"""Metrics that are means over detections: column, and over which."""

DETECTION_METRICS: dict[str, Callable[[Tables, FloatArray], FloatArray]] = (
    {name: partial(_over_categories, values=values) for name, values in _OF_CATEGORY.items()}
    | {name: partial(_mean_over_detections, metric=name) for name in _MEANS}
    | {"detections_per_image": _detections_per_image}
)
