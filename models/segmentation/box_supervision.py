"""Everything that boxes say about masks. The losses know no head: a head hands over logits, images and boxes.

Papers: Tian et al., "BoxInst", https://arxiv.org/abs/2012.02310 (projection, pairwise); Li et al.,
"Box2Mask", https://arxiv.org/abs/2212.01579 (level set); Li et al., "Label-efficient Segmentation via
Affinity Propagation" (APro), https://arxiv.org/abs/2310.10533 (global and local propagation).
Differences: one tree and one window affinity an image serve all its regions (the release of APro builds a
tree for each positive cell of its SOLOv2 head).

Shape suffixes:
    B = images   R = regions   G = regions of one image   C = channels   H, W = size of the masks
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from models.affinity.cascade import AffinityCascade, GlobalCascade
from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.affinity.spanning_tree import Structure, minimum_spanning_tree
from models.affinity.tree_filter import TreeFilter
from models.segmentation.affinity_loss import stretch_labels
from models.segmentation.level_set_loss import consistency_loss, level_set_loss
from models.segmentation.pairwise_loss import colour_similarity, pairwise_loss
from models.segmentation.projection_loss import projection_loss

Average = Literal["regions", "samples"]


class PredictedMasks(NamedTuple):
    """What any head hands over: masks of one size, and which box each answers for."""

    logit_RHW: Tensor
    image_R: Tensor
    """Place of the image in the batch, int64."""
    inside_RHW: Tensor
    """Share of each sample that lies in the box, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSupervision:
    """Which losses, how heavy, and the bandwidths. A weight of 0 switches a loss off and costs nothing."""

    projection_weight: float = 3.0
    global_weight: float = 2.0
    local_weight: float = 1.0
    pairwise_weight: float = 0.0
    level_set_weight: float = 0.0
    """Of the colour term; the feature term has 100 times this, as the release of Box2Mask has it."""
    consistency_weight: float = 0.0
    zeta_image: float = 0.01
    zeta_label: float = 0.07
    zeta_local: float = 0.15
    local_kernel: int = 3
    local_iterations: int = 20
    pairwise_threshold: float = 0.3
    pairwise_dilation: int = 2
    propagation_side: int | None = None
    """Side to which masks and image are squashed for the global branch (Mask2Former: 96). None: they stay."""
    stretch: bool = False
    """Whether masks enter propagation with the known zero outside their box, and labels are scaled so that
    their upper third inside the box is one. Without it every label is a mean of what was predicted, and masks
    fade (the release starts from ImageNet weights and takes many thousand steps)."""
    average: Average = "regions"
    """How distances inside boxes are averaged: "regions", each counts alike (SOLOv2 head); "samples", large
    boxes count more (Mask2Former head)."""
    warmup_steps: int = 0
    """Over which all but the projection rise from 0 to their weight."""

    def __post_init__(self) -> None:
        """Refuse values that nothing can be computed with.

        Raises:
            ValueError: With the name and the value.
        """
        weights = ("projection", "global", "local", "pairwise", "level_set", "consistency")
        for name in (f"{weight}_weight" for weight in weights):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and at least 0, got {getattr(self, name)}.")
        if self.propagation_side is not None and self.propagation_side < 1:
            raise ValueError(f"propagation_side must be at least 1, got {self.propagation_side}.")
        if self.average not in ("regions", "samples"):
            raise ValueError(f"average must be 'regions' or 'samples', got {self.average!r}.")
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must be at least 0, got {self.warmup_steps}.")

    def cascade(self) -> AffinityCascade:
        """Build the propagations."""
        return AffinityCascade(
            far=GlobalCascade(
                image_pass=GlobalPropagation(zeta=self.zeta_image),
                label_pass=GlobalPropagation(zeta=self.zeta_label),
            ),
            near=LocalPropagation(
                kernel_size=self.local_kernel, zeta=self.zeta_local, iterations=self.local_iterations
            ),
        )


def cover(boxes_R4: Tensor, height: int, width: int, *, stride: float) -> Tensor:
    """Return the share of each sample of a mask that lies in a box.

    Args:
        boxes_R4: Corners ``(left, top, right, bottom)`` in pixels of the input.
        height: Of the mask, in samples.
        width: Of the mask, in samples.
        stride: Pixels from one sample to the next.

    Returns:
        Values in [0, 1], shape (R, height, width).
    """
    left_R1, top_R1, right_R1, bottom_R1 = (boxes_R4 / stride)[:, :, None].unbind(dim=1)

    def along(low_R1: Tensor, high_R1: Tensor, count: int) -> Tensor:
        start_S = torch.arange(count, device=boxes_R4.device, dtype=boxes_R4.dtype)
        return (torch.minimum(high_R1, start_S + 1) - torch.maximum(low_R1, start_S)).clamp(0.0, 1.0)

    return along(top_R1, bottom_R1, height)[:, :, None] * along(left_R1, right_R1, width)[:, None, :]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Guidance:
    """What the images say about masks of one size: made once, used by every layer and head."""

    image_BCHW: Tensor
    """Colours at the size of the masks."""
    trees: Structure | None
    """Of the images at the size of the global branch; None where nothing asks for them."""
    similarity_BKHW: Tensor | None
    """Of neighbours, for the pairwise loss; None where it is off."""


@torch.no_grad()
def guide(
    image_BCHW: Tensor, size: tuple[int, int], supervision: BoxSupervision, *, valid_BHW: Tensor | None = None
) -> Guidance:
    """Prepare the images for masks of one size.

    Args:
        image_BCHW: Colours in [0, 1] of any size.
        size: Height and width of the masks.
        supervision: Says what is needed.
        valid_BHW: For the pairwise loss: 1 where the image is, 0 where it was padded, sized as the masks.

    Returns:
        Colours, one tree an image and similarities.
    """
    resized_BCHW = functional.interpolate(image_BCHW, size=size, mode="bilinear", antialias=True)
    trees, similarity = None, None
    if supervision.global_weight or supervision.level_set_weight:
        side = supervision.propagation_side
        squashed = resized_BCHW
        if side is not None:
            squashed = functional.interpolate(resized_BCHW, size=(side, side), mode="bilinear")
        trees = minimum_spanning_tree(squashed)
    if supervision.pairwise_weight:
        similarity = colour_similarity(resized_BCHW, valid_BHW, dilation=supervision.pairwise_dilation)
    return Guidance(image_BCHW=resized_BCHW, trees=trees, similarity_BKHW=similarity)


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
    losses = {}
    if supervision.projection_weight:
        inside = masks.inside_RHW
        shadow = projection_loss(probability_RHW, inside.amax(dim=1), inside.amax(dim=2))
        losses["projection"] = supervision.projection_weight * shadow
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


def _propagated(
    probability_RHW: Tensor, masks: PredictedMasks, guidance: Guidance, supervision: BoxSupervision
) -> dict[str, Tensor]:
    """Compare the masks with what propagation makes of them."""
    cascade, losses = supervision.cascade(), {}
    if supervision.global_weight:
        small_RHW, far_RHW = _far(probability_RHW, masks, guidance, cascade.far, supervision)
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


def _far(
    probability_RHW: Tensor,
    masks: PredictedMasks,
    guidance: Guidance,
    cascade: GlobalCascade,
    supervision: BoxSupervision,
) -> tuple[Tensor, Tensor]:
    """Return the masks and what global propagation makes of them, both through its size and back."""
    trees = guidance.trees
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
