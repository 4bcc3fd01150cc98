"""Intervals read off resamples: percentile, and bias-corrected and accelerated (BCa).

Sources: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile) and section
14.3 (BCa, equations 14.9 to 14.15); the jackknife over groups of images where there are many is that of
Efron and Narasimhan, "The Automatic Construction of Bootstrap Confidence Intervals", 2020, section 3.

Shape suffixes:
    B = resamples   G = groups of images left out in turn   I = images
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

FloatArray = npt.NDArray[np.float64]
Method = Literal["percentile", "bca"]

MOST_GROUPS = 1000
"""Up to so many images are left out one by one; of more, every thousandth together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value and where it lies when images are drawn anew."""

    value: float
    """Over the images as they are."""
    low: float
    high: float
    alpha: float
    """Share of the resamples outside the interval, half on each side."""


def percentile_interval(value: float, values_B: FloatArray, *, alpha: float) -> Interval:
    """Cut ``alpha / 2`` of the resamples off on each side.

    Args:
        value: Over the images as they are.
        values_B: Over each resample, shape (B,).
        alpha: Share outside the interval, in (0, 1).

    Raises:
        ValueError: If alpha is not in (0, 1).
    """
    _check_alpha(alpha)
    low, high = np.quantile(values_B, [alpha / 2, 1 - alpha / 2])
    return Interval(value=value, low=float(low), high=float(high), alpha=alpha)


def bca_interval(value: float, values_B: FloatArray, left_out_G: FloatArray, *, alpha: float) -> Interval:
    """Move both cuts by the bias of the resamples and by how their spread grows with the value.

    Where leaving images out changes nothing the acceleration is 0; resamples that all equal the value give
    an interval without width, as the percentile interval does.

    Args:
        value: Over the images as they are.
        values_B: Over each resample, shape (B,).
        left_out_G: Over all images but one group, for each group, shape (G,).
        alpha: Share outside the interval, in (0, 1).

    Raises:
        ValueError: If alpha is not in (0, 1), or all resamples lie on one side of the value.
    """
    _check_alpha(alpha)
    if (values_B == value).all():
        return Interval(value=value, low=value, high=value, alpha=alpha)
    # A tie counts half, so that a metric of few steps is not taken for a biased one.
    below = float((values_B < value).mean() + (values_B == value).mean() / 2)
    if not 0.0 < below < 1.0:
        raise ValueError(f"all resamples lie on one side of the value {value}: their bias has no size.")
    bias = float(ndtri(below))
    cuts = [_cut(bias, _acceleration(left_out_G), share) for share in (alpha / 2, 1 - alpha / 2)]
    low, high = np.quantile(values_B, cuts)
    return Interval(value=value, low=float(low), high=float(high), alpha=alpha)


def leave_out_weights(num_images: int) -> FloatArray:
    """Return the weights that leave each group of images out in turn, shape (G, I), each 0 or 1."""
    groups = min(num_images, MOST_GROUPS)
    is_out_GI = np.arange(num_images)[None, :] % groups == np.arange(groups)[:, None]
    return np.where(is_out_GI, 0.0, 1.0)


def _acceleration(left_out_G: FloatArray) -> float:
    pull_G = left_out_G.mean() - left_out_G
    spread = float((pull_G**2).sum())
    # Rounding of equal values is no spread.
    if spread <= len(pull_G) * np.spacing(max(1.0, float(np.abs(left_out_G).max()))) ** 2:
        return 0.0
    return float((pull_G**3).sum() / (6.0 * spread**1.5))


def _cut(bias: float, acceleration: float, share: float) -> float:
    """Return the share of resamples below one end; at the pole of the formula it is the outermost one."""
    moved = bias + float(ndtri(share))
    scale = 1.0 - acceleration * moved
    if scale <= 0.0:
        return 0.0 if moved < 0.0 else 1.0
    return float(ndtr(bias + moved / scale))


def _check_alpha(alpha: float) -> None:
    if not (0.0 < alpha < 1.0 and math.isfinite(alpha)):
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}.")
