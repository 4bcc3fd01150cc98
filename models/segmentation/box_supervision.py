"""Which losses teach masks from boxes, how heavy, and what the images say once for all of them.

Papers: Tian et al., "BoxInst", https://arxiv.org/abs/2012.02310 (projection, pairwise); Li et al.,
"Box2Mask", https://arxiv.org/abs/2212.01579 (level set); Li et al., "Label-efficient Segmentation via
Affinity Propagation" (APro), https://arxiv.org/abs/2310.10533 (global and local propagation).
Differences: one tree and one window affinity an image serve all its regions (the release of APro builds a
tree for each positive cell of its SOLOv2 head).

Shape suffixes:
    B = images   R = regions   G = regions of one image   C = channels   H, W = size of the masks
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from models.affinity.cascade import AffinityCascade, GlobalCascade
from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.affinity.spanning_tree import Structure, minimum_spanning_tree
from models.segmentation.pairwise_loss import colour_similarity

Average = Literal["regions", "samples"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxSupervision:
    """Which losses, how heavy, and the bandwidths. A weight of 0 switches a loss off and costs nothing."""

    projection_weight: float = 3.0
    outside_weight: float = 0.0
    """Of the mask outside its box, as a share of the box, which counts as a part of the projection loss. That
    one lowers a single sample of each row and column in a step, and propagation is judged inside the box: a
    short training leaves masks that are right in their boxes and cover other regions too. 0: as published."""
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
        weights = ("projection", "outside", "global", "local", "pairwise", "level_set", "consistency")
        for name in (f"{weight}_weight" for weight in weights):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and at least 0, got {getattr(self, name)}.")
        if self.outside_weight and not self.projection_weight:
            raise ValueError(
                f"outside_weight is a part of the projection loss and needs projection_weight, "
                f"got {self.outside_weight} and {self.projection_weight}."
            )
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
