"""Points drawn out of full labels: on every object and region one, at a random place well inside.

A pixel is chosen with a chance that grows with the square of its distance to the border of the region, as
people click on the middle of things; the border of the image counts. Around it lies a disc (``strokes``), cut
off where the region ends, so a labelled pixel always has its true class. Background classes, which are few
and large, get further points until each has ``background_points`` in the image, as the clicks handed around
with "What's the Point" have two to three an image.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.data.label_maps import UNLABELLED, Labels
from tasks.data.regions import Mask, Regions
from tasks.data.strokes import RADIUS, stroke_pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class PointPolicy:
    """How points are drawn."""

    radius: float = RADIUS
    """Of a disc, in pixels."""
    smallest_region: int = 64
    """Pixels; a smaller region gets no point."""
    background: frozenset[int] = frozenset()
    """Values of the background classes."""
    background_points: int = 3
    """Points that a background class has at least, if it has a region at all that is large enough."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        if not self.radius > 0 or self.smallest_region < 1 or self.background_points < 1:
            raise ValueError(
                "radius must be positive, smallest_region and background_points at least 1, "
                f"got {self.radius}, {self.smallest_region} and {self.background_points}."
            )


def place_points(regions: Regions, policy: PointPolicy, generator: np.random.Generator) -> Labels:
    """Mark every region that is large enough by a point.

    Args:
        regions: Of one image.
        policy: How.
        generator: Decides the places; equal states give equal labels.

    Returns:
        Label map of shape (height, width), UNLABELLED where no point is.
    """
    labels = np.full(regions.numbers.shape, UNLABELLED, dtype=np.uint8)
    areas, windows = regions.areas(), regions.windows()
    large = np.flatnonzero(areas >= policy.smallest_region)
    for place in large:
        window = windows[place]
        mask = regions.numbers[window] == place + 1
        labels[window][_disc(mask, policy.radius, generator)] = regions.values[place]
    for value in sorted(policy.background & {regions.values[place] for place in large}):
        own = [place for place in large if regions.values[place] == value]
        for _ in range(policy.background_points - len(own)):
            free = np.isin(regions.numbers, [place + 1 for place in own]) & (labels == UNLABELLED)
            if free.any():
                labels[_disc(free, policy.radius, generator)] = value
    return labels


def draw_place(mask: Mask, generator: np.random.Generator) -> tuple[int, int]:
    """Draw a pixel of a mask, those far from its border more often.

    Args:
        mask: Shape (height, width), at least one pixel; beyond its edges nothing belongs to it.
        generator: Decides.

    Returns:
        Row and column.
    """
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    share = np.cumsum(depth.ravel() ** 2)
    place = int(np.searchsorted(share, generator.random() * share[-1], side="right"))
    row, column = divmod(place, mask.shape[1])
    return row, column


def _disc(mask: Mask, radius: float, generator: np.random.Generator) -> Mask:
    """Draw a disc somewhere in a mask and cut it off where the mask ends."""
    row, column = draw_place(mask, generator)
    centre = np.array([[column, row]], dtype=np.float64)
    return mask & stroke_pixels(centre, *mask.shape, radius=radius)
