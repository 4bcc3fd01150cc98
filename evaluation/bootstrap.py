"""Intervals by resampling images: every metric recomputed from the tables under weights of the images.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile interval). Two
models are compared on the same resamples, so that images that are hard for both do not widen the interval.

Shape suffixes:
    B = resamples   I = images   N = detections by falling score   P = right ones among them   R = recall
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.definition import CAPS, IOU_PERCENT, KINDS, RECALL_POINTS
from evaluation.tables import Tables

FloatArray = npt.NDArray[np.float64]

_RECALL_R = np.linspace(0.0, 1.0, RECALL_POINTS)
_CELLS = 1 << 22  # of one array at a time: 32 MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value and where it lies when images are drawn anew."""

    value: float
    """Over the images as they are."""
    low: float
    high: float
    alpha: float
    """Share of the resamples outside the interval, half on each side."""


def draw_weights(num_images: int, *, resamples: int, seed: int) -> FloatArray:
    """Draw how often each image occurs in each resample, shape (B, I), float64; rows sum to I."""
    generator = np.random.default_rng(seed)
    chances = np.full(num_images, 1.0 / num_images)
    return generator.multinomial(num_images, chances, size=resamples).astype(np.float64)


def interval(tables: Tables, metric: str, weight_BI: FloatArray, *, alpha: float) -> Interval:
    """Return the value of one model with its percentile interval.

    Args:
        tables: What the model did.
        metric: Any name that ``supports`` accepts.
        weight_BI: From ``draw_weights``.
        alpha: Share outside the interval, in (0, 1).

    Raises:
        ValueError: If the metric cannot be recomputed, or a resample holds no region.
    """
    value = float(recompute(tables, metric, np.ones((1, weight_BI.shape[1])))[0])
    return _percentiles(value, recompute(tables, metric, weight_BI), alpha)


def difference(
    candidate: Tables, champion: Tables, metric: str, weight_BI: FloatArray, *, alpha: float
) -> Interval:
    """Return candidate minus champion with its percentile interval, paired by image.

    Raises:
        ValueError: If the images differ, the metric cannot be recomputed, or a resample holds no region.
    """
    if candidate.per_image["image_id"].tolist() != champion.per_image["image_id"].tolist():
        raise ValueError("candidate and champion were evaluated on different images.")
    once_1I = np.ones((1, weight_BI.shape[1]))
    value = recompute(candidate, metric, once_1I)[0] - recompute(champion, metric, once_1I)[0]
    change_B = recompute(candidate, metric, weight_BI) - recompute(champion, metric, weight_BI)
    return _percentiles(float(value), change_B, alpha)


def supports(metric: str) -> bool:
    """Say whether the tables hold enough to recompute a metric: all but the averages over area ranges."""
    return metric in _METRICS


def recompute(tables: Tables, metric: str, weight_BI: FloatArray) -> FloatArray:
    """Return the metric as if image i occurred ``weight_BI[b, i]`` times, shape (B,), float64.

    Args:
        tables: What the model did; I images.
        metric: Any name that ``supports`` accepts.
        weight_BI: Weights of at least 0; all 1 gives the metric itself.

    Raises:
        ValueError: If the metric cannot be recomputed, or a resample holds no region.
    """
    if metric not in _METRICS:
        raise ValueError(f"{metric!r} cannot be recomputed from the tables; known: {sorted(_METRICS)}.")
    if weight_BI.ndim != 2 or weight_BI.shape[1] != len(tables.per_image):
        raise ValueError(f"weights must have shape (B, {len(tables.per_image)}), got {weight_BI.shape}.")
    return _METRICS[metric](tables, weight_BI)


def _percentiles(value: float, values_B: FloatArray, alpha: float) -> Interval:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}.")
    low, high = np.quantile(values_B, [alpha / 2, 1 - alpha / 2])
    return Interval(value=value, low=float(low), high=float(high), alpha=alpha)


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


def _categories(tables: Tables) -> Iterator[_Category]:
    matches = tables.matches
    image_id, name_N = matches["image_id"].to_numpy(), matches["category"].to_numpy(dtype=object)
    # Equal scores keep the order of image and prediction, as in COCO.
    order_N = np.lexsort((matches["detection"], image_id, -matches["score"].to_numpy()))
    image_N = np.searchsorted(tables.per_image["image_id"].to_numpy(), image_id)
    keys = pd.DataFrame({"image": image_N[order_N], "name": name_N[order_N]})
    rank_N = np.asarray(keys.groupby(["image", "name"]).cumcount(), dtype=np.int64)
    for name in tables.categories:
        place_N = np.flatnonzero(keys["name"].to_numpy() == name)
        yield _Category(
            matches=matches,
            rows=order_N[place_N],
            image=image_N[order_N[place_N]],
            rank=rank_N[place_N],
            regions=tables.regions_of(name).astype(np.float64),
        )


def _over_categories(
    tables: Tables, weight_BI: FloatArray, of_category: Callable[[_Category, FloatArray], FloatArray]
) -> FloatArray:
    """Average a metric over the categories that have regions in a resample."""
    sum_B, count_B = np.zeros(len(weight_BI)), np.zeros(len(weight_BI))
    for category in _categories(tables):
        if category.regions.any():
            has_B = weight_BI @ category.regions > 0
            sum_B[has_B] += of_category(category, weight_BI[has_B])
            count_B += has_B
    if not count_B.all():
        raise ValueError(f"{int((count_B == 0).sum())} of {len(count_B)} resamples hold no region.")
    return sum_B / count_B


def _average_precision(
    tables: Tables, weight_BI: FloatArray, *, kind: str, percents: tuple[int, ...]
) -> FloatArray:
    def of_category(category: _Category, weight_BI: FloatArray) -> FloatArray:
        areas = [_precision_area(category, weight_BI, f"{kind}_{{}}_{percent}") for percent in percents]
        return np.asarray(np.mean(areas, axis=0))

    return _over_categories(tables, weight_BI, of_category)


def _precision_area(category: _Category, weight_BI: FloatArray, column: str) -> FloatArray:
    """Interpolate precision at 101 points of recall; only right detections can raise it.

    A detection of weight w counts as w detections of the same score.
    """
    counted_N = ~category.column(column.format("ignored"))
    right_P = np.flatnonzero(category.column(column.format("matched"))[counted_N])
    image_N = category.image[counted_N]
    regions_B = weight_BI @ category.regions
    value_B = np.zeros(len(weight_BI))
    step = max(1, _CELLS // max(len(image_N), 1))
    for start in range(0, len(weight_BI) if len(right_P) else 0, step):
        weight_bI = weight_BI[start : start + step]
        claimed_bP = np.cumsum(weight_bI[:, image_N], axis=1)[:, right_P]
        right_bP = np.cumsum(weight_bI[:, image_N[right_P]], axis=1)
        precision_bP = right_bP / (claimed_bP + np.spacing(1))
        best_bP = np.maximum.accumulate(precision_bP[:, ::-1], axis=1)[:, ::-1]
        recall_bP = right_bP / regions_B[start : start + step, None]
        for b, (best_P, recall_P) in enumerate(zip(best_bP, recall_bP, strict=True)):
            place_R = np.searchsorted(recall_P, _RECALL_R, side="left")
            value_B[start + b] = best_P[place_R[place_R < len(best_P)]].sum() / RECALL_POINTS
    return value_B


def _recall(
    tables: Tables, weight_BI: FloatArray, *, kind: str, percents: tuple[int, ...], cap: int | None = None
) -> FloatArray:
    def of_category(category: _Category, weight_BI: FloatArray) -> FloatArray:
        allowed_N = category.rank < (len(category.rank) if cap is None else cap)
        right_N = np.sum([category.column(f"{kind}_matched_{percent}") for percent in percents], axis=0)
        right_I = np.bincount(category.image, weights=right_N * allowed_N, minlength=len(category.regions))
        found_B: FloatArray = weight_BI @ right_I / len(percents) / (weight_BI @ category.regions)
        return found_B

    return _over_categories(tables, weight_BI, of_category)


def _mean_over_detections(
    tables: Tables, weight_BI: FloatArray, *, column: str, among: Callable[[pd.DataFrame], "pd.Series[bool]"]
) -> FloatArray:
    """Average a column of the matches over some of the detections; over none it is 0."""
    matches, images = tables.matches, tables.per_image
    if not (regions_B := weight_BI @ images["num_regions"].to_numpy(np.float64)).all():
        raise ValueError(f"{int((regions_B == 0).sum())} of {len(regions_B)} resamples hold no region.")
    among_N = among(matches).to_numpy(dtype=bool)
    value_N = matches[column].to_numpy(dtype=np.float64, na_value=0.0)[among_N]
    image_N = np.searchsorted(images["image_id"].to_numpy(), matches["image_id"].to_numpy()[among_N])
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

_METRICS: dict[str, Callable[[Tables, FloatArray], FloatArray]] = {
    f"{kind}.{name}": partial(function, kind=kind) for kind in KINDS for name, function in _OF_KIND.items()
} | {
    "mask.precision50": partial(
        _mean_over_detections, column="mask_matched_50", among=lambda matches: ~matches["mask_ignored_50"]
    ),
    "mask.matched_iou": partial(
        _mean_over_detections, column="mask_iou", among=lambda matches: matches["mask_matched_50"]
    ),
    "mask.iou_at_box_match": partial(
        _mean_over_detections,
        column="mask_iou_at_box_match",
        among=lambda matches: matches["box_matched_50"],
    ),
    "detections_per_image": _detections_per_image,
}
