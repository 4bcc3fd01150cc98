"""What a field of a window says of its box: a mask, or the reason why there is none.

The field is read at the centres of the box's pixels, so a mask cannot leave its box by as much as a pixel. A
box filled to the last pixel is no mask: it says nothing that the box did not say.

Shape suffixes:
    S = samples of a window   H = rows of a box   W = columns of a box
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Reason = Literal["empty", "filled", "narrow", "flat", "bare"]

REASONS: dict[Reason, str] = {
    "empty": "no pixel of the box reaches the threshold",
    "filled": "every pixel of the box reaches the threshold: such a mask says no more than the box",
    "narrow": "the mask spans less than half of the box",
    "flat": "the inside of the box looks like its surroundings",
    "bare": "the image shows nothing around the box to compare it with",
}
"""Why a box has no mask."""

SMALLEST_SPAN = 0.5
"""Area of the mask's tight box over that of the box, both in whole pixels, below which a mask is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxMask:
    """The mask of a box, in the pixels of its image."""

    left: int
    top: int
    mask_HW: Tensor
    """Bool, of the box's pixels; the first is column ``left`` of row ``top``. At least one is set."""
    score: float
    """In [0, 1], see ``carve``."""


def carve(
    label_SS: Tensor,
    probability_SS: Tensor,
    box_4: tuple[float, ...],
    *,
    margin: float,
    threshold: float,
    size: tuple[int, int],
) -> BoxMask | Reason:
    """Read a mask off the window of a box.

    The score is the mean probability inside the mask, times the share of the box's columns that the mask
    touches, times the share of its rows: a sure mask that spans its box has 1.

    Args:
        label_SS: Decides which pixels belong to the mask.
        probability_SS: How sure each sample is to belong to the object, in [0, 1].
        box_4: Corners ``(left, top, right, bottom)`` in pixels of the image.
        margin: Of the window, see ``SegmenterConfig``.
        threshold: Smallest label of the mask.
        size: Height and width of the image.

    Returns:
        The mask, or why there is none.
    """
    left, top, right, bottom = box_pixels(box_4, size)
    fields_2SS = torch.stack((label_SS, probability_SS))
    label_HW, probability_HW = _read(fields_2SS, box_4, margin, (left, top, right, bottom))
    mask_HW = label_HW >= threshold
    if not mask_HW.any():
        return "empty"
    if mask_HW.all():
        return "filled"
    column_W, row_H = mask_HW.any(dim=0), mask_HW.any(dim=1)
    spans = [int(shadow.nonzero().max() - shadow.nonzero().min()) + 1 for shadow in (column_W, row_H)]
    if spans[0] * spans[1] < SMALLEST_SPAN * mask_HW.numel():
        return "narrow"
    agreement = float(column_W.double().mean() * row_H.double().mean())
    score = float(probability_HW[mask_HW].double().mean().clamp(0.0, 1.0)) * agreement
    return BoxMask(left=left, top=top, mask_HW=mask_HW, score=score)


def box_pixels(box_4: tuple[float, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the pixels whose centre lies in a box; of a box without one, the pixel that holds its centre.

    Args:
        box_4: Corners ``(left, top, right, bottom)`` in pixels.
        size: Height and width of the image; the box must not leave it.

    Returns:
        First and last-plus-one column and row as ``(left, top, right, bottom)``: at least one pixel, none of
        which reaches beyond the box by as much as one pixel.
    """
    bounds = []
    for low, high, side in ((box_4[0], box_4[2], size[1]), (box_4[1], box_4[3], size[0])):
        first, last = math.ceil(low - 0.5), math.floor(high - 0.5) + 1
        if last <= first:
            first = min(math.floor((low + high) / 2), side - 1)
            last = first + 1
        bounds.append((max(first, 0), min(last, side)))
    (left, right), (top, bottom) = bounds
    return left, top, right, bottom


def _read(fields_2SS: Tensor, box_4: tuple[float, ...], margin: float, pixels: tuple[int, ...]) -> Tensor:
    """Read fields of a window at the centres of pixels, bilinearly; shape (2, H, W)."""
    places = []
    for axis in (0, 1):
        centre, side = (box_4[axis] + box_4[axis + 2]) / 2, box_4[axis + 2] - box_4[axis]
        pixel = torch.arange(pixels[axis], pixels[axis + 2], dtype=torch.float64) + 0.5
        places.append(((pixel - centre) / (side * (0.5 + margin))).float())
    x_W, y_H = places
    grid_HW2 = torch.stack((x_W.expand(len(y_H), -1), y_H[:, None].expand(-1, len(x_W))), dim=-1)
    return functional.grid_sample(
        fields_2SS[None], grid_HW2[None], mode="bilinear", padding_mode="border", align_corners=False
    )[0]
