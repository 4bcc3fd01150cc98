"""Intervals by resampling images: every metric recomputed from the tables under weights of the images.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 14. Two models are
compared on the same resamples, so that images that are hard for both do not widen the interval.

Shape suffixes:
    B = resamples   G = groups of images left out in turn   I = images
"""

import numpy as np
import numpy.typing as npt

from evaluation.definition import DETECTION, Definition
from evaluation.expressions import EXPRESSION_METRICS, Expressions, by_image, expressions_under
from evaluation.intervals import (
    FloatArray,
    Interval,
    Method,
    bca_interval,
    leave_out_weights,
    percentile_interval,
)
from evaluation.tables import Tables
from evaluation.weighted import DETECTION_METRICS, is_defined, items, metric_under

__all__ = [
    "FloatArray",
    "Interval",
    "Measured",
    "Method",
    "counted",
    "definition_behind",
    "difference",
    "draw_weights",
    "image_ids",
    "interval",
    "on_images",
    "recompute",
    "supports",
]

Measured = Tables | Expressions
"""What one model did, with detections or with referring expressions."""


def draw_weights(num_images: int, *, resamples: int, seed: int) -> FloatArray:
    """Draw how often each image occurs in each resample, shape (B, I), float64; rows sum to I."""
    generator = np.random.default_rng(seed)
    chances = np.full(num_images, 1.0 / num_images)
    return generator.multinomial(num_images, chances, size=resamples).astype(np.float64)


def interval(
    tables: Measured, metric: str, weight_BI: FloatArray, *, alpha: float, method: Method = "percentile"
) -> Interval:
    """Return the value of one model with its interval.

    Args:
        tables: What the model did.
        metric: Any name that ``supports`` accepts.
        weight_BI: From ``draw_weights``.
        alpha: Share outside the interval, in (0, 1).
        method: How the ends are read off the resamples.

    Raises:
        ValueError: If the metric cannot be recomputed, a resample holds no region, or BCa has no answer.
    """
    values = recompute(tables, metric, _all_rows(weight_BI, method))
    return _read(values, len(weight_BI), alpha=alpha, method=method)


def difference(
    candidate: Measured,
    champion: Measured,
    metric: str,
    weight_BI: FloatArray,
    *,
    alpha: float,
    method: Method = "percentile",
) -> Interval:
    """Return candidate minus champion with its interval, paired by image.

    Raises:
        ValueError: If the images differ, the metric cannot be recomputed, a resample holds no region, or BCa
            has no answer.
    """
    if image_ids(candidate).tolist() != image_ids(champion).tolist():
        raise ValueError("candidate and champion were evaluated on different images.")
    rows = _all_rows(weight_BI, method)
    change = recompute(candidate, metric, rows) - recompute(champion, metric, rows)
    return _read(change, len(weight_BI), alpha=alpha, method=method)


def supports(metric: str) -> bool:
    """Say whether the tables hold enough to recompute a metric: all but the averages over area ranges."""
    return metric in DETECTION_METRICS or metric in EXPRESSION_METRICS


def recompute(tables: Measured, metric: str, weight_BI: FloatArray) -> FloatArray:
    """Return the metric as if image i occurred ``weight_BI[b, i]`` times, shape (B,), float64.

    Args:
        tables: What the model did; I images.
        metric: Any name that ``supports`` accepts and the tables are of.
        weight_BI: Weights of at least 0; all 1 gives the metric itself.

    Raises:
        ValueError: If the metric cannot be recomputed, or a resample holds no region.
    """
    known = {spec.name for spec in definition_behind(tables).metrics if supports(spec.name)}
    if metric not in known:
        raise ValueError(f"{metric!r} cannot be recomputed from the tables; known: {sorted(known)}.")
    if weight_BI.ndim != 2 or weight_BI.shape[1] != len(image_ids(tables)):
        raise ValueError(f"weights must have shape (B, {len(image_ids(tables))}), got {weight_BI.shape}.")
    if isinstance(tables, Expressions):
        return expressions_under(tables, metric, weight_BI)
    return metric_under(tables, metric, weight_BI)


def image_ids(tables: Measured) -> npt.NDArray[np.int64]:
    """Return the images of the tables by rising id, shape (I,)."""
    if isinstance(tables, Expressions):
        return tables.image_ids
    return tables.per_image["image_id"].to_numpy(np.int64)


def definition_behind(tables: Measured) -> Definition:
    """Return the definition whose metrics the tables hold."""
    return tables.definition if isinstance(tables, Expressions) else DETECTION


def counted(tables: Measured, metric: str) -> tuple[int, int]:
    """Count what a metric rests on: images with at least one item, and items.

    Items are regions, for a mean over detections those detections, for ``detections_per_image`` the images,
    and for referring metrics expressions.
    """
    item_I = by_image(tables, metric)[2] if isinstance(tables, Expressions) else items(tables, metric)
    return int((item_I > 0).sum()), int(item_I.sum())


def on_images(tables: Measured, metric: str, wanted: tuple[int, ...]) -> dict[int, float]:
    """Return a metric on each of some images alone; an image without anything to score is absent.

    Raises:
        ValueError: If the metric cannot be recomputed.
    """
    match tables:
        case Expressions():
            has_I = by_image(tables, metric)[1] > 0
        case _:
            has_I = is_defined(tables, metric)
    ids = image_ids(tables)
    place = np.flatnonzero(np.isin(ids, list(wanted)) & has_I)
    if not len(place):
        return {}
    alone = np.zeros((len(place), len(ids)))
    alone[np.arange(len(place)), place] = 1.0
    return dict(zip(ids[place].tolist(), recompute(tables, metric, alone).tolist(), strict=True))


def _all_rows(weight_BI: FloatArray, method: Method) -> FloatArray:
    """Put in one: the images as they are, the resamples, and for BCa each group left out."""
    num_images = weight_BI.shape[1]
    rows = [np.ones((1, num_images)), weight_BI]
    rows += [leave_out_weights(num_images)] if method == "bca" else []
    return np.concatenate(rows)


def _read(values: FloatArray, resamples: int, *, alpha: float, method: Method) -> Interval:
    value, values_B, left_out_G = float(values[0]), values[1 : 1 + resamples], values[1 + resamples :]
    if method == "bca":
        return bca_interval(value, values_B, left_out_G, alpha=alpha)
    return percentile_interval(value, values_B, alpha=alpha)
