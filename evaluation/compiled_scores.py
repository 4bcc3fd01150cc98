"""The compiled loop of COCO's accumulation: precision over recall of each category and area range.

The arithmetic is that of ``COCOeval.accumulate`` of pycocotools, operation by operation.

Shape suffixes:
    N = detections   T = thresholds of IoU   A = area ranges   K = categories   R = points of recall
    M = caps on detections   P = right detections
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

Array: TypeAlias = npt.NDArray[Any]

ALL = np.int64(2**10 - 1)
"""Every threshold."""


@njit(cache=True, nogil=True)
def accumulate(
    by_category_N: Array, first: Array, score_N: Array, rank_N: Array, right_AN: Array, ignored_AN: Array,
    regions_KA: Array, recall_R: Array, cap_M: Array, precision: Array, score: Array, recall: Array,
) -> None:  # fmt: skip
    """Fill precision and score (T, R, K, A) and recall (T, K, A, M); left alone where there is no region.

    Args:
        by_category_N: Detections by category and falling score.
        first: Where each category begins, shape (K + 1,).
        score_N: Confidence.
        rank_N: Place of a detection among those of its image and category.
        right_AN: Bits of the thresholds at which a detection is right.
        ignored_AN: Bits of the thresholds at which it is neither right nor wrong.
        regions_KA: Number of regions that count.
        recall_R: Points of recall, rising.
        cap_M: Detections of an image and category that count, rising.
        precision: Filled.
        score: Filled.
        recall: Filled.
    """
    num_t = precision.shape[0]
    for k in range(len(first) - 1):
        for a in range(len(right_AN)):
            regions = regions_KA[k, a]
            if regions == 0:
                continue
            precision[:, :, k, a] = 0.0
            score[:, :, k, a] = 0.0
            claims_TP, place_TP = np.empty((num_t, regions), np.int64), np.empty((num_t, regions), np.int64)
            found_T, extra_T = np.zeros(num_t, np.int64), np.zeros(num_t, np.int64)
            found_TM = np.zeros((num_t, len(cap_M)), np.int64)
            common = np.int64(0)
            for place in range(first[k], first[k + 1]):
                n = by_category_N[place]
                right, counted = np.int64(right_AN[a, n]), ALL & ~np.int64(ignored_AN[a, n])
                if right == 0 and counted == ALL:
                    common += 1
                    continue
                if counted == 0:
                    continue
                for t in range(num_t):
                    extra_T[t] += (counted >> t) & 1
                    if (right >> t) & 1:
                        claims_TP[t, found_T[t]], place_TP[t, found_T[t]] = common + extra_T[t], n
                        found_T[t] += 1
                        for m in range(len(cap_M)):
                            found_TM[t, m] += rank_N[n] < cap_M[m]
            for t in range(num_t):
                for m in range(len(cap_M)):
                    recall[t, k, a, m] = found_TM[t, m] / regions
                interpolate(
                    claims_TP[t, : found_T[t]], place_TP[t, : found_T[t]], score_N, regions, recall_R,
                    precision[t, :, k, a], score[t, :, k, a],
                )  # fmt: skip
                if first[k] < first[k + 1]:
                    # Recall 0 is reached by the first detection, right or wrong.
                    score[t, 0, k, a] = score_N[by_category_N[first[k]]]


@njit(cache=True, nogil=True)
def interpolate(
    claims_P: Array,
    place_P: Array,
    score_N: Array,
    regions: int,
    recall_R: Array,
    precision_R: Array,
    score_R: Array,
) -> None:
    """Write the best precision at each recall or beyond, and the score at which that recall is reached."""
    best, r, highest = 0.0, len(recall_R) - 1, len(claims_P)
    while r >= 0 and recall_R[r] > highest / regions:
        r -= 1
    for p in range(len(claims_P) - 1, -1, -1):
        best = max(best, (p + 1) / (claims_P[p] + 2.0**-52))
        # These points are reached by detection p, not by the one before.
        while r >= 0 and (recall_R[r] > p / regions or p == 0):
            precision_R[r], score_R[r] = best, score_N[place_P[p]]
            r -= 1
