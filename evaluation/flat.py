"""All images of a split as flat arrays: what compiled loops read, and nothing copied twice.

Shape suffixes:
    I = images   N = detections of all images   G = regions of all images   K = categories
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.instances import ImageDetections, ImageTruth
from evaluation.masks import Rle, to_xywh

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flat:
    """Regions and detections in the order given, image after image."""

    image_ids: Ints
    """Shape (I,)."""
    height: Ints
    """Shape (I,), in pixels."""
    width: Ints
    """Shape (I,), in pixels."""
    first: Ints
    """Where the detections of each image begin, shape (I + 1,)."""
    image: Ints
    """Place of the image of each detection, shape (N,)."""
    categories: Ints
    """Shape (N,)."""
    boxes_xywh: Floats
    """Left, top, width and height in pixels, shape (N, 4)."""
    scores: Floats
    """Shape (N,)."""
    by_category: Ints
    """Places of the detections by category, falling score, image and detection, shape (N,)."""
    by_image: Ints
    """Places of the detections by image, category, falling score and detection, shape (N,)."""
    rank: Ints
    """Place of each detection among those of its image and category, shape (N,)."""
    region_first: Ints
    """Where the regions of each image begin, shape (I + 1,)."""
    region_ids: Ints
    """Shape (G,)."""
    region_image: Ints
    """Place of the image of each region, shape (G,)."""
    region_categories: Ints
    """Shape (G,)."""
    region_boxes_xywh: Floats
    """Shape (G, 4)."""
    region_areas: Floats
    """Of the masks, in pixels, shape (G,)."""
    is_crowd: npt.NDArray[np.bool_]
    """Shape (G,)."""
    regions_by_image: Ints
    """Places of the regions by image, category and region, shape (G,)."""


def flatten(truths: Sequence[ImageTruth], detections: Sequence[ImageDetections]) -> Flat:
    """Put the images of a split one after the other.

    Args:
        truths: Checked by ``check_pairs``, at least one.
        detections: Checked by ``check_pairs``.

    Raises:
        ValueError: If the run lengths of a region do not fill its mask exactly.
    """
    first, image_N = _places([len(item.scores) for item in detections])
    region_first, image_G = _places([len(item.region_ids) for item in truths])
    category_N = np.concatenate([item.categories for item in detections])
    category_G = np.concatenate([item.categories for item in truths])
    score_N = np.concatenate([item.scores for item in detections])
    by_category_N = stable_order(category_N, within=np.argsort(-score_N, kind="stable"))
    by_image_N = stable_order(image_N, within=by_category_N)
    return Flat(
        image_ids=np.array([item.image_id for item in truths], dtype=np.int64),
        height=np.array([item.height for item in truths], dtype=np.int64),
        width=np.array([item.width for item in truths], dtype=np.int64),
        first=first,
        image=image_N,
        categories=category_N,
        boxes_xywh=to_xywh(np.concatenate([item.boxes_xyxy for item in detections])),
        scores=score_N,
        by_category=by_category_N,
        by_image=by_image_N,
        rank=_rank(image_N, category_N, by_image_N),
        region_first=region_first,
        region_ids=np.concatenate([item.region_ids for item in truths]),
        region_image=image_G,
        region_categories=category_G,
        region_boxes_xywh=to_xywh(np.concatenate([item.boxes_xyxy for item in truths])),
        region_areas=_areas(truths, image_G),
        is_crowd=np.concatenate([item.is_crowd for item in truths]),
        regions_by_image=stable_order(image_G, within=stable_order(category_G)),
    )


def text_of(masks_N: Iterable[Rle]) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Put the run lengths of masks one after the other.

    Returns:
        The characters, uint8, and where those of each mask begin, shape (N + 1,). What is no ASCII becomes
        characters that no run length has.
    """
    counts = [mask["counts"] for mask in masks_N]
    try:
        text = "".join(counts).encode("ascii")
    except (TypeError, UnicodeEncodeError):
        counts = [item if isinstance(item, bytes) else item.encode() for item in counts]
        text = b"".join(counts)
    length_N = np.fromiter(map(len, counts), dtype=np.int64, count=len(counts))
    return np.frombuffer(text, dtype=np.uint8), np.concatenate([[0], np.cumsum(length_N)])


def _areas(truths: Sequence[ImageTruth], image_G: Ints) -> Floats:
    """Measure the mask of every region, in pixels."""
    from evaluation.compiled_matching import fill_areas

    text_C, first = text_of(mask for item in truths for mask in item.masks)
    pixels_I = np.array([item.height * item.width for item in truths], dtype=np.int64)
    area_G = np.zeros(len(image_G))
    bad = fill_areas(text_C, first, pixels_I[image_G], area_G)
    if bad >= 0:
        image = int(image_G[bad])
        raise ValueError(
            not_filled(truths[image].image_id, "regions", int(bad - image_G.searchsorted(image)))
        )
    return area_G


def not_filled(image_id: int, name: str, number: int) -> str:
    """Say which mask is broken."""
    return f"image {image_id} of the {name}, number {number}: its run lengths do not fill the mask exactly."


def _places(counts: list[int]) -> tuple[Ints, Ints]:
    """Return where each image begins, and the image of each item."""
    count_I = np.array(counts, dtype=np.int64)
    return np.concatenate([[0], np.cumsum(count_I)]), np.repeat(np.arange(len(count_I)), count_I)


def stable_order(key_N: Ints, *, within: Ints | None = None) -> Ints:
    """Return the places by a number of at least 0; equal ones stay in the order given by ``within``."""
    # NumPy sorts 16 bits by counting, in a tenth of the time.
    small = len(key_N) == 0 or int(key_N.max()) < 2**16
    key_N = key_N.astype(np.uint16) if small else key_N
    if within is None:
        return np.argsort(key_N, kind="stable").astype(np.int64, copy=False)
    return within[np.argsort(key_N[within], kind="stable")]


def _rank(image_N: Ints, category_N: Ints, by_image_N: Ints) -> Ints:
    """Count the detections of the same image and category that come before."""
    image, category = image_N[by_image_N], category_N[by_image_N]
    starts = np.ones(len(image), dtype=bool)
    starts[1:] = (image[1:] != image[:-1]) | (category[1:] != category[:-1])
    place = np.arange(len(image))
    rank_N = np.empty(len(image), dtype=np.int64)
    rank_N[by_image_N] = place - np.maximum.accumulate(np.where(starts, place, 0))
    return rank_N
