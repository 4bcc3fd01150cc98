"""Scribbles drawn out of full labels: one walk along the skeleton of every region.

The skeleton of the largest part of a region is walked from a far end towards another (``skeletons``), and the
way goes on straight where the region does, for the skeleton of a thing that is round or square ends early. A
random stretch of it is kept, as people neither start nor end at the very tip; it is smoothed as far as it
stays inside the region, drawn three pixels wide with round joints (``strokes``), and cut off where the region
ends, so a labelled pixel always has its true class.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.data.label_maps import UNLABELLED, Labels
from tasks.data.regions import Mask, Regions
from tasks.data.skeletons import skeleton_of, walk
from tasks.data.strokes import RADIUS, stroke_pixels

_TIP = 8  # pixels of a way from which its direction is taken
_NEAR = 0.3  # share of the depth at an end, down to which the way goes on
_EIGHT = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScribblePolicy:
    """How scribbles are drawn."""

    radius: float = RADIUS
    """Half the width of a scribble, in pixels."""
    smallest_region: int = 64
    """Pixels; a smaller region gets no scribble."""
    shortest: float = 0.5
    """Share of the way that is kept at least."""
    longest: float = 0.9
    """Share of the way that is kept at most."""
    smoothing: float = 4.0
    """Standard deviation, in pixels along the walk, of the smoothing to begin with."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if not (self.radius > 0 and self.smallest_region >= 1 and self.smoothing >= 0):
            raise ValueError(
                "radius must be positive, smallest_region at least 1 and smoothing not negative, "
                f"got {self.radius}, {self.smallest_region} and {self.smoothing}."
            )
        if not 0 < self.shortest <= self.longest <= 1:
            raise ValueError(
                f"0 < shortest <= longest <= 1 must hold, got {self.shortest} and {self.longest}."
            )


def scribble_regions(regions: Regions, policy: ScribblePolicy, generator: np.random.Generator) -> Labels:
    """Mark every region that is large enough by a scribble.

    Args:
        regions: Of one image.
        policy: How.
        generator: Decides the walks; equal states give equal labels.

    Returns:
        Label map of shape (height, width), UNLABELLED where no scribble is.
    """
    labels = np.full(regions.numbers.shape, UNLABELLED, dtype=np.uint8)
    windows = regions.windows()
    for place in np.flatnonzero(regions.areas() >= policy.smallest_region):
        window = windows[place]
        mask = regions.numbers[window] == place + 1
        line = draw_line(mask, policy, generator)
        labels[window][mask & stroke_pixels(line, *mask.shape, radius=policy.radius)] = regions.values[place]
    return labels


def draw_line(mask: Mask, policy: ScribblePolicy, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw the line of one scribble.

    Args:
        mask: Region of shape (height, width), at least one pixel.
        policy: How.
        generator: Decides.

    Returns:
        Points of shape (points, 2), x and y; the pixel nearest to each belongs to the mask.
    """
    parts, count = ndimage.label(mask, structure=_EIGHT)
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel(), minlength=count + 1)[1:]))
    way = _lengthen(walk(skeleton_of(largest), generator), largest, generator.uniform(0.0, 2.0 * math.pi))
    kept = max(1, round(len(way) * generator.uniform(policy.shortest, policy.longest)))
    first = int(generator.integers(len(way) - kept + 1))
    return _smooth(way[first : first + kept], mask, policy.smoothing)[:, ::-1]


def _lengthen(way: NDArray[np.int64], mask: Mask, angle: float) -> NDArray[np.float64]:
    """Go on straight from both ends until the border is near.

    Args:
        way: Rows and columns, shape (pixels, 2).
        mask: The region.
        angle: Direction, in radians, for a way too short to have one.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))
    ends: list[list[NDArray[np.float64]]] = []
    for turn, tip in ((1.0, way[::-1]), (-1.0, way)):
        ahead = (tip[0] - tip[min(_TIP, len(tip) - 1)]).astype(np.float64)
        if len(way) <= _TIP // 2:
            ahead = turn * np.array([math.sin(angle), math.cos(angle)])
        place, ahead = tip[0].astype(np.float64), ahead / np.hypot(*ahead)
        enough = max(1.0, _NEAR * depth[tuple(tip[0] + 1)])
        added: list[NDArray[np.float64]] = []
        while depth[tuple(np.rint(place + ahead).astype(np.int64) + 1)] >= enough:
            place = place + ahead
            added.append(place)
        ends.append(added)
    return np.array([*ends[1][::-1], *way.astype(np.float64), *ends[0]])


def _smooth(way: NDArray[np.float64], mask: Mask, smoothing: float) -> NDArray[np.float64]:
    """Smooth rows and columns, less and less until no point leaves the mask."""
    while smoothing >= 0.5:
        smooth = ndimage.gaussian_filter1d(way, smoothing, axis=0, mode="nearest")
        rows, columns = np.rint(smooth).astype(np.int64).T
        if mask[rows, columns].all():
            return np.asarray(smooth)
        smoothing /= 2
    return way
