"""Intervals of semantic metrics by resampling images: sums of confusions under weights, then the ratios.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

Conventions: those of ``semantic``. A class that a resample does not hold is left out of the mean of that
resample; an interval is over images, not over trainings.

Shape suffixes:
    B = resamples   I = images   K = classes
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from evaluation.bootstrap import draw_weights
from evaluation.intervals import FloatArray, Interval, percentile_interval
from evaluation.semantic import SEMANTIC, ImageConfusion

_METRICS: Final = tuple(spec.name for spec in SEMANTIC.metrics)


def semantic_intervals(
    images: Sequence[ImageConfusion], *, resamples: int, seed: int, alpha: float
) -> dict[str, Interval]:
    """Return every metric with its percentile interval; none where fewer than two images have a pixel.

    Args:
        images: One table an image, equal numbers of classes. One without a pixel that counts is not drawn.
        resamples: How often as many images are drawn.
        seed: Of the draws.
        alpha: Share outside the interval, in (0, 1).

    Raises:
        ValueError: If alpha is not in (0, 1).
    """
    drawn = [image for image in images if image.pixels_KP.any()]
    if len(drawn) < 2:
        return {}
    weight_BI = draw_weights(len(drawn), resamples=resamples, seed=seed)
    whole_1I = np.ones((1, len(drawn)))
    return {
        metric: percentile_interval(
            float(semantic_under(drawn, metric, whole_1I)[0]),
            semantic_under(drawn, metric, weight_BI),
            alpha=alpha,
        )
        for metric in _METRICS
    }


def semantic_under(images: Sequence[ImageConfusion], metric: str, weight_BI: FloatArray) -> FloatArray:
    """Return the metric as if image i occurred ``weight_BI[b, i]`` times, shape (B,), float64.

    Raises:
        ValueError: If there is no such metric, the weights do not fit, or a resample holds no pixel.
    """
    if metric not in _METRICS:
        raise ValueError(f"{metric!r} is no metric of {SEMANTIC.name}; known: {list(_METRICS)}.")
    if weight_BI.ndim != 2 or weight_BI.shape[1] != len(images):
        raise ValueError(f"weights must have shape (B, {len(images)}), got {weight_BI.shape}.")
    right_IK = np.stack([np.diagonal(image.pixels_KP) for image in images]).astype(np.float64)
    true_IK = np.stack([image.pixels_KP.sum(axis=1) for image in images]).astype(np.float64)
    said_IK = np.stack([image.pixels_KP[:, :-1].sum(axis=0) for image in images]).astype(np.float64)
    right_BK, true_BK, said_BK = weight_BI @ right_IK, weight_BI @ true_IK, weight_BI @ said_IK
    if not (true_BK.sum(axis=1) > 0).all():
        raise ValueError("a resample holds no pixel that counts: the images are too few.")
    match metric:
        case "semantic.mean_iou":
            return _mean_ratio(right_BK, true_BK + said_BK - right_BK)
        case "semantic.mean_accuracy":
            return _mean_ratio(right_BK, true_BK)
        case _:
            return np.asarray(right_BK.sum(axis=1) / true_BK.sum(axis=1), dtype=np.float64)


def _mean_ratio(part_BK: FloatArray, whole_BK: FloatArray) -> FloatArray:
    """Average the ratios whose whole is not 0, row by row."""
    occurs_BK = whole_BK > 0
    ratio_BK = part_BK / np.where(occurs_BK, whole_BK, 1.0)
    return np.asarray((ratio_BK * occurs_BK).sum(axis=1) / occurs_BK.sum(axis=1), dtype=np.float64)
