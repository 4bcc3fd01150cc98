"""Blocks drawn out of full labels: rectangles with every pixel labelled, until a share of the image is.

First every region that is large enough gets a small square, so that none is without a label; then rectangles
of random size and place follow until the share is reached, and the last one ends where it is. Cityscapes and
ADE20K have such labels with 10, 20 and 50 % (Liang et al., "Tree Energy Loss", arXiv 2203.10739). Difference:
these are seeded rectangles, not the blocks of the authors.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.data.label_maps import UNLABELLED, Labels
from tasks.data.regions import Regions
from tasks.data.weak_points import draw_place


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPolicy:
    """How blocks are drawn."""

    share: float = 0.1
    """Labelled pixels among those that have a class at all; more than 0, at most 1."""
    smallest_region: int = 64
    """Pixels; a smaller region gets no square of its own."""
    smallest_side: float = 1 / 32
    """Of a rectangle, as a share of the same side of the image."""
    largest_side: float = 1 / 8
    """Of a rectangle, as a share of the same side of the image."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing, and a share too small to give each region a pixel."""
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be more than 0 and at most 1, got {self.share}.")
        if not 0 < self.smallest_side <= self.largest_side <= 1:
            raise ValueError(
                "0 < smallest_side <= largest_side <= 1 must hold, "
                f"got {self.smallest_side} and {self.largest_side}."
            )
        if self.smallest_region * self.share < 1:
            raise ValueError(
                f"a region of {self.smallest_region} pixels has less than one at a share of {self.share}: "
                f"smallest_region must be at least {math.ceil(1 / self.share)}."
            )


def place_blocks(regions: Regions, policy: BlockPolicy, generator: np.random.Generator) -> Labels:
    """Label rectangles until the share is reached, to the pixel (rounded down).

    Args:
        regions: Of one image.
        policy: How.
        generator: Decides sizes and places; equal states give equal labels.

    Returns:
        Label map of shape (height, width), UNLABELLED outside the blocks.
    """
    truth = regions.labels()
    free = truth != UNLABELLED
    wanted = int(policy.share * int(free.sum()))
    areas, windows = regions.areas(), regions.windows()
    for place in np.flatnonzero(areas >= policy.smallest_region):
        window = windows[place]
        row, column = draw_place(regions.numbers[window] == place + 1, generator)
        # A quarter of the region's share at most: the squares of all regions never use up the image's.
        side = max(1, int(math.sqrt(int(areas[place] * policy.share)) / 2))
        centre = row + window[0].start, column + window[1].start
        wanted -= _take(free, centre, (side, side), wanted)
    while wanted > 0:
        centre = divmod(int(generator.choice(np.flatnonzero(free))), free.shape[1])
        sides = tuple(_side(length, policy, generator) for length in free.shape)
        wanted -= _take(free, centre, (sides[0], sides[1]), wanted)
    truth[free] = UNLABELLED
    return truth


def _side(length: int, policy: BlockPolicy, generator: np.random.Generator) -> int:
    """Draw the height or width of a rectangle, in pixels, from that of the image."""
    low = max(1, round(length * policy.smallest_side))
    return int(generator.integers(low, max(low, round(length * policy.largest_side)) + 1))


def _take(free: NDArray[np.bool_], centre: tuple[int, int], sides: tuple[int, int], most: int) -> int:
    """Take away the free pixels of a rectangle in reading order, ``most`` at most; return their number."""
    rows, columns = (
        slice(max(0, middle - side // 2), middle - side // 2 + side)
        for middle, side in zip(centre, sides, strict=True)
    )
    window = free[rows, columns]
    taken = np.flatnonzero(window)[:most]
    window[np.unravel_index(taken, window.shape)] = False
    return len(taken)
