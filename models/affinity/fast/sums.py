"""Weighted sums over all pixels through the merges of a tree, compiled.

With S_t the sum of the field over the pixels below merge t, a_t the affinity of the merge and q(.) the merge
above, the product with the affinity matrix is

    (A p)_i = (1 - a_q(i)) p_i + sum over all merges t above i of (a_t - a_q(t)) S_t

that is, one sweep up the merges and one down. Sums are float64: in float32 images of 300 x 300 pixels lose
three digits. Merges are in increasing order of weight, so a merge comes after all that are below it. But
for the last bit of the exponential no term is negative for a field that is not, so nothing cancels and a
float32 mean stays within what it averages.

Letters:
    N = pixels   E = N - 1 merges   P = 2 N - 1 nodes: pixels, then merges   X = fields
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Doubles = NDArray[np.float64]
Floats = NDArray[Any]


@njit(cache=True, nogil=True)
def average_one(
    parent_P: Ints, affinity_E: Doubles, value_N: Floats, sums_E2: Doubles, out_N: Floats, total_N: Doubles
) -> None:
    """Average one field and find the row sums of the affinity matrix on the way.

    Args:
        parent_P: Merge above each node.
        affinity_E: Affinity of each merge, not increasing.
        value_N: The field.
        sums_E2: Room to work in.
        out_N: Filled with the weighted mean of the field around each pixel.
        total_N: Filled with the row sums, at least 1, if it has room for them.
    """
    num_pixels, num_merges = value_N.shape[0], affinity_E.shape[0]
    keep = total_N.shape[0] == num_pixels
    if num_merges == 0:
        out_N[0] = value_N[0]
        total_N[:] = 1.0
        return
    sums_E2[:] = 0.0
    for pixel in range(num_pixels):
        merge = np.uint64(parent_P[pixel])
        sums_E2[merge, 0] += value_N[pixel]
        sums_E2[merge, 1] += 1.0
    for merge in range(num_merges - 1):
        above = np.uint64(parent_P[num_pixels + merge])
        sums_E2[above, 0] += sums_E2[merge, 0]
        sums_E2[above, 1] += sums_E2[merge, 1]
    sums_E2[num_merges - 1, 0] *= affinity_E[num_merges - 1]
    sums_E2[num_merges - 1, 1] *= affinity_E[num_merges - 1]
    for merge in range(num_merges - 2, -1, -1):
        above = np.uint64(parent_P[num_pixels + merge])
        excess = affinity_E[merge] - affinity_E[above]
        sums_E2[merge, 0] = sums_E2[above, 0] + excess * sums_E2[merge, 0]
        sums_E2[merge, 1] = sums_E2[above, 1] + excess * sums_E2[merge, 1]
    for pixel in range(num_pixels):
        merge = np.uint64(parent_P[pixel])
        own = 1.0 - affinity_E[merge]
        total = sums_E2[merge, 1] + own
        out_N[pixel] = (sums_E2[merge, 0] + own * value_N[pixel]) / total
        if keep:
            total_N[pixel] = total


@njit(cache=True, nogil=True)
def average_four(
    parent_P: Ints, affinity_E: Doubles, total_N: Doubles, value_4N: Floats, out_4N: Floats, sums_E4: Doubles
) -> None:
    """Average four fields whose row sums are known.

    Args:
        parent_P: Merge above each node.
        affinity_E: Affinity of each merge, not increasing.
        total_N: Row sums of the affinity matrix.
        value_4N: The fields.
        out_4N: Filled with the weighted means.
        sums_E4: Room to work in.
    """
    num_pixels, num_merges = value_4N.shape[1], affinity_E.shape[0]
    if num_merges == 0:
        out_4N[:] = value_4N
        return
    sums_E4[:] = 0.0
    for pixel in range(num_pixels):
        merge = np.uint64(parent_P[pixel])
        for field in range(4):
            sums_E4[merge, field] += value_4N[field, pixel]
    for merge in range(num_merges - 1):
        above = np.uint64(parent_P[num_pixels + merge])
        for field in range(4):
            sums_E4[above, field] += sums_E4[merge, field]
    for field in range(4):
        sums_E4[num_merges - 1, field] *= affinity_E[num_merges - 1]
    for merge in range(num_merges - 2, -1, -1):
        above = np.uint64(parent_P[num_pixels + merge])
        excess = affinity_E[merge] - affinity_E[above]
        for field in range(4):
            sums_E4[merge, field] = sums_E4[above, field] + excess * sums_E4[merge, field]
    for pixel in range(num_pixels):
        merge = np.uint64(parent_P[pixel])
        own, inverse = 1.0 - affinity_E[merge], 1.0 / total_N[pixel]
        for field in range(4):
            out_4N[field, pixel] = (sums_E4[merge, field] + own * value_4N[field, pixel]) * inverse


@njit(cache=True, nogil=True)
def spread_one(
    parent_P: Ints, affinity_E: Doubles, value_N: Doubles, out_N: Doubles, sums_E4: Doubles
) -> None:
    """Multiply one field by the affinity matrix, whose diagonal is one; arguments as ``average_four``."""
    num_pixels, num_merges = value_N.shape[0], affinity_E.shape[0]
    if num_merges == 0:
        out_N[0] = value_N[0]
        return
    sums_E = sums_E4[:, 0]
    sums_E[:] = 0.0
    for pixel in range(num_pixels):
        sums_E[np.uint64(parent_P[pixel])] += value_N[pixel]
    for merge in range(num_merges - 1):
        sums_E[np.uint64(parent_P[num_pixels + merge])] += sums_E[merge]
    sums_E[num_merges - 1] *= affinity_E[num_merges - 1]
    for merge in range(num_merges - 2, -1, -1):
        above = np.uint64(parent_P[num_pixels + merge])
        sums_E[merge] = sums_E[above] + (affinity_E[merge] - affinity_E[above]) * sums_E[merge]
    for pixel in range(num_pixels):
        merge = np.uint64(parent_P[pixel])
        out_N[pixel] = sums_E[merge] + (1.0 - affinity_E[merge]) * value_N[pixel]


@njit(cache=True, nogil=True)
def affinity_gradient(
    parent_P: Ints, slope_N: Doubles, value_N: Floats, mean_N: Floats, sums_E4: Doubles, out_E: Doubles
) -> None:
    """Add to ``out_E`` the derivative of a loss with respect to the affinity of every merge.

    A merge of clusters L and R with affinity a adds a to all pairs between them, so the derivative is
    G_L S_R + G_R S_L - Q_L n_R - Q_R n_L with sums G of the slope, S of the field, Q of their means times the
    slope, and sizes n. The second cluster to arrive meets what the first has left.

    Args:
        parent_P: Merge above each node.
        slope_N: Derivative of the loss with respect to the mean, divided by the row sum.
        value_N: The field.
        mean_N: Its weighted mean.
        sums_E4: Room to work in.
        out_E: Added to.
    """
    num_pixels, num_merges = value_N.shape[0], out_E.shape[0]
    if num_merges == 0:
        return
    sums_E4[:] = 0.0
    for pixel in range(num_pixels):
        merge = np.uint64(parent_P[pixel])
        value, slope = np.float64(value_N[pixel]), slope_N[pixel]
        pull = slope * mean_N[pixel]
        out_E[merge] += sums_E4[merge, 1] * value + slope * sums_E4[merge, 0]
        out_E[merge] -= sums_E4[merge, 2] + pull * sums_E4[merge, 3]
        sums_E4[merge, 0] += value
        sums_E4[merge, 1] += slope
        sums_E4[merge, 2] += pull
        sums_E4[merge, 3] += 1.0
    for merge in range(num_merges - 1):
        above = np.uint64(parent_P[num_pixels + merge])
        value, slope, pull, size = sums_E4[merge, 0], sums_E4[merge, 1], sums_E4[merge, 2], sums_E4[merge, 3]
        out_E[above] += sums_E4[above, 1] * value + slope * sums_E4[above, 0]
        out_E[above] -= sums_E4[above, 2] * size + pull * sums_E4[above, 3]
        sums_E4[above, 0] += value
        sums_E4[above, 1] += slope
        sums_E4[above, 2] += pull
        sums_E4[above, 3] += size
