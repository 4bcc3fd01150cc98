"""Everything that boxes say about masks. The losses know no head: a head hands over logits, images and boxes.

Papers: see ``box_supervision``; each loss names its own.

Shape suffixes:
    B = images   R = regions   C = channels   H, W = size of the masks
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from models.affinity.spanning_tree import Structure
from models.affinity.tree_filter import TreeFilter
from models.segmentation.affinity_loss import stretch_labels
from models.segmentation.box_supervision import Average, BoxSupervision, Guidance
from models.segmentation.level_set_loss import consistency_loss, level_set_loss
from models.segmentation.pairwise_loss import pairwise_loss
from models.segmentation.projection_loss import projection_loss


class PredictedMasks(NamedTuple):
    """What any head hands over: masks of one size, and which box each answers for."""

    logit_RHW: Tensor
    image_R: Tensor
    """Place of the image in the batch, int64."""
    inside_RHW: Tensor
    """Share of each sample that lies in the box, in [0, 1]."""


def box_losses(
    masks: PredictedMasks, guidance: Guidance, supervision: BoxSupervision, *, step: int
) -> dict[str, Tensor]:
    """Compute every loss that is switched on, already weighted.

    Args:
        masks: R regions of B images.
        guidance: From ``guide``, of the size of the masks.
        supervision: Weights and bandwidths.
        step: Number of steps already taken.

    Returns:
        Scalars by name. Without a region all are 0 and pass a gradient of 0 to the logits.

    Raises:
        ValueError: If shapes do not fit together or an image does not exist.
    """
    _check(masks, guidance)
    probability_RHW = masks.logit_RHW.sigmoid()
    losses = _projected(probability_RHW, masks.inside_RHW, supervision)
    rise = min(1.0, (step + 1) / max(1, supervision.warmup_steps))
    for part in (_propagated, _compared):
        found = part(probability_RHW, masks, guidance, supervision)
        losses |= {name: rise * value for name, value in found.items()}
    nothing = masks.logit_RHW.sum() * 0.0
    return {name: value + nothing for name, value in losses.items()}


def _check(masks: PredictedMasks, guidance: Guidance) -> None:
    shape, images = masks.logit_RHW.shape, guidance.image_BCHW
    if masks.inside_RHW.shape != shape or masks.image_R.shape != shape[:1]:
        raise ValueError(
            f"masks of shape {tuple(shape)} need boxes of that shape and one image each, "
            f"got {tuple(masks.inside_RHW.shape)} and {tuple(masks.image_R.shape)}."
        )
    if images.shape[2:] != shape[1:]:
        raise ValueError(
            f"masks of size {tuple(shape[1:])} need guidance of that size, got {tuple(images.shape[2:])}."
        )
    if len(masks.image_R) and int(masks.image_R.max()) >= len(images):
        raise ValueError(f"a mask is of image {int(masks.image_R.max())}, there are {len(images)}.")


def _projected(probability_RHW: Tensor, inside_RHW: Tensor, supervision: BoxSupervision) -> dict[str, Tensor]:
    """Compare the masks with what the boxes alone say of them: their shadows, and nothing outside."""
    if not supervision.projection_weight:
        return {}
    shadow = projection_loss(probability_RHW, inside_RHW.amax(dim=1), inside_RHW.amax(dim=2))
    loss = supervision.projection_weight * shadow
    if supervision.outside_weight:
        loss = loss + supervision.outside_weight * share_outside(probability_RHW, inside_RHW)
    return {"projection": loss}


def share_outside(probability_RHW: Tensor, inside_RHW: Tensor) -> Tensor:
    """Return how much of each mask lies outside its box, over the area of the box: the mean, a scalar."""
    spilt_R = (probability_RHW * (1.0 - inside_RHW)).sum(dim=(1, 2))
    return (spilt_R / inside_RHW.sum(dim=(1, 2)).clamp(min=1.0)).sum() / max(1, len(spilt_R))


def _propagated(
    probability_RHW: Tensor, masks: PredictedMasks, guidance: Guidance, supervision: BoxSupervision
) -> dict[str, Tensor]:
    """Compare the masks with what propagation makes of them."""
    cascade, losses = supervision.cascade(), {}
    if supervision.global_weight:
        small_RHW, far_RHW = global_labels(probability_RHW, masks, guidance, supervision)
        distance = distance_inside(small_RHW, far_RHW, masks.inside_RHW, supervision.average)
        losses["global"] = supervision.global_weight * distance
    if supervision.local_weight:
        with torch.no_grad():
            near_RHW = cascade.near(
                probability_RHW[:, None],
                guidance.image_BCHW,
                masks.inside_RHW[:, None],
                image_R=masks.image_R,
            )[:, 0]
            near_RHW = stretch_labels(near_RHW, masks.inside_RHW) if supervision.stretch else near_RHW
        distance = distance_inside(probability_RHW, near_RHW, masks.inside_RHW, supervision.average)
        losses["local"] = supervision.local_weight * distance
    return losses


def global_labels(
    probability_RHW: Tensor, masks: PredictedMasks, guidance: Guidance, supervision: BoxSupervision
) -> tuple[Tensor, Tensor]:
    """Return the masks and what global propagation makes of them, both through its size and back."""
    cascade, trees = supervision.cascade().far, guidance.trees
    if trees is None or not len(probability_RHW):
        return probability_RHW, probability_RHW.detach()
    size, side = tuple(probability_RHW.shape[1:]), (trees.height, trees.width)
    small_RHW = probability_RHW if side == size else _resize(probability_RHW, side)
    with torch.no_grad():
        known_RHW = small_RHW
        if supervision.stretch:
            inside_RHW = masks.inside_RHW if side == size else _resize(masks.inside_RHW, side)
            known_RHW = small_RHW * inside_RHW
        far_RHW = cascade(known_RHW[:, None], trees, image_R=masks.image_R)[:, 0]
        far_RHW = stretch_labels(far_RHW, inside_RHW) if supervision.stretch else far_RHW
    if side == size:
        return small_RHW, far_RHW
    return _resize(small_RHW, size), _resize(far_RHW, size)


def _resize(field_RHW: Tensor, size: tuple[int, ...]) -> Tensor:
    return functional.interpolate(field_RHW[:, None], size=list(size), mode="bilinear")[:, 0]


def distance_inside(first_RHW: Tensor, second_RHW: Tensor, inside_RHW: Tensor, average: Average) -> Tensor:
    """Return the mean absolute distance inside the boxes, a scalar."""
    distance_R = ((first_RHW - second_RHW).abs() * inside_RHW).sum(dim=(1, 2))
    area_R = inside_RHW.sum(dim=(1, 2))
    if average == "samples":
        return distance_R.sum() / area_R.sum().clamp(min=1.0)
    return (distance_R / area_R.clamp(min=1.0)).sum() / max(1, len(distance_R))


def _compared(
    probability_RHW: Tensor, masks: PredictedMasks, guidance: Guidance, supervision: BoxSupervision
) -> dict[str, Tensor]:
    """Compute the losses of the peers: pairwise, level set and local consistency."""
    losses, inside_RHW = {}, masks.inside_RHW
    if guidance.similarity_BKHW is not None:
        losses["pairwise"] = supervision.pairwise_weight * pairwise_loss(
            masks.logit_RHW,
            guidance.similarity_BKHW[masks.image_R],
            inside_RHW,
            threshold=supervision.pairwise_threshold,
            dilation=supervision.pairwise_dilation,
        )
    if supervision.level_set_weight:
        colour = level_set_loss(probability_RHW, guidance.image_BCHW[masks.image_R], inside_RHW)
        refined_R1HW = _refined(probability_RHW, masks.image_R, guidance.trees)
        feature = level_set_loss(probability_RHW, refined_R1HW, inside_RHW)
        losses["level_set"] = supervision.level_set_weight * (colour + 100.0 * feature)
    if supervision.consistency_weight:
        losses["consistency"] = supervision.consistency_weight * consistency_loss(
            probability_RHW, guidance.image_BCHW[masks.image_R], inside_RHW
        )
    return losses


def _refined(probability_RHW: Tensor, image_R: Tensor, trees: Structure | None) -> Tensor:
    """Filter the masks along the trees of their images: the field that the level set calls features."""
    if trees is None or not len(probability_RHW):
        return probability_RHW[:, None].detach()
    size = tuple(probability_RHW.shape[1:])
    side = (trees.height, trees.width)
    small_RHW = probability_RHW if side == size else _resize(probability_RHW, side)
    refined_RHW = TreeFilter(sigma=0.1)(small_RHW[:, None], trees, image_R=image_R)[:, 0]
    return (refined_RHW if side == size else _resize(refined_RHW, size))[:, None]
