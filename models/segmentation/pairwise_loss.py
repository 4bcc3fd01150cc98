"""Neighbours of like colour belong to the same side of a mask.

Paper: Tian et al., "BoxInst: High-Performance Instance Segmentation with Box Annotations",
https://arxiv.org/abs/2012.02310, pairwise term (equations 5 to 7).
Differences: the threshold is 0.3, that of the released configurations (the paper's text says 0.1); a box
covers samples softly where its border cuts them; which samples of the image are valid is the caller's to say.

Shape suffixes:
    B = images   R = regions   K = 8 neighbours   H = height   W = width
"""

import torch
from torch import Tensor
from torch.nn import functional

_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)  # CIE D65, 2 degrees
_OFFSETS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))


def rgb_to_lab(image_B3HW: Tensor) -> Tensor:
    """Convert sRGB to CIE L*a*b*.

    Args:
        image_B3HW: Values in [0, 1].

    Returns:
        L in [0, 100], a and b within about +-110, shape (B, 3, H, W).

    Raises:
        ValueError: If there are not three channels.
    """
    if image_B3HW.ndim != 4 or image_B3HW.shape[1] != 3:
        raise ValueError(f"image must have shape (B, 3, H, W), got {tuple(image_B3HW.shape)}.")
    bright = ((image_B3HW + 0.055) / 1.055).clamp(min=0.0) ** 2.4
    linear = torch.where(image_B3HW > 0.04045, bright, image_B3HW / 12.92)
    matrix = image_B3HW.new_tensor(_TO_XYZ) / image_B3HW.new_tensor(_WHITE)[:, None]
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear)
    root = xyz.clamp(min=1e-12) ** (1.0 / 3.0)
    x, y, z = torch.where(xyz > 0.008856, root, 7.787 * xyz + 16.0 / 116.0).unbind(dim=1)
    return torch.stack((116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)), dim=1)


def colour_similarity(image_B3HW: Tensor, valid_BHW: Tensor | None = None, *, dilation: int = 2) -> Tensor:
    """Compare each sample with its eight neighbours at a distance.

    Args:
        image_B3HW: Colours in [0, 1], at the size of the masks.
        valid_BHW: 1 where the image is, 0 where it was padded; None: everywhere.
        dilation: Distance of the neighbours in samples, at least 1.

    Returns:
        ``exp(-|Lab_i - Lab_j| / 2)``, 0 where the neighbour is not valid, shape (B, K, H, W), in [0, 1].

    Raises:
        ValueError: If a shape does not fit or the dilation is not positive.
    """
    if dilation < 1:
        raise ValueError(f"dilation must be at least 1, got {dilation}.")
    lab_B3HW = rgb_to_lab(image_B3HW)
    valid_B1HW = torch.ones_like(lab_B3HW[:, :1]) if valid_BHW is None else valid_BHW[:, None].to(lab_B3HW)
    if valid_B1HW.shape[0] != len(lab_B3HW) or valid_B1HW.shape[2:] != lab_B3HW.shape[2:]:
        raise ValueError(
            f"valid must have shape {(len(lab_B3HW), *lab_B3HW.shape[2:])}, "
            f"got {tuple(valid_B1HW[:, 0].shape)}."
        )
    difference_BKHW = (neighbours(lab_B3HW, dilation) - lab_B3HW[:, None]).norm(dim=2)
    similarity_BKHW: Tensor = (-0.5 * difference_BKHW).exp() * neighbours(valid_B1HW, dilation)[:, :, 0]
    return similarity_BKHW


def neighbours(field_BCHW: Tensor, dilation: int) -> Tensor:
    """Return the eight neighbours of every sample, 0 beyond the border, shape (B, K, C, H, W)."""
    height, width = field_BCHW.shape[2:]
    padded = functional.pad(field_BCHW, (dilation,) * 4)
    starts = [(dilation * (1 + dy), dilation * (1 + dx)) for dy, dx in _OFFSETS]
    return torch.stack([padded[..., y : y + height, x : x + width] for y, x in starts], dim=1)


def pairwise_loss(
    logit_RHW: Tensor,
    similarity_RKHW: Tensor,
    inside_RHW: Tensor,
    *,
    threshold: float = 0.3,
    dilation: int = 2,
) -> Tensor:
    """Ask that like neighbours get the same label, whichever it is.

    Args:
        logit_RHW: Mask logits.
        similarity_RKHW: From ``colour_similarity``, of the image of each region.
        inside_RHW: Share of each sample that lies in the box.
        threshold: Least similarity of a pair that counts, in [0, 1].
        dilation: That of the similarity.

    Returns:
        Mean over the counted pairs of ``-log P(same label)``, a scalar; 0 where no pair counts.
    """
    like_RHW, unlike_RHW = functional.logsigmoid(logit_RHW), functional.logsigmoid(-logit_RHW)
    both = neighbours(torch.stack((like_RHW, unlike_RHW), dim=1), dilation)
    same_RKHW = torch.logaddexp(both[:, :, 0] + like_RHW[:, None], both[:, :, 1] + unlike_RHW[:, None])
    weight_RKHW = (similarity_RKHW >= threshold) * inside_RHW[:, None]
    return -(same_RKHW * weight_RKHW).sum() / weight_RKHW.sum().clamp(min=1.0)
