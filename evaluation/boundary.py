"""Boundary IoU: how well two masks agree near their contours, where mask IoU forgives large regions.

Source: Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation" (CVPR 2021, arXiv
2103.16562). The boundary of a mask is what an erosion takes from it: its pixels at most d pixels
from the nearest pixel outside it, where d is 2 % of the image's diagonal, rounded, at least 1. Boundary IoU
is the IoU of both boundaries. The area beyond the image's edge is outside of every mask. The distance is that
of d erosions with a square of 3 pixels, the larger of both axes, as in the authors' tool.

Boundary IoU alone is blind to the inside: a ring as wide as the boundary equals the full mask. Boundary AP
and Boundary PQ therefore use the smaller one of mask IoU and boundary IoU: ``smaller_iou``.

Shape suffixes:
    H, W = height and width in pixels   N = masks   D = detections   G = true regions
"""

import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from pycocotools import mask as rle_c
from scipy import ndimage

from evaluation.masks import Rle, areas, mask_iou

DILATION_RATIO: Final = 0.02
"""Width of the boundary as a share of the image's diagonal; the value of the paper for COCO and LVIS."""


def boundary_width(height: int, width: int, *, ratio: float = DILATION_RATIO) -> int:
    """Return d, in pixels: the share of the diagonal, rounded to the nearest even at a half, at least 1.

    Raises:
        ValueError: If a size is not positive or the ratio not in (0, 1].

    Example:
        >>> boundary_width(480, 640)
        16
    """
    if height < 1 or width < 1:
        raise ValueError(f"an image must have at least one pixel, got {height}x{width}.")
    if not 0.0 < ratio <= 1.0:
        raise ValueError(f"ratio must lie in (0, 1], got {ratio}.")
    return max(1, round(ratio * float(np.sqrt(height**2 + width**2))))


def boundary(mask_HW: npt.NDArray[np.bool_], *, distance: int) -> npt.NDArray[np.bool_]:
    """Return the pixels of the mask that are at most so far from the outside.

    Args:
        mask_HW: The mask over the whole image; beyond it is outside.
        distance: In pixels, at least 1; 1 leaves the outermost pixels.

    Returns:
        A mask of the same shape, a part of the given one; empty for an empty mask.

    Raises:
        TypeError: If the mask is not bool in two dimensions.
        ValueError: If the distance is below 1.
    """
    if mask_HW.dtype != np.bool_ or mask_HW.ndim != 2:
        raise TypeError(f"mask_HW must be bool in two dimensions, got {mask_HW.dtype} {mask_HW.shape}.")
    if distance < 1:
        raise ValueError(f"distance must be at least 1 pixel, got {distance}.")
    out_HW = np.zeros_like(mask_HW)
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    if len(rows):
        # Outside the box of the mask nothing changes; a frame of one pixel stands for all of it.
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        depth_HW = ndimage.distance_transform_cdt(np.pad(mask_HW[box], 1), metric="chessboard")[1:-1, 1:-1]
        out_HW[box] = mask_HW[box] & (depth_HW <= distance)
    return out_HW


def boundaries(masks_N: Sequence[Rle], *, ratio: float = DILATION_RATIO) -> tuple[Rle, ...]:
    """Return the boundary of each mask, in the same form."""
    out = []
    for mask in masks_N:
        height, width = mask["size"]
        inner_HW = boundary(_decoded(mask), distance=boundary_width(height, width, ratio=ratio))
        coded = rle_c.encode(np.asfortranarray(inner_HW.astype(np.uint8)))
        out.append({"size": [height, width], "counts": coded["counts"].decode("ascii")})
    return tuple(out)


def boundary_iou(
    masks_D: Sequence[Rle],
    masks_G: Sequence[Rle],
    is_crowd_G: npt.NDArray[np.bool_],
    *,
    ratio: float = DILATION_RATIO,
) -> npt.NDArray[np.float64]:
    """Return the boundary IoU of each detection with each region; with a crowd, the share as in ``mask_iou``.

    Returns:
        Fractions in [0, 1], shape (D, G), float64; 0 where both are empty. Empty input gives an empty matrix
        of that shape.

    Raises:
        ValueError: If masks differ in size.
    """
    _check_sizes([*masks_D, *masks_G])
    return mask_iou(boundaries(masks_D, ratio=ratio), boundaries(masks_G, ratio=ratio), is_crowd_G)


def boundary_table(
    pair_ids: Sequence[int],
    predicted_N: Sequence[Rle | None],
    true_N: Sequence[Rle],
    *,
    ratio: float = DILATION_RATIO,
) -> pd.DataFrame:
    """Compare masks pair by pair.

    Args:
        pair_ids: What a row is called, e.g. the id of the true region; they must differ.
        predicted_N: Masks; None: no prediction exists, so that every IoU is 0.
        true_N: Masks of the same images.
        ratio: Width of the boundary as a share of the image's diagonal.

    Returns:
        One row per pair: ``pair_id``, ``distance`` (width of the boundary in pixels), ``mask_iou``,
        ``boundary_iou`` and the smaller one of both, ``smaller_iou``, fractions in [0, 1], more is better.

    Raises:
        ValueError: If there is no pair, lengths or sizes differ, ids repeat, or a true mask is empty: it has
            no boundary to agree with.
    """
    if not len(pair_ids):
        raise ValueError("no pair to score; a metric over nothing is refused.")
    if not len(pair_ids) == len(predicted_N) == len(true_N):
        raise ValueError(
            f"{len(pair_ids)} ids, {len(predicted_N)} predicted and {len(true_N)} true masks; one of each is "
            "expected."
        )
    if len(set(pair_ids)) != len(pair_ids):
        raise ValueError("pair_ids repeat.")
    empty = np.flatnonzero(areas(true_N) == 0)
    if len(empty):
        raise ValueError(f"pair {pair_ids[empty[0]]}: the true mask is empty and has no boundary.")
    rows, alone = [], np.zeros(1, dtype=bool)
    for pair_id, predicted, true in zip(pair_ids, predicted_N, true_N, strict=True):
        whole = edge = 0.0
        if predicted is not None:
            edge = float(boundary_iou([predicted], [true], alone, ratio=ratio)[0, 0])
            whole = float(mask_iou([predicted], [true], alone)[0, 0])
        height, width = true["size"]
        rows.append(
            {
                "pair_id": pair_id,
                "distance": boundary_width(height, width, ratio=ratio),
                "mask_iou": whole,
                "boundary_iou": edge,
                "smaller_iou": min(whole, edge),
            }
        )
    return pd.DataFrame(rows)


def _decoded(mask: Rle) -> npt.NDArray[np.bool_]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools 2.0.11 and NumPy 2
        return np.asarray(rle_c.decode(mask)).astype(bool)


def _check_sizes(masks: Sequence[Rle]) -> None:
    sizes = {tuple(mask["size"]) for mask in masks}
    if len(sizes) > 1:
        raise ValueError(f"masks must have the size of one image, got {sorted(sizes)} (height, width).")
