"""The skeleton of a mask, and a way along it from one far end to another.

Thinning: Guo and Hall, "Parallel thinning with two-subiteration algorithms", Communications of the ACM 32
(1989), algorithm A1: border pixels are taken away, from two opposite sides in turn, as long as neither a part
of the mask nor an end of a line would vanish. Difference: only pixels near the border are looked at, so the
work grows with the area and not with area times thickness; the result is the same.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from tasks.data.regions import Mask

_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""Rows and columns of the eight neighbours, clockwise from the one above: P2 to P9 of the paper."""
_HALF = _AROUND[2:6]
"""Those that come later in reading order: one of each opposite pair."""


def skeleton_of(mask: Mask) -> Mask:
    """Thin a mask to lines one pixel wide in its middle.

    Args:
        mask: Shape (height, width).

    Returns:
        Mask of the same shape inside ``mask``, with as many parts (eight neighbours count), at least one
        pixel in each.
    """
    padded = np.pad(mask, 1)
    flat = padded.ravel().astype(np.uint8)
    steps = np.array([row * padded.shape[1] + column for row, column in _AROUND])
    inside = np.flatnonzero(flat)
    border = inside[flat[inside[:, None] + steps].sum(axis=1) < 8]
    idle = 0
    while idle < 2:  # neither side had a pixel to give
        for table in _DELETABLE:
            code = (flat[border[:, None] + steps] << np.arange(8)).sum(axis=1)
            gone = border[table[code]]
            flat[gone] = 0
            near = (gone[:, None] + steps).ravel()
            border = np.union1d(border[~table[code]], near[flat[near] > 0])
            idle = 0 if gone.size else idle + 1
    return flat.reshape(padded.shape)[1:-1, 1:-1].astype(np.bool_)


def _deletable() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Decide for every neighbourhood, bit k being neighbour k of ``_AROUND``, whether its pixel may go."""
    p = (np.arange(256)[:, None] >> np.arange(8)) & 1 == 1
    p2, p3, p4, p5, p6, p7, p8, p9 = p.T
    crossings = (~p2 & (p3 | p4)) * 1 + (~p4 & (p5 | p6)) + (~p6 & (p7 | p8)) + (~p8 & (p9 | p2))
    pairs_one = (p9 | p2) * 1 + (p3 | p4) + (p5 | p6) + (p7 | p8)
    pairs_two = (p2 | p3) * 1 + (p4 | p5) + (p6 | p7) + (p8 | p9)
    fewest = np.minimum(pairs_one, pairs_two)
    may = (crossings == 1) & (fewest >= 2) & (fewest <= 3)
    return may & ~((p2 | p3 | ~p5) & p4), may & ~((p6 | p7 | ~p9) & p8)


_DELETABLE = _deletable()


def walk(skeleton: Mask, generator: np.random.Generator) -> NDArray[np.int64]:
    """Go along a skeleton from its farthest end to a random far place.

    A random pixel decides which part is walked; the pixel farthest from it is the start. The goal is drawn
    from the pixels at least two thirds of the way to the end farthest from there.

    Args:
        skeleton: Shape (height, width), at least one pixel.
        generator: Decides part and goal.

    Returns:
        Row and column of each pixel on the shortest way, shape (pixels, 2); neighbours in the list are
        neighbours in the image.

    Raises:
        ValueError: If the skeleton is empty.
    """
    places = np.argwhere(skeleton)
    if not len(places):
        raise ValueError("the skeleton has no pixel to walk on.")
    graph = _graph(skeleton)
    start = _farthest(csgraph.dijkstra(graph, directed=False, indices=int(generator.integers(len(places)))))
    distance, before = csgraph.dijkstra(graph, directed=False, indices=start, return_predecessors=True)
    reach = distance[np.isfinite(distance)].max()
    goals = np.flatnonzero(np.isfinite(distance) & (distance >= reach * (2.0 / 3.0)))
    place = int(generator.choice(goals))
    way = [place]
    while place != start:
        place = int(before[place])
        way.append(place)
    return places[way[::-1]]


def _graph(skeleton: Mask) -> sparse.csr_array:
    """Connect neighbouring pixels, numbered in reading order, by the distance of their centres."""
    height, width = skeleton.shape
    numbers = np.full((height + 1, width + 2), -1, dtype=np.int32)
    numbers[:height, 1:-1][skeleton] = np.arange(int(skeleton.sum()))
    here = numbers[:height, 1:-1]
    ends, weights = [], []
    for row, column in _HALF:
        there = numbers[row : row + height, 1 + column : 1 + column + width]
        both = (here >= 0) & (there >= 0)
        ends.append(np.stack([here[both], there[both]]))
        weights.append(np.full(int(both.sum()), np.hypot(row, column)))
    rows, columns = np.concatenate(ends, axis=1)
    count = int(skeleton.sum())
    return sparse.csr_array((np.concatenate(weights), (rows, columns)), shape=(count, count))


def _farthest(distance: NDArray[np.float64]) -> int:
    """Return the first of the pixels farthest away among those that can be reached."""
    return int(np.argmax(np.where(np.isfinite(distance), distance, -1.0)))
