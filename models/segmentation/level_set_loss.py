"""A mask splits its box into two regions, each of one colour or feature.

Papers: Li et al., "Box-supervised Instance Segmentation with Level Set Evolution",
https://arxiv.org/abs/2207.09055, and "Box2Mask", https://arxiv.org/abs/2212.01579: the region term of Chan
and Vese inside the box.
Differences: one step of local consistency, which is what the release computes although it names ten.

Shape suffixes:
    R = regions   C = channels   K = 8 neighbours   H = height   W = width
"""

import torch
from torch import Tensor

from models.segmentation.pairwise_loss import neighbours


def level_set_loss(probability_RHW: Tensor, field_RCHW: Tensor, inside_RHW: Tensor) -> Tensor:
    """Measure how far both sides of a mask are from their own mean.

    Args:
        probability_RHW: Mask probabilities.
        field_RCHW: Colours or features of the image of each region; carries gradients if it has them.
        inside_RHW: Share of each sample that lies in the box.

    Returns:
        Mean over regions, channels and samples of the box of the squared distances; 0 without a region.
    """
    mask_R1HW = (probability_RHW * inside_RHW)[:, None]
    rest_R1HW = ((1.0 - probability_RHW) * inside_RHW)[:, None]
    energy_R = _scatter(field_RCHW, mask_R1HW) + _scatter(field_RCHW, rest_R1HW)
    size_R = inside_RHW.sum(dim=(1, 2)).clamp(min=1e-5) * field_RCHW.shape[1]
    return (energy_R / size_R).sum() / max(1, len(probability_RHW))


def _scatter(field_RCHW: Tensor, weight_R1HW: Tensor) -> Tensor:
    """Sum the weighted squared distances to the weighted mean, shape (R,)."""
    total_RC11 = (field_RCHW * weight_R1HW).sum(dim=(2, 3), keepdim=True)
    mean_RC11 = total_RC11 / weight_R1HW.sum(dim=(2, 3), keepdim=True).clamp(min=1e-5)
    return ((field_RCHW - mean_RC11).square() * weight_R1HW).sum(dim=(1, 2, 3))


def consistency_loss(
    probability_RHW: Tensor,
    image_RCHW: Tensor,
    inside_RHW: Tensor,
    *,
    dilation: int = 2,
    sharpness: float = 0.3,
) -> Tensor:
    """Measure how far a mask is from the mean of its neighbours of like colour.

    Args:
        probability_RHW: Mask probabilities.
        image_RCHW: Colours of the image of each region.
        inside_RHW: Share of each sample that lies in the box.
        dilation: Distance of the neighbours in samples.
        sharpness: Difference of colour, in standard deviations of the neighbourhood, at which the weight has
            dropped to 1/e.

    Returns:
        Mean over regions of the mean distance in the box, a scalar in [0, 1]; the target carries no gradient.
    """
    if not len(probability_RHW):
        return probability_RHW.sum()
    with torch.no_grad():
        around_RKCHW = neighbours(image_RCHW, dilation)
        difference_RKCHW = (around_RKCHW - image_RCHW[:, None]).abs()
        deviation_R1CHW = around_RKCHW.std(dim=1, correction=0, keepdim=True).clamp(min=1e-8)
        distance_RKHW = (difference_RKCHW / (deviation_R1CHW * sharpness)).square().mean(dim=2)
        exists_1KHW = neighbours(torch.ones_like(image_RCHW[:1, :1]), dilation)[:, :, 0] > 0
        affinity_RKHW = (-distance_RKHW).masked_fill(~exists_1KHW, -torch.inf).softmax(dim=1)
        target_RHW = (affinity_RKHW * neighbours(probability_RHW[:, None], dilation)[:, :, 0]).sum(dim=1)
    area_R = inside_RHW.sum(dim=(1, 2)).clamp(min=1.0)
    distance_R = ((target_RHW - probability_RHW).abs() * inside_RHW).sum(dim=(1, 2)) / area_R
    return distance_R.mean()
