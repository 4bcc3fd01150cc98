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

    @property
    def needs_image(self) -> bool:
        """Whether any loss but the projection is on."""
        return any((self.global_weight, self.local_weight, self.pairwise_weight,
                    self.level_set_weight, self.consistency_weight))  # fmt: skip

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


def box_losses(
    masks: PredictedMasks,
    guidance_BCHW: Tensor,
    supervision: BoxSupervision,
    *,
    step: int,
    valid_BHW: Tensor | None = None,
) -> dict[str, Tensor]:
    """Compute every loss that is switched on, already weighted.

    Args:
        masks: R regions of B images.
        guidance_BCHW: Colours in [0, 1] of any size; resized to the masks.
        supervision: Weights and bandwidths.
        step: Number of steps already taken.
        valid_BHW: For the pairwise loss: 1 where the image is, 0 where it was padded, sized as the masks.

    Returns:
        Scalars by name. Without a region all are 0 and pass a gradient of 0 to the logits.

    Raises:
        ValueError: If shapes do not fit together or an image does not exist.
    """
    _check(masks, guidance_BCHW)
    probability_RHW = masks.logit_RHW.sigmoid()
    losses = {}
    if supervision.projection_weight:
        inside = masks.inside_RHW
        shadow = projection_loss(probability_RHW, inside.amax(dim=1), inside.amax(dim=2))
        losses["projection"] = supervision.projection_weight * shadow
    if supervision.needs_image:
        height, width = masks.logit_RHW.shape[1:]
        with torch.no_grad():
            guidance_BCHW = functional.interpolate(
                guidance_BCHW, size=(height, width), mode="bilinear", antialias=True
            )
        others = _propagated(probability_RHW, masks, guidance_BCHW, supervision)
        others |= _compared(probability_RHW, masks, guidance_BCHW, supervision, valid_BHW)
        rise = min(1.0, (step + 1) / max(1, supervision.warmup_steps))
        losses |= {name: rise * value for name, value in others.items()}
    nothing = masks.logit_RHW.sum() * 0.0
    return {name: value + nothing for name, value in losses.items()}


def _check(masks: PredictedMasks, guidance_BCHW: Tensor) -> None:
    if masks.inside_RHW.shape != masks.logit_RHW.shape or masks.image_R.shape != masks.logit_RHW.shape[:1]:
        raise ValueError(
            f"masks of shape {tuple(masks.logit_RHW.shape)} need boxes of that shape and one image each, "
            f"got {tuple(masks.inside_RHW.shape)} and {tuple(masks.image_R.shape)}."
        )
    if len(masks.image_R) and int(masks.image_R.max()) >= len(guidance_BCHW):
        raise ValueError(f"a mask is of image {int(masks.image_R.max())}, there are {len(guidance_BCHW)}.")


def _propagated(
    probability_RHW: Tensor, masks: PredictedMasks, guidance_BCHW: Tensor, supervision: BoxSupervision
) -> dict[str, Tensor]:
    """Compare the masks with what propagation makes of them."""
    if not (supervision.global_weight or supervision.local_weight) or not len(probability_RHW):
        return {}
    cascade, losses = supervision.cascade(), {}
    if supervision.global_weight:
        losses["global"] = supervision.global_weight * _far(
            probability_RHW, masks, guidance_BCHW, cascade.far, supervision
        )
    if supervision.local_weight:
        with torch.no_grad():
            near_RHW = cascade.near(
                probability_RHW[:, None], guidance_BCHW, masks.inside_RHW[:, None], image_R=masks.image_R
            )[:, 0]
        distance = distance_inside(probability_RHW, near_RHW, masks.inside_RHW, supervision.average)
        losses["local"] = supervision.local_weight * distance
    return losses


def _far(
    probability_RHW: Tensor,
    masks: PredictedMasks,
    guidance_BCHW: Tensor,
    cascade: GlobalCascade,
    supervision: BoxSupervision,
) -> Tensor:
    size, side = probability_RHW.shape[1:], supervision.propagation_side
    small_RHW = probability_RHW
    if side is not None:
        small_RHW = _resize(probability_RHW, (side, side))
        guidance_BCHW = functional.interpolate(guidance_BCHW, size=(side, side), mode="bilinear")
    with torch.no_grad():
        trees = minimum_spanning_tree(guidance_BCHW)
        far_RHW = cascade(small_RHW[:, None], trees, image_R=masks.image_R)[:, 0]
    if side is not None:  # the loss is taken at the size of the masks, through down and up again
        far_RHW, small_RHW = _resize(far_RHW, size), _resize(small_RHW, size)
    return distance_inside(small_RHW, far_RHW, masks.inside_RHW, supervision.average)


def _resize(field_RHW: Tensor, size: tuple[int, ...]) -> Tensor:
    return functional.interpolate(field_RHW[:, None], size=tuple(size), mode="bilinear")[:, 0]


def distance_inside(first_RHW: Tensor, second_RHW: Tensor, inside_RHW: Tensor, average: Average) -> Tensor:
    """Return the mean absolute distance inside the boxes, a scalar."""
    distance_R = ((first_RHW - second_RHW).abs() * inside_RHW).sum(dim=(1, 2))
    area_R = inside_RHW.sum(dim=(1, 2))
    if average == "samples":
        return distance_R.sum() / area_R.sum().clamp(min=1.0)
    return (distance_R / area_R.clamp(min=1.0)).sum() / max(1, len(distance_R))


def _compared(
    probability_RHW: Tensor,
    masks: PredictedMasks,
    guidance_BCHW: Tensor,
    supervision: BoxSupervision,
    valid_BHW: Tensor | None,
) -> dict[str, Tensor]:
    """Compute the losses of the peers: pairwise, level set and local consistency."""
    losses = {}
    if supervision.pairwise_weight:
        with torch.no_grad():
            like_BKHW = colour_similarity(guidance_BCHW, valid_BHW, dilation=supervision.pairwise_dilation)
        losses["pairwise"] = supervision.pairwise_weight * pairwise_loss(
            masks.logit_RHW, like_BKHW[masks.image_R], masks.inside_RHW,
            threshold=supervision.pairwise_threshold, dilation=supervision.pairwise_dilation,
        )  # fmt: skip
    image_RCHW = guidance_BCHW[masks.image_R]
    if supervision.level_set_weight:
        refined = _refined(probability_RHW, masks.image_R, minimum_spanning_tree(guidance_BCHW))
        colour = level_set_loss(probability_RHW, image_RCHW, masks.inside_RHW)
        feature = level_set_loss(probability_RHW, refined, masks.inside_RHW)
        losses["level_set"] = supervision.level_set_weight * (colour + 100.0 * feature)
    if supervision.consistency_weight:
        losses["consistency"] = supervision.consistency_weight * consistency_loss(
            probability_RHW, image_RCHW, masks.inside_RHW
        )
    return losses


def _refined(probability_RHW: Tensor, image_R: Tensor, trees: Structure) -> Tensor:
    """Filter the masks along the trees of their images: the field that the level set calls features."""
    if not len(probability_RHW):
        return probability_RHW[:, None]
    return TreeFilter(sigma=0.1)(probability_RHW[:, None], trees, image_R=image_R)
