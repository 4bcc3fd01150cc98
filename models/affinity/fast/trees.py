"""Spanning trees of pixel grids and the order in which their edges merge, compiled.

Kruskal's algorithm: edges are packed as (weight, code), sorted by radix, and merged with a union-find. What
is kept of it is single linkage: merge number t joins two clusters and becomes node N + t of a binary tree
whose leaves are the pixels. Of each 2 x 2 cell of the grid the largest edge is dropped first: it closes a
cycle, so no spanning tree holds it, and a fifth more edges than the tree needs remain on photographs.

Codes: with N pixels, ``u`` is the edge from pixel u to the one below, ``N + u`` to the one on its right.
Equal weights are ordered by code.

Letters:
    B = images   R = regions   C = channels   H = height   W = width   N = H * W pixels   E = N - 1 tree edges
    M = candidate edges   P = 2 N - 1 nodes: pixels, then merges
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.affinity.fast.machine import prefetch
from models.affinity.fast.memory import scratch

Ints = NDArray[np.int32]
Keys = NDArray[np.uint64]
Floats = NDArray[Any]

_ONE, _TWO, _SHIFT = np.uint64(1), np.uint64(2), np.uint64(32)
_DIGIT = np.uint64(2047)
_NEGATIVE_ZERO = np.uint32(0x80000000)
# How many edges ahead of the merge their pixels are fetched: enough to cover the latency of main memory.
_AHEAD = 12

LEFT, RIGHT, TOP, BOTTOM, NONE = np.int32(0), np.int32(1), np.int32(2), np.int32(3), np.int32(4)
"""Edges of a 2 x 2 cell by increasing code."""


class Room(NamedTuple):
    """Memory to grow a tree in: 41 bytes a pixel, of which the candidates of a photograph touch 34."""

    below_HW: Floats
    right_HW: Floats
    largest_YX: NDArray[np.uint8]
    key_M: Keys
    spare_M: Keys
    link_N2: Ints


def make_room(height: int, width: int) -> Room:
    """Make room in the memory of this thread, until its next call.

    An edge is the largest of at most two cells, so half as many edges as there are cells drop out at least.
    """
    num_pixels = height * width
    num_edges = (height - 1) * width + height * (width - 1)
    num_candidates = num_edges - (height - 1) * (width - 1) // 2
    arrays = scratch(
        ((height, width), np.float32),
        ((height, width), np.float32),
        ((height + 1, width + 1), np.uint8),
        ((num_candidates + 1,), np.uint64),
        ((num_candidates + 1,), np.uint64),
        ((2 * num_pixels,), np.int32),
    )
    return Room(*arrays)


@njit(cache=True, nogil=True)
def grid_weights(guidance_CHW: Floats, below_HW: Floats, right_HW: Floats) -> None:
    """Sum squared differences to the pixel below and on the right; infinite where there is none."""
    channels, height, width = guidance_CHW.shape
    for y in range(height):
        below_W, right_W = below_HW[y], right_HW[y]
        below_W[:] = 0.0
        right_W[:] = 0.0
        for c in range(channels):
            row_W = guidance_CHW[c, y]
            for x in range(width - 1):
                step = row_W[x + 1] - row_W[x]
                right_W[x] += step * step
            if y < height - 1:
                next_W = guidance_CHW[c, y + 1]
                for x in range(width):
                    step = next_W[x] - row_W[x]
                    below_W[x] += step * step
        right_W[width - 1] = np.inf
        if y == height - 1:
            below_W[:] = np.inf


@njit(cache=True, nogil=True)
def closing_edges(below_HW: Floats, right_HW: Floats, largest_YX: NDArray[np.uint8]) -> None:
    """Find the largest edge of every 2 x 2 cell.

    Args:
        below_HW: Weights of the edges to the pixel below.
        right_HW: Weights of the edges to the pixel on the right.
        largest_YX: Shape (H + 1, W + 1). The cell whose upper left pixel is (y, x) is at (y + 1, x + 1):
            filled with ``LEFT``, ``RIGHT``, ``TOP`` or ``BOTTOM``; the rim, which has none, with ``NONE``.
    """
    height, width = below_HW.shape
    largest_YX[:] = NONE
    wide_W = np.empty(width, np.int32)
    for y in range(height - 1):
        side_W, top_W, bottom_W = below_HW[y], right_HW[y], right_HW[y + 1]
        for x in range(width - 1):
            sides, ends = max(side_W[x], side_W[x + 1]), max(top_W[x], bottom_W[x])
            largest = max(sides, ends)
            # Among equal weights the larger code is the larger edge.
            side = RIGHT if side_W[x + 1] == largest else LEFT
            end = BOTTOM if bottom_W[x] == largest else TOP
            wide_W[x] = end if ends == largest else side
        for x in range(width - 1):
            largest_YX[y + 1, x + 1] = np.uint8(wide_W[x])


@njit(cache=True, nogil=True)
def pack_candidates(
    below_HW: NDArray[np.uint32], right_HW: NDArray[np.uint32], largest_YX: NDArray[np.uint8], key_M: Keys
) -> int:
    """Write the keys of the edges that are the largest of no cell, by increasing code; return how many."""
    height, width = below_HW.shape
    num_pixels, count = height * width, 0
    for y in range(height - 1):
        for x in range(width):
            key_M[count] = (np.uint64(below_HW[y, x]) << _SHIFT) | np.uint64(y * width + x)
            closes = (largest_YX[y + 1, x + 1] == LEFT) | (largest_YX[y + 1, x] == RIGHT)
            count += 1 - np.int64(closes)
    for y in range(height):
        for x in range(width - 1):
            key_M[count] = (np.uint64(right_HW[y, x]) << _SHIFT) | np.uint64(num_pixels + y * width + x)
            closes = (largest_YX[y + 1, x + 1] == TOP) | (largest_YX[y, x + 1] == BOTTOM)
            count += 1 - np.int64(closes)
    return count


@njit(cache=True, nogil=True)
def pack_edges(bits_E: NDArray[np.uint32], edge_E: Ints, key_E: Keys) -> None:
    """Write the keys of the edges of a tree; a negative zero counts as zero."""
    for edge in range(edge_E.shape[0]):
        bits = bits_E[edge] if bits_E[edge] != _NEGATIVE_ZERO else np.uint32(0)
        key_E[edge] = (np.uint64(bits) << _SHIFT) | np.uint64(edge_E[edge])


@njit(cache=True, nogil=True)
def sort_keys(key_M: Keys, spare_M: Keys, count: int) -> None:
    """Sort by the upper 32 bits into ``spare_M``; equal ones keep their order. ``key_M`` is overwritten."""
    count_32K = np.zeros((3, 2048), np.int32)
    for place in range(count):
        key = key_M[place]
        count_32K[0, (key >> _SHIFT) & _DIGIT] += 1
        count_32K[1, (key >> np.uint64(43)) & _DIGIT] += 1
        count_32K[2, key >> np.uint64(54)] += 1
    for digit in range(3):
        start = np.int32(0)
        for value in range(2048):
            here = count_32K[digit, value]
            count_32K[digit, value] = start
            start += here
    start_K = count_32K[0]
    for place in range(count):
        key = key_M[place]
        value = (key >> _SHIFT) & _DIGIT
        spare_M[np.uint32(start_K[value])] = key
        start_K[value] += 1
    start_K = count_32K[1]
    for place in range(count):
        key = spare_M[place]
        value = (key >> np.uint64(43)) & _DIGIT
        key_M[np.uint32(start_K[value])] = key
        start_K[value] += 1
    start_K = count_32K[2]
    for place in range(count):
        key = key_M[place]
        value = key >> np.uint64(54)
        spare_M[np.uint32(start_K[value])] = key
        start_K[value] += 1


@njit(cache=True, nogil=True)
def merge_edges(key_M: Keys, count: int, width: int, link_N2: Ints, parent_P: Ints) -> int:
    """Merge pixels along sorted edges until one cluster is left; moves the keys of the tree to the front.

    Args:
        key_M: Keys in increasing order; only the code in the lower 32 bits is read.
        count: Number of keys.
        width: Columns of the image.
        link_N2: Memory to work in, 2 N places.
        parent_P: Filled with the merge that next takes in each pixel and each merge, -1 for the last.

    Returns:
        The number of merges: N - 1 unless the edges leave the image in pieces.
    """
    num_pixels = (parent_P.shape[0] + 1) // 2
    # Pairs: pixel further up in the cluster, or minus the cluster's size at its root; node of the cluster.
    for pixel in range(num_pixels):
        link_N2[2 * pixel] = -1
        link_N2[2 * pixel + 1] = pixel
    merge, pixels, down = 0, np.uint32(num_pixels), np.uint64(width) << _ONE
    for place in range(count):
        if place + _AHEAD < count:
            code = np.uint32(key_M[place + _AHEAD])
            soon = np.uint64(code - (pixels if code >= pixels else np.uint32(0))) << _ONE
            prefetch(link_N2, soon)
            # Of the two directions comes now one, now the other: a branch on them would be mispredicted.
            prefetch(link_N2, soon + (_TWO if code >= pixels else down))
        key = key_M[place]
        code = np.uint32(key)
        first = np.uint64(code - (pixels if code >= pixels else np.uint32(0))) << _ONE
        second = first + (_TWO if code >= pixels else down)
        # Linked by size and never shortened, a pixel is two links from its root in nineteen cases of twenty;
        # these two are followed without a branch that could be mispredicted.
        up, other = link_N2[first], link_N2[second]
        for _ in range(2):
            first = first if up < 0 else np.uint64(up) << _ONE
            up = link_N2[first]
            second = second if other < 0 else np.uint64(other) << _ONE
            other = link_N2[second]
        while up >= 0:
            first = np.uint64(up) << _ONE
            up = link_N2[first]
        while other >= 0:
            second = np.uint64(other) << _ONE
            other = link_N2[second]
        if first == second:
            continue
        large = first if up <= other else second
        small = second if up <= other else first
        parent_P[np.uint64(link_N2[large + _ONE])] = merge
        parent_P[np.uint64(link_N2[small + _ONE])] = merge
        link_N2[large] = up + other
        link_N2[small] = np.int32(large >> _ONE)
        link_N2[large + _ONE] = num_pixels + merge
        key_M[merge] = key
        merge += 1
        if merge == num_pixels - 1:
            break
    parent_P[2 * num_pixels - 2] = -1
    return merge


@njit(cache=True, nogil=True)
def unpack(key_M: Keys, edge_E: Ints, bits_E: NDArray[np.uint32]) -> None:
    """Split keys into codes and weights."""
    for edge in range(edge_E.shape[0]):
        edge_E[edge] = np.int32(np.uint32(key_M[edge]))
        bits_E[edge] = np.uint32(key_M[edge] >> _SHIFT)


@njit(cache=True, nogil=True)
def grow(
    guidance_CHW: Floats, room: Room, edge_E: Ints, weight_E: NDArray[np.float32], parent_P: Ints
) -> None:
    """Find the minimum spanning tree of one float32 image and the order of its merges.

    Args:
        guidance_CHW: Finite, float32.
        room: Memory to work in, see ``make_room``.
        edge_E: Filled with the codes of the tree, by (weight, code).
        weight_E: Filled with their weights. The last, which is the largest, is finite if the guidance is.
        parent_P: Filled as in ``merge_edges``.
    """
    below_HW, right_HW, largest_YX, key_M, spare_M, link_N2 = room
    grid_weights(guidance_CHW, below_HW, right_HW)
    closing_edges(below_HW, right_HW, largest_YX)
    count = pack_candidates(below_HW.view(np.uint32), right_HW.view(np.uint32), largest_YX, key_M)
    sort_keys(key_M, spare_M, count)
    merges = merge_edges(spare_M, count, guidance_CHW.shape[2], link_N2, parent_P)
    unpack(spare_M, edge_E, weight_E.view(np.uint32))
    if merges < edge_E.shape[0]:  # a weight is not a number, and so compared with nothing
        weight_E[-1] = np.nan
