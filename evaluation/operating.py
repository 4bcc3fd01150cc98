"""What a model does at each score that it could be cut at: precision, recall and F1 at IoU 0.5.

Definitions: of the detections whose score reaches the cut, precision is the share that found a region and
recall the share of all regions that they found; F1 is their harmonic mean (van Rijsbergen, "Information
Retrieval", 2nd edition 1979, chapter 7, with equal weights), 2 TP / (2 TP + FP + FN). All categories are
counted together. A detection on a crowd region is neither right nor wrong.

Detections choose regions by falling score, so those below a cut never change the matches of those above it:
the matches of the tables, cut at a score, are the matches of the cut detections.

Shape suffixes:
    N = detections that count, by falling score   S = scores that occur, falling
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.definition import Kind
from evaluation.tables import Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """One cut and what comes of it."""

    score: float
    """Detections of at least this score are kept, a fraction in [0, 1]."""
    precision: float
    recall: float
    f1: float
    detections: int
    """Kept and counted: those on a crowd are not."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OperatingCurve:
    """Every cut that makes a difference, by falling score; empty without detections that count."""

    score: npt.NDArray[np.float64]
    """Shape (S,)."""
    precision: npt.NDArray[np.float64]
    """Fractions in [0, 1], shape (S,)."""
    recall: npt.NDArray[np.float64]
    """Fractions in [0, 1], shape (S,)."""
    f1: npt.NDArray[np.float64]
    """Fractions in [0, 1], shape (S,)."""
    detections: npt.NDArray[np.int64]
    """How many are kept, shape (S,)."""

    def best(self) -> OperatingPoint:
        """Return the cut of highest F1; among equals the highest score.

        Raises:
            ValueError: If there is no detection to cut.
        """
        if not len(self.score):
            raise ValueError("no detection counts, so there is no score to cut at.")
        place = int(self.f1.argmax())
        return OperatingPoint(
            score=float(self.score[place]),
            precision=float(self.precision[place]),
            recall=float(self.recall[place]),
            f1=float(self.f1[place]),
            detections=int(self.detections[place]),
        )


def operating_curve(tables: Tables, kind: Kind) -> OperatingCurve:
    """Cut at every score that occurs.

    Args:
        tables: Without problems.
        kind: Which overlap decided the matches, at IoU 0.5.

    Returns:
        One entry for each distinct score of a detection that counts, by falling score.

    Raises:
        ValueError: If no image has a region: recall has no value.

    Example:
        Two regions; detections of 0.9 (right), 0.7 (wrong) and 0.6 (right): F1 is 2/3, 1/2 and 4/5.
    """
    regions = int(tables.per_image["num_regions"].sum())
    if not regions:
        raise ValueError("no image has a region; precision and recall over nothing are refused.")
    counted = tables.matches[~tables.matches[f"{kind}_ignored_50"]]
    score_N = counted["score"].to_numpy(np.float64)
    order_N = np.argsort(-score_N, kind="stable")
    score_N = score_N[order_N]
    right_N = counted[f"{kind}_matched_50"].to_numpy(dtype=bool)[order_N]
    last_S = np.flatnonzero(np.diff(score_N, append=-1.0))  # equal scores are cut together
    right_S = np.cumsum(right_N)[last_S]
    kept_S = last_S + 1
    return OperatingCurve(
        score=score_N[last_S],
        precision=right_S / kept_S,
        recall=right_S / regions,
        f1=2 * right_S / (kept_S + regions),
        detections=kept_S.astype(np.int64),
    )
