"""The regions of a fully labelled image: what an annotator would put a point, a scribble or a block on.

A region is an object with a mask, or one connected part of the pixels of a class (four neighbours count).
Each pixel belongs to one region or to none; none is what has no class: void, unlabelled, or claimed by two
objects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.data.label_maps import PADDING, UNLABELLED, Labels

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """Which region each pixel belongs to."""

    numbers: NDArray[np.int32]
    """Shape (height, width): 0 for none, otherwise the number of the region, from 1."""
    values: tuple[int, ...]
    """Class of each region, 0 to 253; region 1 comes first. Every region has a pixel."""

    def __post_init__(self) -> None:
        """Refuse numbers without a class, classes without a pixel, and classes beyond 253."""
        if self.numbers.ndim != 2:
            raise ValueError(f"numbers must have shape (height, width), got {self.numbers.shape}.")
        if wrong := [value for value in self.values if not 0 <= value < PADDING]:
            raise ValueError(f"the class of a region must be 0 to {PADDING - 1}, got {wrong[0]}.")
        found = np.unique(self.numbers)
        if found[found > 0].tolist() != list(range(1, len(self.values) + 1)) or (found < 0).any():
            raise ValueError(
                f"numbers must be 0 to {len(self.values)}, each at least once, got {found[:10].tolist()}."
            )

    def labels(self) -> Labels:
        """Return the full label map: each pixel's class, UNLABELLED where there is none."""
        return np.array([UNLABELLED, *self.values], dtype=np.uint8)[self.numbers]

    def areas(self) -> NDArray[np.int64]:
        """Count the pixels of each region, region 1 first."""
        return np.bincount(self.numbers.ravel(), minlength=len(self.values) + 1)[1:]

    def windows(self) -> list[tuple[slice, slice]]:
        """Return the rows and columns that each region spans, region 1 first."""
        return list(ndimage.find_objects(self.numbers, len(self.values)))


def regions_of_labels(labels: Labels, *, void: Sequence[int] = ()) -> Regions:
    """Take the connected parts of each class as regions, ordered by class and then by their first pixel.

    Args:
        labels: Full label map of shape (height, width).
        void: Values that are no class; UNLABELLED and PADDING never are one.
    """
    values = sorted(set(np.unique(labels).tolist()) - {*void, PADDING, UNLABELLED})
    numbers = np.zeros(labels.shape, dtype=np.int32)
    found: list[int] = []
    for value in values:
        parts, count = ndimage.label(labels == value)
        numbers[parts > 0] = parts[parts > 0] + len(found)
        found += [int(value)] * count
    return Regions(numbers=numbers, values=tuple(found))


def regions_of_segments(segments: NDArray[np.int64], values: Mapping[int, int]) -> Regions:
    """Take the segments of a panoptic map as regions, in the order of ``values``.

    Args:
        segments: Shape (height, width): id of the segment, as COCO writes it in three bytes.
        values: Id -> class. Other ids belong to no region. A segment without a pixel, which shrinking an
            image can bring about, is no region.
    """
    present = set(np.unique(segments).tolist())
    kept = [number for number in values if number in present]
    table = np.array([0, *kept], dtype=np.int64)
    order = np.argsort(table[1:], kind="stable")
    numbers = np.zeros(segments.shape, dtype=np.int32)
    if kept:
        place = np.searchsorted(table[1:][order], segments).clip(max=len(kept) - 1)
        hit = table[1:][order][place] == segments
        numbers[hit] = (order[place] + 1)[hit]
    return Regions(numbers=numbers, values=tuple(values[number] for number in kept))


def regions_of_masks(
    masks: Sequence[Mask], values: Sequence[int], void: Mask, *, background: int | None = None
) -> Regions:
    """Take the masks of objects as regions, and the rest of the image as one more.

    Args:
        masks: Each of shape (height, width). Where two overlap there is no region.
        values: Class of each mask.
        void: Where classes are not known, e.g. crowds, shape (height, width); no region reaches there.
        background: Class of what nothing covers; None leaves it without a region.

    Returns:
        Regions in the order of the masks, the background last. A mask that others cover entirely is none.

    Raises:
        ValueError: If the masks do not have one shape, or not each has a class.
    """
    shapes = sorted({mask.shape for mask in (*masks, void)})
    if len(shapes) != 1 or len(masks) != len(values):
        raise ValueError(
            f"masks must have one shape and each a class, got {len(masks)} masks, "
            f"{len(values)} classes and the shapes {shapes}."
        )
    numbers = np.zeros(void.shape, dtype=np.int32)
    claims = void.astype(np.int32) * 2
    for number, mask in enumerate(masks, start=1):
        numbers[mask] = number
        claims += mask
    numbers[claims > 1] = 0
    found = list(values)
    if background is not None:
        numbers[claims == 0] = len(masks) + 1
        found.append(background)
    return _without_empty(numbers, found)


def _without_empty(numbers: NDArray[np.int32], values: Sequence[int]) -> Regions:
    """Renumber so that every region has a pixel."""
    present = np.unique(numbers)
    present = present[present > 0]
    table = np.zeros(len(values) + 1, dtype=np.int32)
    table[present] = np.arange(1, len(present) + 1)
    return Regions(numbers=table[numbers], values=tuple(values[number - 1] for number in present.tolist()))
