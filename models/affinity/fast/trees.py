"""Kruskal, linear order and prefix sums of the bottleneck affinity, compiled.

Every component is a linked list of pixels and a merge appends one list to another, so the final list has
the property that the bottleneck weight between two pixels is the largest junction weight between their
places. Sums over merged components are then differences of prefix sums, accumulated in float64: in float32
they lose two digits on natural images.

Letters:
    N = pixels   E = edges
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@njit(cache=True, nogil=True)
def spanning_edges(edge_E2: Ints, order_E: Ints, num_pixels: int) -> Ints:
    """Return the ids of the edges of the minimum spanning tree, smallest first (Kruskal).

    Args:
        edge_E2: Pixel ids of every edge of the grid.
        order_E: Edge ids in increasing total order.
        num_pixels: Number of pixels, at least 1.
    """
    parent_N = np.arange(num_pixels)
    kept = np.empty(num_pixels - 1, np.int64)
    count = 0
    for position in range(order_E.shape[0]):
        edge = order_E[position]
        first, second = edge_E2[edge, 0], edge_E2[edge, 1]
        while parent_N[first] != first:
            parent_N[first] = parent_N[parent_N[first]]
            first = parent_N[first]
        while parent_N[second] != second:
            parent_N[second] = parent_N[parent_N[second]]
            second = parent_N[second]
        if first != second:
            parent_N[second] = first
            kept[count] = edge
            count += 1
    return kept


@njit(cache=True, nogil=True)
def linear_order(edge_E2: Ints, weight_E: Floats, order_E: Ints, place_N: Ints, junction_E: Floats) -> None:
    """Lay the pixels of a spanning tree in a row.

    Args:
        edge_E2: Pixel ids of every tree edge.
        weight_E: Weight of every tree edge.
        order_E: Tree edge ids in increasing total order.
        place_N: Filled with the pixel at each place of the row.
        junction_E: Filled with the weight between each place and the next.
    """
    num_pixels = place_N.shape[0]
    parent_N, last_N = np.arange(num_pixels), np.arange(num_pixels)
    size_N = np.ones(num_pixels, np.int64)
    next_N, gap_N, head_N = np.full(num_pixels, -1), np.zeros(num_pixels), np.arange(num_pixels)
    for position in range(order_E.shape[0]):
        edge = order_E[position]
        first, second = edge_E2[edge, 0], edge_E2[edge, 1]
        while parent_N[first] != first:
            parent_N[first] = parent_N[parent_N[first]]
            first = parent_N[first]
        while parent_N[second] != second:
            parent_N[second] = parent_N[parent_N[second]]
            second = parent_N[second]
        if size_N[first] < size_N[second]:
            first, second = second, first
        next_N[last_N[first]] = head_N[second]
        gap_N[last_N[first]] = weight_E[edge]
        last_N[first] = last_N[second]
        parent_N[second] = first
        size_N[first] += size_N[second]
    root = 0
    while parent_N[root] != root:
        root = parent_N[root]
    pixel = head_N[root]
    for place in range(num_pixels):
        place_N[place] = pixel
        if place < num_pixels - 1:
            junction_E[place] = gap_N[pixel]
        pixel = next_N[pixel]


@njit(cache=True, nogil=True)
def junction_spans(junction_E: Floats, left_E: Ints, right_E: Ints, parent_E: Ints) -> None:
    """Find the run of places that each junction joins, and the junction that next joins that run.

    Of equal junctions the later one counts as the larger. ``left_E`` and ``right_E`` are inclusive places;
    ``parent_E`` is -1 for the largest junction.
    """
    num_edges = junction_E.shape[0]
    stack = np.empty(num_edges, np.int64)
    top = 0
    for junction in range(num_edges):
        while top > 0 and junction_E[stack[top - 1]] <= junction_E[junction]:
            top -= 1
            right_E[stack[top]] = junction
        left_E[junction] = stack[top - 1] + 1 if top > 0 else 0
        stack[top] = junction
        top += 1
    while top > 0:
        top -= 1
        right_E[stack[top]] = num_edges
    for junction in range(num_edges):
        before, after = left_E[junction] - 1, right_E[junction]
        if before < 0:
            parent_E[junction] = after if after < num_edges else -1
        elif after >= num_edges:
            parent_E[junction] = before
        else:
            parent_E[junction] = before if junction_E[before] < junction_E[after] else after


@njit(cache=True, nogil=True)
def spread(
    place_N: Ints,
    affinity_E: Floats,
    left_E: Ints,
    right_E: Ints,
    parent_E: Ints,
    value_N: Floats,
    out_N: Floats,
) -> None:
    """Multiply one field by the affinity matrix, whose diagonal is one.

    Args:
        place_N: Pixel at each place of the row.
        affinity_E: ``exp(-junction / zeta**2)``.
        left_E: First place joined by each junction.
        right_E: Last place joined by each junction.
        parent_E: Next larger junction that joins the run, or -1.
        value_N: The field, by pixel.
        out_N: Filled with the product, by pixel.
    """
    num_pixels, num_edges = place_N.shape[0], affinity_E.shape[0]
    total = np.zeros(num_pixels + 1)
    for place in range(num_pixels):
        total[place + 1] = total[place] + value_N[place_N[place]]
    change = np.zeros(num_pixels + 1)
    for junction in range(num_edges):
        excess = affinity_E[junction]
        if parent_E[junction] >= 0:
            excess -= affinity_E[parent_E[junction]]
        if excess != 0.0:
            amount = excess * (total[right_E[junction] + 1] - total[left_E[junction]])
            change[left_E[junction]] += amount
            change[right_E[junction] + 1] -= amount
    running = 0.0
    for place in range(num_pixels):
        running += change[place]
        nearest = 0.0
        if place > 0:
            nearest = affinity_E[place - 1]
        if place < num_edges and affinity_E[place] > nearest:
            nearest = affinity_E[place]
        out_N[place_N[place]] = running + (1.0 - nearest) * value_N[place_N[place]]
