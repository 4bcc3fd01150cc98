"""COCO's matching of all images at once: compiled, on all cores, by box and by mask.

The rule is that of ``evaluation.matching``, which matches one image in NumPy; both agree to the last bit.
Compiled code is imported when it is first used.

Shape suffixes:
    I = images   N = detections   G = regions   A = area ranges   T = thresholds of IoU
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.definition import AREAS, Kind
from evaluation.flat import Flat, flatten, not_filled, text_of
from evaluation.instances import ImageDetections, ImageTruth, check_masks
from evaluation.matching import NOBODY, THRESHOLDS_T
from evaluation.threads import share_out

IMAGES_AT_ONCE = 128
"""Images whose run lengths are put together at a time."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """Which region each detection took by one kind of overlap; bit t of a set stands for threshold t."""

    right: npt.NDArray[np.uint16]
    """Thresholds at which it took a region that counts in the area range, shape (A, N)."""
    ignored: npt.NDArray[np.uint16]
    """Thresholds at which it is neither right nor wrong: it took a crowd or a region out of range, or
    took none and is out of range itself, shape (A, N)."""
    region: npt.NDArray[np.int64]
    """Place of the region taken at the first threshold over all sizes, or ``NOBODY``, shape (N,)."""
    iou: npt.NDArray[np.float64]
    """Overlap with that region, 0 without one, shape (N,)."""
    at_box_match: npt.NDArray[np.float64]
    """Mask IoU with the region taken by boxes; 0 without one, or where boxes were not matched, shape (N,)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matches:
    """A split and what was found in it."""

    flat: Flat
    found: dict[Kind, Found]


def match_all(
    truths: Sequence[ImageTruth],
    detections: Sequence[ImageDetections],
    *,
    kinds: Sequence[Kind],
    threads: int | None = None,
) -> Matches:
    """Match the detections of every image at every threshold and in every area range.

    Args:
        truths: Checked by ``check_pairs``.
        detections: Checked by ``check_pairs``.
        kinds: By which overlaps, in the order of ``KINDS``.
        threads: How many work at once; None for one on each core. The result is the same to the last bit.

    Raises:
        ValueError: If masks are wanted and detections have none, or run lengths do not fill a mask exactly.
    """
    flat = flatten(truths, detections)
    arrays = (
        flat.first, flat.by_image, flat.categories, flat.boxes_xywh, flat.height, flat.width,
        flat.region_first, flat.regions_by_image, flat.region_categories, flat.region_boxes_xywh,
        flat.region_areas, flat.is_crowd,
    )  # fmt: skip
    found: dict[Kind, Found] = {}
    for kind in kinds:
        found[kind] = room = _room(len(flat.scores))
        out = (room.right, room.ignored, room.region, room.iou, room.at_box_match)
        box_region_N = found["box"].region if "box" in found else np.full(len(flat.scores), NOBODY)
        if kind == "mask":
            for item in detections:
                check_masks(item)
        work = _piece(truths, detections, arrays, out, box_region_N, is_mask=kind == "mask")
        share_out(work, len(truths), at_once=IMAGES_AT_ONCE, threads=threads)
    return Matches(flat=flat, found=found)


def _room(count: int) -> Found:
    return Found(
        right=np.zeros((len(AREAS), count), dtype=np.uint16),
        ignored=np.zeros((len(AREAS), count), dtype=np.uint16),
        region=np.full(count, NOBODY, dtype=np.int64),
        iou=np.zeros(count),
        at_box_match=np.zeros(count),
    )


def _piece(
    truths: Sequence[ImageTruth],
    detections: Sequence[ImageDetections],
    arrays: tuple[Any, ...],
    out: tuple[Any, ...],
    box_region_N: npt.NDArray[np.int64],
    *,
    is_mask: bool,
) -> Callable[[int, int], None]:
    from evaluation.compiled_matching import match

    low_A, high_A = np.array(list(AREAS.values())).T.copy()
    rules = (THRESHOLDS_T, low_A, high_A)
    # Of the types that masks have, so that one compiled loop serves both kinds.
    nothing = text_of(())

    def work(begin: int, end: int) -> None:
        masks = (*nothing, *nothing, 0, 0)
        if is_mask:
            masks = (
                *text_of(mask for item in detections[begin:end] for mask in item.masks),
                *text_of(mask for item in truths[begin:end] for mask in item.masks),
                int(arrays[0][begin]),
                int(arrays[6][begin]),
            )
        image, is_detection, number = match(begin, end, is_mask, arrays, masks, rules, out, box_region_N)
        if image >= 0:
            name = "detections" if is_detection else "regions"
            raise ValueError(not_filled(truths[image].image_id, name, number))

    return work
