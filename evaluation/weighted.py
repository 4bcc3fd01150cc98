"""Detection metrics under weights of the images, from the two tables.

An image of weight 2 counts as two images, one of weight 0 is not there. Sums of weights are whole numbers,
so no order of summation changes them.

Shape suffixes:
    B = rows of weights   b = some of them   I = images   K = categories with regions
    N = detections of a category by falling score   P = right ones among them   R = points of recall
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import csr_array

from evaluation.definition import CAPS, IOU_PERCENT, KINDS, RECALL_POINTS
from evaluation.tables import Tables

FloatArray = npt.NDArray[np.float64]
OfWeights = Callable[[FloatArray, FloatArray], FloatArray]
"""Weights (I, b) and regions (b,), at least one of each, -> values of one category, shape (b,)."""

_RECALL_R = np.linspace(0.0, 1.0, RECALL_POINTS)
_ROWS = 64  # of weights at a time: those of 5,000 images stay in the cache


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Category:
    """The detections of one category by falling score, and its regions."""

    matches: pd.DataFrame
    """Of all categories."""
    rows: npt.NDArray[np.int64]
    """Which rows of the matches are of this category, in order, shape (N,)."""
    image: npt.NDArray[np.int64]
    """Place of the image of each detection, shape (N,)."""
    rank: npt.NDArray[np.int64]
    """Place of each detection among those of its image and category, from 0, shape (N,)."""
    regions: FloatArray
    """Number in each image, shape (I,)."""

    def column(self, name: str) -> npt.NDArray[np.bool_]:
        """Return a column of flags in this order, shape (N,)."""
        return self.matches[name].to_numpy(dtype=bool)[self.rows]


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
        return {
            name: float(values_B[0]) for name, _, values_B in _each(tables, once_1I, _OF_CATEGORY[metric])
        }
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


def _categories(tables: Tables) -> Iterator[tuple[str, _Category]]:
    matches = tables.matches
    code_N = pd.Categorical(matches["category"], categories=tables.categories).codes.astype(np.int64)
    # Equal scores keep the order of image and prediction, as in COCO.
    order_N = np.lexsort(
        (matches["detection"], matches["image_id"], -matches["score"].to_numpy(np.float64), code_N)
    )
    image_N, code_N = _place(tables, matches)[order_N], code_N[order_N]
    keys = pd.DataFrame({"image": image_N, "code": code_N})
    rank_N = np.asarray(keys.groupby(["image", "code"]).cumcount(), dtype=np.int64)
    first = np.searchsorted(code_N, np.arange(len(tables.categories) + 1))
    for code, name in enumerate(tables.categories):
        own = slice(first[code], first[code + 1])
        yield (
            name,
            _Category(
                matches=matches,
                rows=order_N[own],
                image=image_N[own],
                rank=rank_N[own],
                regions=tables.regions_of(name).astype(np.float64),
            ),
        )


def _each(
    tables: Tables, weight_BI: FloatArray, prepare: Callable[[_Category], OfWeights]
) -> list[tuple[str, npt.NDArray[np.bool_], FloatArray]]:
    """Score each category with regions: name, which rows hold one, values (0 where none), each (B,)."""
    found = [(name, category) for name, category in _categories(tables) if category.regions.any()]
    of_weights = [prepare(category) for _, category in found]
    regions_KI = np.array([category.regions for _, category in found]).reshape(-1, weight_BI.shape[1])
    has_KB = np.zeros((len(found), len(weight_BI)), dtype=bool)
    value_KB = np.zeros(has_KB.shape)
    for start in range(0, len(weight_BI), _ROWS):
        rows = slice(start, start + _ROWS)
        weight_Ib = np.ascontiguousarray(weight_BI[rows].T)
        regions_Kb = regions_KI @ weight_Ib
        has_KB[:, rows] = regions_Kb > 0
        for k, score in enumerate(of_weights):
            value_KB[k, rows] = score(weight_Ib, np.where(regions_Kb[k] > 0, regions_Kb[k], 1.0))
    return [(name, has_KB[k], np.where(has_KB[k], value_KB[k], 0.0)) for k, (name, _) in enumerate(found)]


def _over_categories(
    tables: Tables, weight_BI: FloatArray, prepare: Callable[[_Category], OfWeights]
) -> FloatArray:
    """Average a metric over the categories that have regions in a row."""
    sum_B, count_B = np.zeros(len(weight_BI)), np.zeros(len(weight_BI))
    for _, has_B, value_B in _each(tables, weight_BI, prepare):
        sum_B += value_B
        count_B += has_B
    if not count_B.all():
        raise ValueError(f"{int((count_B == 0).sum())} of {len(count_B)} resamples hold no region.")
    return sum_B / count_B


def _average_precision(category: _Category, *, kind: str, percents: tuple[int, ...]) -> OfWeights:
    areas = [_precision_area(category, f"{kind}_{{}}_{percent}") for percent in percents]

    def of_weights(weight_Ib: FloatArray, regions_b: FloatArray) -> FloatArray:
        return np.asarray(np.mean([area(weight_Ib, regions_b) for area in areas], axis=0))

    return of_weights


def _precision_area(category: _Category, column: str) -> OfWeights:
    """Interpolate precision at 101 points of recall; only right detections can raise it.

    A detection of weight w counts as w detections of the same score. Detections between two right ones are
    added up by image beforehand.
    """
    counted_N = ~category.column(column.format("ignored"))
    image_N = category.image[counted_N]
    right_P = np.flatnonzero(category.column(column.format("matched"))[counted_N])
    if not len(right_P):
        return lambda weight_Ib, regions_b: np.zeros(len(regions_b))
    claim_N = np.searchsorted(right_P, np.arange(right_P[-1] + 1))
    shape = (len(right_P), len(category.regions))
    claims_PI = csr_array((np.ones(len(claim_N)), (claim_N, image_N[: len(claim_N)])), shape=shape)
    image_P = image_N[right_P]

    def of_weights(weight_Ib: FloatArray, regions_b: FloatArray) -> FloatArray:
        precision_Pb = np.cumsum(weight_Ib[image_P], axis=0)
        reached_Pb = np.searchsorted(_RECALL_R, precision_Pb / regions_b, side="right")
        precision_Pb /= np.cumsum(claims_PI @ weight_Ib, axis=0) + np.spacing(1)
        best_Pb = np.maximum.accumulate(precision_Pb[::-1], axis=0)[::-1]
        points_Pb = np.diff(reached_Pb, axis=0, prepend=0)
        # One after the other: a sum in pairs would depend on how many rows are scored at a time.
        return np.asarray(np.cumsum(best_Pb * points_Pb, axis=0)[-1] / RECALL_POINTS)

    return of_weights


def _recall(
    category: _Category, *, kind: str, percents: tuple[int, ...], cap: int | None = None
) -> OfWeights:
    allowed_N = category.rank < (len(category.rank) if cap is None else cap)
    right_N = np.sum([category.column(f"{kind}_matched_{percent}") for percent in percents], axis=0)
    right_I = np.bincount(category.image, weights=right_N * allowed_N, minlength=len(category.regions))
    image_P = np.flatnonzero(right_I)

    def of_weights(weight_Ib: FloatArray, regions_b: FloatArray) -> FloatArray:
        return np.asarray(right_I[image_P] @ weight_Ib[image_P] / len(percents) / regions_b)

    return of_weights


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

_OF_CATEGORY: dict[str, Callable[[_Category], OfWeights]] = {
    f"{kind}.{name}": partial(function, kind=kind) for kind in KINDS for name, function in _OF_KIND.items()
}

_MEANS: dict[str, tuple[str, Callable[[pd.DataFrame], "pd.Series[bool]"]]] = {
    "mask.precision50": ("mask_matched_50", lambda matches: ~matches["mask_ignored_50"]),
    "mask.matched_iou": ("mask_iou", lambda matches: matches["mask_matched_50"]),
    "mask.iou_at_box_match": ("mask_iou_at_box_match", lambda matches: matches["box_matched_50"]),
}
"""Metrics that are means over detections: column, and over which."""

DETECTION_METRICS: dict[str, Callable[[Tables, FloatArray], FloatArray]] = (
    {name: partial(_over_categories, prepare=prepare) for name, prepare in _OF_CATEGORY.items()}
    | {name: partial(_mean_over_detections, metric=name) for name in _MEANS}
    | {"detections_per_image": _detections_per_image}
)
