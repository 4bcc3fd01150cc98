"""Overlap of masks and boxes, by the C code of pycocotools.

The C code trusts its input; masks reach it through readers that have checked every run length.

Shape suffixes:
    N = masks or boxes   D = detections   G = ground-truth regions
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle_c

Rle = Mapping[str, Any]
"""A mask as COCO compressed run lengths: ``{"size": [height, width], "counts": "..."}``."""


def areas(masks_N: Sequence[Rle]) -> npt.NDArray[np.float64]:
    """Return the areas in pixels, shape (N,), float64."""
    # One by one: pycocotools 2.0.11 cannot return the areas of more than 255 masks under NumPy 2.
    return np.array([rle_c.area(mask) for mask in masks_N], dtype=np.float64)


def mask_iou(
    masks_D: Sequence[Rle], masks_G: Sequence[Rle], is_crowd_G: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the IoU of each detection with each region; with a crowd, the share of the detection inside it.

    Returns:
        Fractions in [0, 1], shape (D, G), float64. Empty input gives an empty matrix of that shape.
    """
    if not masks_D or not masks_G:
        return np.zeros((len(masks_D), len(masks_G)))
    return np.asarray(rle_c.iou(list(masks_D), list(masks_G), is_crowd_G.astype(np.uint8).tolist()))


def box_iou(
    boxes_xyxy_D4: npt.NDArray[np.float64],
    boxes_xyxy_G4: npt.NDArray[np.float64],
    is_crowd_G: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """Return the IoU of each detection's box with each region's box; crowds as in ``mask_iou``.

    The arithmetic is that of the scorers, on widths and heights, so that no threshold is met in one place
    and missed in another.

    Returns:
        Fractions in [0, 1], shape (D, G), float64.
    """
    if not len(boxes_xyxy_D4) or not len(boxes_xyxy_G4):
        return np.zeros((len(boxes_xyxy_D4), len(boxes_xyxy_G4)))
    crowds = is_crowd_G.astype(np.uint8).tolist()
    return np.asarray(rle_c.iou(to_xywh(boxes_xyxy_D4), to_xywh(boxes_xyxy_G4), crowds))


def to_xywh(boxes_xyxy_N4: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return left, top, width and height: the form that COCO scorers read."""
    return np.concatenate([boxes_xyxy_N4[:, :2], boxes_xyxy_N4[:, 2:] - boxes_xyxy_N4[:, :2]], axis=1)
