"""A mask -> the closed line around it, short enough to be written into a page.

Coordinates are half pixels of the image: between two pixel centres the marching squares of a binary mask
meet every edge at its middle, so whole numbers are exact.
"""

from collections.abc import Iterable

import contourpy
import numpy as np
import numpy.typing as npt

from tasks.data.records import MaskRle
from tasks.data.rle import decode_mask, mask_box

Ring = npt.NDArray[np.int64]
"""Corners (N, 2) of one closed line as (x, y) in half pixels; the first corner is not repeated."""

_TOLERANCE = 0.9  # half pixels: below what the eye sees, a third of the bytes


def trace(mask: MaskRle) -> list[Ring]:
    """Return the outlines of a mask: outer borders and holes; empty for an empty mask."""
    box = mask_box(mask)
    if box is None:
        return []
    left, top, right, bottom = (int(value) for value in box)
    pixels = np.pad(decode_mask(mask)[top:bottom, left:right].astype(np.float64), 1)
    lines = contourpy.contour_generator(z=pixels, line_type=contourpy.LineType.Separate).lines(0.5)
    offset = np.array([2 * left - 1, 2 * top - 1])
    return [_simplify(np.rint(2 * np.asarray(line)[:-1]).astype(np.int64) + offset) for line in lines]


def path_data(rings: Iterable[Ring]) -> str:
    """Write outlines as the ``d`` of an SVG path, in relative steps; fill it by the even-odd rule."""
    parts = []
    for ring in rings:
        steps = " ".join(f"{x} {y}" for x, y in np.diff(ring, axis=0).tolist()).replace(" -", "-")
        parts.append(f"M{ring[0][0]} {ring[0][1]}l{steps}z")
    return "".join(parts)


def _simplify(ring: Ring) -> Ring:
    """Drop corners that lie close to the line through the kept ones (Douglas and Peucker, 1973)."""
    if len(ring) < 5:
        return ring
    far = int(((ring - ring[0]) ** 2).sum(axis=1).argmax())
    keep = np.zeros(len(ring) + 1, dtype=bool)
    keep[[0, far, len(ring)]] = True
    closed = np.vstack([ring, ring[:1]])
    stack = [(0, far), (far, len(ring))]
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        chord = closed[last] - closed[first]
        away = closed[first + 1 : last] - closed[first]
        distance = np.abs(chord[0] * away[:, 1] - chord[1] * away[:, 0]) / max(float(np.hypot(*chord)), 1e-9)
        worst = int(distance.argmax())
        if distance[worst] > _TOLERANCE:
            middle = first + 1 + worst
            keep[middle] = True
            stack += [(first, middle), (middle, last)]
    return ring[keep[:-1]]
