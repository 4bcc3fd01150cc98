"""From an image to the size that CLIP reads it at, and from patches back to pixels.

The image is read whole, as MaskCLIP reads it (Zhou et al., https://arxiv.org/abs/2112.01071: the shorter side
becomes 512 pixels, unless the longer one would exceed 2048), not window by window. Differences: sides are
rounded to whole patches, so that every pixel is read; labels are the arg-max of bilinearly enlarged
probabilities, computed in bands of rows, so that memory does not grow with classes times pixels.

Shape suffixes:
    K = classes   R = rows of patches   C = columns of patches   H = rows of pixels   W = columns of pixels
    Y = rows of a band
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

NO_LABEL = 255
"""Of a pixel whose best class is not likely enough."""
_BAND = 1 << 22  # numbers in a band of probabilities: 16 MB


class PixelLabels(NamedTuple):
    """One image."""

    label_HW: Tensor
    """Index of the class or ``NO_LABEL``, uint8."""
    confidence: float
    """Mean over the pixels of the probability of the best class."""


def reading_size(
    height: int, width: int, *, patch: int, shortest: int = 512, longest: int = 2048
) -> tuple[int, int]:
    """Choose the size at which an image is read: whole patches, at least one.

    Args:
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        patch: Side of a patch, in pixels.
        shortest: What the shorter side becomes, in pixels, if the longer one allows it.
        longest: What the longer side does not exceed, in pixels, but for rounding.

    Returns:
        Height and width in pixels, multiples of ``patch``.

    Raises:
        ValueError: If a number is not positive.
    """
    if min(height, width, patch, shortest, longest) < 1:
        raise ValueError(
            "height, width, patch, shortest and longest must be at least 1, "
            f"got {height}, {width}, {patch}, {shortest} and {longest}."
        )
    scale = min(shortest / min(height, width), longest / max(height, width))
    rows, columns = (max(1, round(side * scale / patch)) for side in (height, width))
    return rows * patch, columns * patch


def label_pixels(
    probability_KRC: Tensor, height: int, width: int, *, at_least: float = 0.0, band: int = _BAND
) -> PixelLabels:
    """Give each pixel the class that is likeliest there.

    Args:
        probability_KRC: In [0, 1], of at most 254 classes.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        at_least: Pixels whose best probability is below get ``NO_LABEL``.
        band: Probabilities that are enlarged at a time; any number gives the same labels.

    Returns:
        Labels of the whole image. Of equally likely classes the first one is taken.

    Raises:
        ValueError: If there are more classes than fit.
    """
    classes, rows, _ = probability_KRC.shape
    if classes >= NO_LABEL:
        raise ValueError(f"at most {NO_LABEL - 1} classes fit into a label map, got {classes}.")
    place_H = ((torch.arange(height) + 0.5) * (rows / height) - 0.5).clamp(min=0.0)
    above_H = place_H.long().clamp(max=rows - 1)
    below_H = (above_H + 1).clamp(max=rows - 1)
    share_H = place_H - above_H
    label_HW, total = torch.empty(height, width, dtype=torch.uint8), 0.0
    step = max(1, band // max(1, classes * width))
    for top in range(0, height, step):
        part = slice(top, top + step)
        share_Y1 = share_H[part, None]
        upper_KYC, lower_KYC = probability_KRC[:, above_H[part]], probability_KRC[:, below_H[part]]
        band_KYC = upper_KYC * (1.0 - share_Y1) + lower_KYC * share_Y1
        band_KYW = functional.interpolate(band_KYC, size=width, mode="linear", align_corners=False)
        best_YW, index_YW = band_KYW.max(dim=0)
        label_HW[part] = index_YW.masked_fill(best_YW < at_least, NO_LABEL).to(torch.uint8)
        total += float(best_YW.sum(dtype=torch.float64))
    return PixelLabels(label_HW, total / (height * width))
