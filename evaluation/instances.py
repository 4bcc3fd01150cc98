"""What a scorer compares: the regions of an image and the detections a model reports for it.

Every number is checked here, before any scorer: pycocotools gives detections with NaN boxes recall 1.0.

Shape suffixes:
    N = regions or detections of one image
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from evaluation.masks import Rle


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageTruth:
    """The annotated regions of one image."""

    image_id: int
    height: int
    """Of the original image, in pixels."""
    width: int
    """Of the original image, in pixels."""
    region_ids: npt.NDArray[np.int64]
    """Shape (N,); unique in the image."""
    categories: npt.NDArray[np.int64]
    """Place in the list of categories, shape (N,)."""
    boxes_xyxy: npt.NDArray[np.float64]
    """Corners in pixels of the original image, shape (N, 4)."""
    masks: tuple[Rle, ...]
    is_crowd: npt.NDArray[np.bool_]
    """Shape (N,). A crowd may be matched often and is never a miss."""

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError or TypeError naming the image and the region."""
        _check(self, "regions")
        where = f"image {self.image_id} of the regions"
        _check_column(where, "region_ids", self.region_ids, np.int64, (len(self.masks),))
        _check_column(where, "is_crowd", self.is_crowd, np.bool_, (len(self.masks),))
        if len(set(self.region_ids.tolist())) != len(self.region_ids):
            raise ValueError(f"{where}: region_ids repeat.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageDetections:
    """What a model reports for one image; the order breaks ties between equal scores."""

    image_id: int
    height: int
    """Of the original image, in pixels."""
    width: int
    """Of the original image, in pixels."""
    categories: npt.NDArray[np.int64]
    """Place in the list of categories, shape (N,)."""
    boxes_xyxy: npt.NDArray[np.float64]
    """Corners in pixels of the original image, shape (N, 4)."""
    masks: tuple[Rle, ...]
    """One each; none at all of a model that reports boxes only, where boxes alone can be scored."""
    scores: npt.NDArray[np.float64]
    """Confidence in [0, 1], shape (N,)."""

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError or TypeError naming the image and the detection."""
        _check(self, "detections")
        where = f"image {self.image_id} of the detections"
        _check_column(where, "scores", self.scores, np.float64, (len(self.masks) or self.scores.size,))
        valid = (self.scores >= 0.0) & (self.scores <= 1.0)
        _refuse(where, "score must be finite and in [0, 1]", self.scores, valid)


def check_pairs(
    truths: Sequence[ImageTruth], detections: Sequence[ImageDetections], *, num_categories: int
) -> None:
    """Check that both speak of the same images, one by one and in the same order.

    Args:
        truths: One per image, by rising image id.
        detections: One per image in the same order; an image without a detection has an entry all the same.
        num_categories: Number of categories that may occur.

    Raises:
        ValueError: If there is no image, ids do not rise or differ, sizes differ, or a category is unknown.
    """
    check_rising([truth.image_id for truth in truths])
    if len(truths) != len(detections):
        raise ValueError(f"{len(truths)} images have regions, {len(detections)} have detections.")
    for truth, found in zip(truths, detections, strict=True):
        if (truth.image_id, truth.height, truth.width) != (found.image_id, found.height, found.width):
            raise ValueError(
                f"detections of image {found.image_id} ({found.width}x{found.height}) stand where "
                f"image {truth.image_id} ({truth.width}x{truth.height}) is expected."
            )
        for name, item in (("regions", truth), ("detections", found)):
            if len(item.categories) and int(item.categories.max()) >= num_categories:
                raise ValueError(
                    f"image {truth.image_id} of the {name}: category {int(item.categories.max())} is not one "
                    f"of {num_categories}."
                )


def check_rising(image_ids: Sequence[int]) -> None:
    """Refuse to score no image, or images that are not in order: each stands for itself, and once.

    Raises:
        ValueError: If there is no image, or an id does not lie above the one before.
    """
    if not image_ids:
        raise ValueError("no image to score; a metric over nothing is refused.")
    for before, image_id in pairwise(image_ids):
        if image_id <= before:
            raise ValueError(f"image ids must rise, got {image_id} after {before}.")


def check_masks(found: ImageDetections) -> None:
    """Refuse to compare masks where there are none.

    Raises:
        ValueError: If there are detections without masks.
    """
    if len(found.masks) != len(found.scores):
        raise ValueError(
            f"image {found.image_id} of the detections: {len(found.scores)} boxes have no masks; "
            'give masks, or compare boxes only: kinds=("box",).'
        )


def _check(item: ImageTruth | ImageDetections, name: str) -> None:
    where, count = f"image {item.image_id} of the {name}", len(item.masks)
    if isinstance(item, ImageDetections) and not count:
        count = item.scores.size
    _check_column(where, "boxes_xyxy", item.boxes_xyxy, np.float64, (count, 4))
    _check_column(where, "categories", item.categories, np.int64, (count,))
    low_N2, high_N2 = item.boxes_xyxy[:, :2], item.boxes_xyxy[:, 2:]
    ordered_N2 = (low_N2 >= 0.0) & (low_N2 < high_N2) & (high_N2 < np.inf)
    if not ordered_N2.all():
        rule = "box_xyxy must be finite with left < right and top < bottom"
        _refuse(where, rule, item.boxes_xyxy, ordered_N2[:, 0] & ordered_N2[:, 1])
    _refuse(where, "category must be at least 0", item.categories, item.categories >= 0)
    size = [item.height, item.width]
    for index, mask in enumerate(item.masks):
        # Compared as it is first: of half a million masks, nearly all hold a list.
        if mask["size"] != size and list(mask["size"]) != size:
            raise ValueError(f"{where}, number {index}: mask size must be {size}, got {list(mask['size'])}.")


def _check_column(
    where: str, name: str, column: npt.NDArray[np.generic], dtype: type, shape: tuple[int, ...]
) -> None:
    if column.dtype != dtype:
        raise TypeError(f"{where}: {name} must be {np.dtype(dtype)}, got {column.dtype}.")
    if column.shape != shape:
        raise ValueError(f"{where}: {name} must have shape {shape}, got {column.shape}.")


def _refuse(where: str, rule: str, column: npt.NDArray[np.generic], valid_N: npt.NDArray[np.bool_]) -> None:
    if not valid_N.all():
        index = int(np.flatnonzero(~valid_N)[0])
        raise ValueError(f"{where}, number {index}: {rule}, got {column[index].tolist()}.")
