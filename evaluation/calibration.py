"""Whether scores mean what they say: of all detections of score 0.8, four in five should find a region.

Sources: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, arXiv 1706.04599, equations 2 to 5
(bins, expected and maximum calibration error); Kueppers et al., "Multivariate Confidence Calibration for
Object Detection", CVPR Workshops 2020, arXiv 2004.13546, for detections (D-ECE): precision at an IoU takes
the place of accuracy, since what was not detected has no score.
Difference: Kueppers et al. also bin by place and size of the box; here only by score, as Guo et al. do.

Shape suffixes:
    N = detections that count   M = bins of score
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.definition import Kind
from evaluation.tables import Tables

BINS = 10
"""Of equal width; bin m holds scores in (m / M, (m + 1) / M], the first one also 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreBin:
    """Detections of similar score."""

    low: float
    high: float
    """Ends of the bin; the lower one belongs to the bin before."""
    count: int
    mean_score: float | None
    """None without a detection."""
    precision: float | None
    """Share that found a region at IoU 0.5; None without a detection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How far scores and precision lie apart."""

    bins: tuple[ScoreBin, ...]
    """By rising score."""
    expected_error: float
    """Mean over the detections of |precision - mean score| of their bin, a fraction in [0, 1]."""
    largest_error: float
    """The largest |precision - mean score| of a bin with detections."""
    mean_score: float
    """Over all detections; above the precision the model is too sure of itself."""
    precision: float
    """Over all detections."""
    count: int


def calibrate(tables: Tables, kind: Kind, *, num_bins: int = BINS) -> Calibration:
    """Compare scores with precision at IoU 0.5, bin by bin.

    Args:
        tables: Without problems. Detections on a crowd region do not count.
        kind: Which overlap decided the matches.
        num_bins: At least 1.

    Raises:
        ValueError: If no detection counts, or there is no bin.

    Example:
        Scores 0.9 (right), 0.9 (wrong), 0.1 (wrong), ten bins: 2/3 of 0.4 plus 1/3 of 0.1 make 0.3.
    """
    if num_bins < 1:
        raise ValueError(f"num_bins must be at least 1, got {num_bins}.")
    counted = tables.matches[~tables.matches[f"{kind}_ignored_50"]]
    score_N = counted["score"].to_numpy(np.float64)
    if not len(score_N):
        raise ValueError("no detection counts; a calibration error over nothing is refused.")
    right_N = counted[f"{kind}_matched_50"].to_numpy(dtype=np.float64)
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    bin_N = np.clip(np.searchsorted(edges, score_N, side="left") - 1, 0, num_bins - 1)
    count_M = np.bincount(bin_N, minlength=num_bins)
    score_M = _mean(bin_N, score_N, count_M)
    precision_M = _mean(bin_N, right_N, count_M)
    gap_M = np.abs(precision_M - score_M)
    return Calibration(
        bins=tuple(
            ScoreBin(
                low=float(edges[m]),
                high=float(edges[m + 1]),
                count=int(count_M[m]),
                mean_score=float(score_M[m]) if count_M[m] else None,
                precision=float(precision_M[m]) if count_M[m] else None,
            )
            for m in range(num_bins)
        ),
        expected_error=float((count_M * gap_M).sum() / len(score_N)),
        largest_error=float(gap_M.max()),
        mean_score=float(score_N.mean()),
        precision=float(right_N.mean()),
        count=len(score_N),
    )


def _mean(
    bin_N: npt.NDArray[np.int64], value_N: npt.NDArray[np.float64], count_M: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Average the values of each bin; an empty bin has the mean 0 on both sides, and so no gap."""
    sum_M = np.bincount(bin_N, weights=value_N, minlength=len(count_M))
    return np.asarray(sum_M / np.maximum(count_M, 1))
