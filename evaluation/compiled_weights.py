"""The compiled loop of average precision under many rows of weights at once.

Rows stand beside each other in memory, so that one instruction serves several of them; a piece of rows is
small enough for its weights to stay in the cache. Sums of whole weights are exact in any order. What every
threshold shares, the detections that are right at none, is added up once.

Shape suffixes:
    b = rows of weights   I = images   K = categories   T = thresholds   R = points of recall
    W = detections wrong at every threshold   U = the others   P = right ones at one threshold
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit

Array: TypeAlias = npt.NDArray[Any]


@njit(cache=True, nogil=True, error_model="numpy")
def precision_areas(
    weight_Ib: Array, image_W: Array, image_U: Array, wrong_U: Array, right_U: Array, ignored_U: Array,
    first: Array, wrong_first: Array, regions_Kb: Array, recall_R: Array, sum_2b: Array, area_TKb: Array,
) -> None:  # fmt: skip
    """Fill the area under the interpolated curve of each threshold, category and row.

    Args:
        weight_Ib: How often each image counts, contiguous.
        image_W: Image of each detection that is wrong at every threshold, by category and falling score.
        image_U: The same of every other detection.
        wrong_U: How many of ``image_W`` come before, counted over all categories.
        right_U: Bits of the thresholds at which it is right.
        ignored_U: Bits of the thresholds at which it is neither right nor wrong.
        first: Where each category begins among U, shape (K + 1,).
        wrong_first: Where each category begins among W, shape (K + 1,).
        regions_Kb: Number of regions, above 0, float64.
        recall_R: Points of recall, multiples of the first above 0, up to 1.
        sum_2b: Room for two sums, of a type that holds the sum of all weights.
        area_TKb: The result, float64.
    """
    num_rows = weight_Ib.shape[1]
    most = 0
    for k in range(len(first) - 1):
        most = max(most, first[k + 1] - first[k])
    shared_Ub = np.empty((most, num_rows), sum_2b.dtype)
    right_Pb, claims_Pb = np.empty((most, num_rows), sum_2b.dtype), np.empty((most, num_rows), sum_2b.dtype)
    best_Pb, level_b = np.empty((most, num_rows), np.float64), np.empty(num_rows, np.int32)
    for k in range(len(first) - 1):
        begin, end = first[k], first[k + 1]
        add_up(weight_Ib, image_W, wrong_U[begin:end], wrong_first[k], sum_2b[0], shared_Ub)
        for t in range(len(area_TKb)):
            count = split(
                weight_Ib, image_U[begin:end], right_U[begin:end], ignored_U[begin:end], t, shared_Ub,
                sum_2b, right_Pb, claims_Pb,
            )  # fmt: skip
            envelope(right_Pb, claims_Pb, best_Pb, count)
            average(right_Pb, best_Pb, count, regions_Kb[k], recall_R, level_b, area_TKb[t, k])


@njit(cache=True, nogil=True, error_model="numpy")
def add_up(
    weight_Ib: Array, image_W: Array, wrong_U: Array, place: int, sum_b: Array, shared_Ub: Array
) -> None:
    """Write the weight of everything that is wrong at every threshold and comes before each detection."""
    sum_b[:] = 0
    for u in range(len(wrong_U)):
        while place < wrong_U[u]:
            image = image_W[place]
            for b in range(len(sum_b)):
                sum_b[b] += weight_Ib[image, b]
            place += 1
        shared_Ub[u] = sum_b


@njit(cache=True, nogil=True, error_model="numpy")
def split(
    weight_Ib: Array, image_U: Array, right_U: Array, ignored_U: Array, t: int, shared_Ub: Array,
    sum_2b: Array, right_Pb: Array, claims_Pb: Array,
) -> int:  # fmt: skip
    """Write the weight of right ones, and of all that count, up to each right one; return how many."""
    found_b, extra_b = sum_2b[0], sum_2b[1]
    sum_2b[:] = 0
    count = 0
    for u in range(len(image_U)):
        image = image_U[u]
        if (ignored_U[u] >> t) & 1:
            continue
        for b in range(len(extra_b)):
            extra_b[b] += weight_Ib[image, b]
        if (right_U[u] >> t) & 1:
            for b in range(len(found_b)):
                found_b[b] += weight_Ib[image, b]
                right_Pb[count, b] = found_b[b]
                claims_Pb[count, b] = shared_Ub[u, b] + extra_b[b]
            count += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def envelope(right_Pb: Array, claims_Pb: Array, best_Pb: Array, count: int) -> None:
    """Write the best precision at each right detection or any later one."""
    for p in range(count - 1, -1, -1):
        for b in range(right_Pb.shape[1]):
            here = right_Pb[p, b] / (claims_Pb[p, b] + 2.0**-52)
            later = best_Pb[p + 1, b] if p + 1 < count else 0.0
            best_Pb[p, b] = here if here > later else later


@njit(cache=True, nogil=True, error_model="numpy")
def average(
    right_Pb: Array,
    best_Pb: Array,
    count: int,
    regions_b: Array,
    recall_R: Array,
    level_b: Array,
    area_b: Array,
) -> None:
    """Average the best precision over the points of recall, from the first on; no branch, no search."""
    last, step = np.int32(len(recall_R) - 1), recall_R[1]
    area_b[:] = 0.0
    level_b[:] = 0
    for p in range(count):
        for b in range(len(area_b)):
            recall = right_Pb[p, b] / regions_b[b]
            # Points are evenly spaced: all before the nearest one are reached, all behind it are not.
            nearest = min(np.int32(recall * last + 0.5), last)
            level = nearest + np.int32(nearest * step <= recall)
            area_b[b] += best_Pb[p, b] * (level - level_b[b])
            level_b[b] = level
    area_b /= len(recall_R)
