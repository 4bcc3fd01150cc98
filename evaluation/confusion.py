"""What regions were taken for: a matrix over categories, with background for misses and false alarms.

Matching is that of ``evaluation.matching`` at IoU 0.5, blind to categories: by falling score each detection
takes the free region of highest overlap, whatever its category. A pair of different categories is a
confusion (the classification error of Bolya et al., "TIDE", ECCV 2020, arXiv 2008.08115, section 2.2, but
counted where the blind matching put it), a region without a detection a miss, a detection without a region a
false alarm. Detections on a crowd region of any category are neither. So the diagonal may be smaller than the
hits of the metrics, which match within a category: a better-scored detection of another category takes the
region away.

Shape suffixes:
    K = categories; the place K, after the last one, is background
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from evaluation.definition import Kind
from evaluation.instances import ImageDetections, ImageTruth, check_masks, check_pairs
from evaluation.matching import match_image

_Item = TypeVar("_Item", ImageTruth, ImageDetections)

BACKGROUND = None
"""The category of no region and of no detection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One place of the matrix."""

    true: str | None
    """Category of the region; None: there is none, a false alarm."""
    predicted: str | None
    """Category of the detection; None: there is none, a miss."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Confusion:
    """How often each category was taken for each."""

    categories: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    """Rows true, columns predicted, the last of each background; shape (K + 1, K + 1). [K, K] is 0."""
    at_least: float
    """Detections below this score were left out."""

    @property
    def hits(self) -> int:
        """Count the regions that were found and named rightly."""
        return int(np.trace(self.counts))

    @property
    def confused(self) -> int:
        """Count the regions that were found under another name."""
        return int(self.counts[:-1, :-1].sum()) - self.hits

    @property
    def misses(self) -> int:
        """Count the regions that no detection took."""
        return int(self.counts[:-1, -1].sum())

    @property
    def false_alarms(self) -> int:
        """Count the detections without a region."""
        return int(self.counts[-1, :-1].sum())

    def errors(self) -> list[Cell]:
        """Return the cells off the diagonal that are not empty, largest first, then by row and column."""
        names = (*self.categories, BACKGROUND)
        wrong = self.counts * ~np.eye(len(names), dtype=bool)
        places = sorted(np.argwhere(wrong).tolist(), key=lambda place: -int(wrong[place[0], place[1]]))
        return [
            Cell(true=names[row], predicted=names[column], count=int(wrong[row, column]))
            for row, column in places
        ]


def confuse(
    truths: Sequence[ImageTruth],
    detections: Sequence[ImageDetections],
    *,
    categories: Sequence[str],
    kind: Kind,
    at_least: float = 0.0,
) -> Confusion:
    """Count what the regions of all images were taken for.

    Args:
        truths: One entry per image, by rising image id.
        detections: One entry per image in the same order.
        categories: Names in the order of their numbers.
        kind: Which overlap decides.
        at_least: Lowest score that is kept, a fraction in [0, 1]. Without a cut the faintest guesses count
            as false alarms.

    Raises:
        ValueError: If the images differ, there is none, or the cut is no fraction.
    """
    if not 0.0 <= at_least <= 1.0:
        raise ValueError(f"at_least must lie in [0, 1], got {at_least}.")
    check_pairs(truths, detections, num_categories=len(categories))
    background = len(categories)
    counts = np.zeros((background + 1, background + 1), dtype=np.int64)
    for truth, every in zip(truths, detections, strict=True):
        if kind == "mask":
            check_masks(every)
        found = _cut(every, at_least)
        match = match_image(_blind(truth), _blind(found), kind)
        right_D, place_D = match.is_right[0], match.region[0]
        np.add.at(counts, (truth.categories[place_D[right_D]], found.categories[right_D]), 1)
        false_D = ~right_D & ~match.is_ignored[0]
        np.add.at(counts[background], found.categories[false_D], 1)
        missed_G = ~truth.is_crowd
        missed_G[place_D[right_D]] = False
        np.add.at(counts[:, background], truth.categories[missed_G], 1)
    return Confusion(categories=tuple(categories), counts=counts, at_least=at_least)


def _cut(found: ImageDetections, at_least: float) -> ImageDetections:
    kept_D = np.flatnonzero(found.scores >= at_least)
    return replace(
        found,
        categories=found.categories[kept_D],
        boxes_xyxy=found.boxes_xyxy[kept_D],
        masks=tuple(found.masks[place] for place in kept_D) if found.masks else (),
        scores=found.scores[kept_D],
    )


def _blind(item: _Item) -> _Item:
    return replace(item, categories=np.zeros_like(item.categories))
