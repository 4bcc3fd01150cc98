"""Where two models differ: image by image, and region by region.

Both must have been evaluated on the same images, so that each image and each region stands beside itself.

Shape suffixes:
    I = images
"""

from dataclasses import dataclass

import numpy as np

from evaluation.definition import Kind
from evaluation.tables import Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageChange:
    """F1 of one image at IoU 0.5, by both models."""

    image_id: int
    candidate: float
    other: float

    @property
    def difference(self) -> float:
        """Candidate minus other, in [-1, 1]."""
        return self.candidate - self.other


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Which of the regions were found at IoU 0.5; crowds do not count."""

    both: int
    only_candidate: int
    only_other: int
    neither: int


def image_changes(candidate: Tables, other: Tables, kind: Kind) -> list[ImageChange]:
    """Compare every image, the largest change first.

    F1 is that of the tables: 2 hits / (2 hits + misses + false alarms) over all detections, and 1 for an
    image without regions that was left empty.

    Args:
        candidate: Without problems.
        other: Without problems, of the same images.
        kind: Which overlap decided the matches.

    Returns:
        One entry per image by falling size of the difference; equal ones by rising image id.

    Raises:
        ValueError: If the images differ.
    """
    _check_images(candidate, other)
    columns = (
        candidate.per_image["image_id"].to_numpy(np.int64).tolist(),
        candidate.per_image[f"{kind}_f1_50"].to_numpy(np.float64).tolist(),
        other.per_image[f"{kind}_f1_50"].to_numpy(np.float64).tolist(),
    )
    changes = [
        ImageChange(image_id=image_id, candidate=mine, other=theirs)
        for image_id, mine, theirs in zip(*columns, strict=True)
    ]
    return sorted(changes, key=lambda change: (-abs(change.difference), change.image_id))


def agreement(candidate: Tables, other: Tables, kind: Kind) -> Agreement:
    """Count the regions that both models found, one of them, or none.

    Raises:
        ValueError: If the images or the numbers of their regions differ.
    """
    _check_images(candidate, other)
    regions_I = candidate.per_image["num_regions"].to_numpy(np.int64)
    if not np.array_equal(regions_I, other.per_image["num_regions"].to_numpy(np.int64)):
        raise ValueError("candidate and other were evaluated on different regions.")
    mine, theirs = _found(candidate, kind), _found(other, kind)
    return Agreement(
        both=len(mine & theirs),
        only_candidate=len(mine - theirs),
        only_other=len(theirs - mine),
        neither=int(regions_I.sum()) - len(mine | theirs),
    )


def _found(tables: Tables, kind: Kind) -> set[tuple[int, int]]:
    """Return image and region of every hit."""
    hits = tables.matches[tables.matches[f"{kind}_matched_50"]]
    return set(zip(hits["image_id"].tolist(), hits[f"{kind}_region_id"].tolist(), strict=True))


def _check_images(candidate: Tables, other: Tables) -> None:
    mine_I, theirs_I = candidate.per_image["image_id"].tolist(), other.per_image["image_id"].tolist()
    if mine_I != theirs_I:
        missing = sorted(set(mine_I) ^ set(theirs_I))[:5]
        raise ValueError(
            f"candidate and other were evaluated on different images: {len(mine_I)} and {len(theirs_I)}, "
            f"not in both: {missing}."
        )
