"""What LVIS knows about an image: its regions, and which categories it says nothing about.

Source and rules: ``evaluation.lvis``.

Shape suffixes:
    G = regions of the image
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from evaluation.instances import ImageTruth

Frequency = Literal["r", "c", "f"]
FREQUENCIES: Final[dict[str, Frequency]] = {"rare": "r", "common": "c", "frequent": "f"}
"""Name in metrics -> letter in files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LvisCategory:
    """A class and in how many training images it occurs."""

    name: str
    frequency: Frequency
    """``r`` 1 to 10 training images, ``c`` 11 to 100, ``f`` more."""

    def __post_init__(self) -> None:
        """Refuse another letter. Raises ValueError naming the category."""
        if self.frequency not in FREQUENCIES.values():
            raise ValueError(f"category {self.name!r}: frequency must be r, c or f, got {self.frequency!r}.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LvisImage:
    """The regions of one image and what is known about the categories without any."""

    truth: ImageTruth
    """Without crowds."""
    areas: npt.NDArray[np.float64]
    """Annotated area of each region in pixels, shape (G,)."""
    negative: frozenset[int]
    """Places of the categories that were verified to be absent."""
    not_exhaustive: frozenset[int]
    """Places of the categories of which some regions may not be annotated."""

    def __post_init__(self) -> None:
        """Check that the lists do not contradict each other. Raises ValueError or TypeError."""
        where, count = f"image {self.truth.image_id} of the regions", len(self.truth.masks)
        if self.areas.dtype != np.float64:
            raise TypeError(f"{where}: areas must be float64, got {self.areas.dtype}.")
        if self.areas.shape != (count,):
            raise ValueError(f"{where}: areas must have shape {(count,)}, got {self.areas.shape}.")
        wrong_G = np.flatnonzero(~((self.areas >= 0.0) & (self.areas < np.inf)))
        if len(wrong_G):
            raise ValueError(
                f"{where}, number {wrong_G[0]}: area must be finite and at least 0, "
                f"got {self.areas[wrong_G[0]]}."
            )
        if self.truth.is_crowd.any():
            raise ValueError(f"{where}: a region is a crowd; LVIS has none, and no rule for them.")
        present = frozenset(self.truth.categories.tolist())
        for name, other in (("regions", present), ("a not-exhaustive mark", self.not_exhaustive)):
            if both := sorted(self.negative & other):
                raise ValueError(f"{where}: category {both[0]} is negative and has {name}.")


def check_lists(images: Sequence[LvisImage], categories: Sequence[LvisCategory]) -> None:
    """Check that every category of the lists of every image is one of those named.

    Args:
        images: With places in ``categories``.
        categories: In the order of their numbers.

    Raises:
        ValueError: If two categories have one name, or a list names a place that is none.
    """
    names = [category.name for category in categories]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"names of categories must differ, {twice!r} appears twice.")
    for image in images:
        for place in sorted(image.negative | image.not_exhaustive):
            if not 0 <= place < len(categories):
                raise ValueError(
                    f"image {image.truth.image_id} of the regions: category {place} of a list is not one "
                    f"of {len(categories)}."
                )
