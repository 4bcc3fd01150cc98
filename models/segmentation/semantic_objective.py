"""What teaches a network the class of every pixel where few pixels are labelled.

Papers: Liang et al., "Tree Energy Loss", https://arxiv.org/abs/2203.10739; Li et al., "Label-efficient
Segmentation via Affinity Propagation" (APro), https://arxiv.org/abs/2310.10533.
Differences: labels shrink to the size of propagation cell by cell, so that no point is lost between samples
(the release of the tree energy loss takes the nearest pixel); "all" treats every pixel as unlabelled: the
reconstruction of how APro uses labels that CLIP made.

Shape suffixes:
    B = images   C = channels   K = classes   H, W = size of the images
    S, T = size of propagation   F = channels of the embedding
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.affinity.cascade import GlobalCascade, SecondGuidance
from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.affinity.tree_filter import TreeFilter
from models.blocks.accumulation import Count
from models.blocks.loop import Losses
from models.segmentation.deeplab import SemanticOutput
from models.segmentation.semantic_losses import (
    PADDING,
    UNLABELLED,
    SemanticAffinityLoss,
    TreeEnergyLoss,
    partial_cross_entropy,
)


class SemanticBatch(NamedTuple):
    """Images and what is known of their pixels."""

    image_BCHW: Tensor
    """Values in [0, 1], float32."""
    label_BHW: Tensor
    """Classes, ``UNLABELLED`` or ``PADDING``, int64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticSupervision:
    """Which losses, how heavy, and the bandwidths. A loss with a weight of 0 is off."""

    label_weight: float = 1.0
    """Cross-entropy of the labelled pixels."""
    tree_energy_weight: float = 0.0
    tree_energy_sigma: float = 0.02
    """For colours in [0, 1]."""
    feature_sigma: float = 1.0
    """Of the second tree, over the embedding of the network."""
    global_weight: float = 0.0
    local_weight: float = 0.0
    zeta_image: float = 0.001
    """For colours in [0, 1]."""
    zeta_label: float = 0.05
    guidance: SecondGuidance = "prediction"
    """What weighs the second pass; "features" is the embedding, which learns from the tree energy alone."""
    zeta_local: float = 0.15
    local_kernel: int = 5
    local_iterations: int = 20
    clamp_labels: bool = True
    """Whether labelled pixels enter the propagation as what they are, not as what was predicted."""
    prediction_trust: float = 1.0
    """How much a predicted pixel weighs beside a clamped one, in (0, 1]."""
    unlabelled: Literal["rest", "all"] = "rest"
    """Which pixels propagation teaches: those without a label, or all, where labels are guesses."""
    propagation_stride: Literal[1, 2, 4] = 4
    """Pixels of the image for one of propagation, along each axis; 4 is the size of the logits."""
    warmup_steps: int = 0
    """Over which all but the cross-entropy rise from 0 to their weight."""

    def __post_init__(self) -> None:
        """Refuse values that nothing can be computed with.

        Raises:
            ValueError: With the name and the value.
        """
        for name in ("label_weight", "tree_energy_weight", "global_weight", "local_weight"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be finite and at least 0, got {getattr(self, name)}.")
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps must be at least 0, got {self.warmup_steps}.")
        if self.guidance == "features" and not (self.global_weight and self.tree_energy_weight):
            raise ValueError(
                "guidance 'features' needs global_weight and tree_energy_weight above 0: the embedding "
                f"learns from the tree energy, got {self.global_weight} and {self.tree_energy_weight}."
            )
        self.affinity()
        self.tree_energy()

    @property
    def needs_embedding(self) -> bool:
        """Say whether the network must have an embedding."""
        return self.tree_energy_weight > 0.0

    def affinity(self) -> SemanticAffinityLoss:
        """Build the propagations."""
        near = LocalPropagation(
            kernel_size=self.local_kernel, zeta=self.zeta_local, iterations=self.local_iterations
        )
        return SemanticAffinityLoss(
            far=GlobalCascade(
                image_pass=GlobalPropagation(zeta=self.zeta_image),
                label_pass=GlobalPropagation(zeta=self.zeta_label),
                guidance2=self.guidance,
            ),
            near=near if self.local_weight else None,
            clamp_labels=self.clamp_labels and self.unlabelled == "rest",
            prediction_trust=self.prediction_trust,
        )

    def tree_energy(self) -> TreeEnergyLoss:
        """Build the tree filters; gradients reach the embedding through the second one."""
        return TreeEnergyLoss(
            colour_filter=TreeFilter(sigma=self.tree_energy_sigma, detach=False),
            feature_filter=TreeFilter(sigma=self.feature_sigma, detach=False),
        )


def semantic_losses(
    network: nn.Module, batch: SemanticBatch, supervision: SemanticSupervision, *, step: int
) -> Losses:
    """Compute every loss of one batch, already weighted: their sum is the objective.

    Args:
        network: Gives a ``SemanticOutput``.
        batch: Images and labels.
        supervision: Which losses.
        step: Number of steps already taken; decides the warm-up.

    Returns:
        Scalars by name: ``labels``, ``tree_energy``, ``global``, ``local``, as far as they are on.
    """
    output: SemanticOutput = network(batch.image_BCHW)
    size = batch.label_BHW.shape[1:]
    losses: Losses = {}
    if supervision.label_weight:
        logit_BKHW = functional.interpolate(output.logit_BKHW, size=size, mode="bilinear")
        losses["labels"] = supervision.label_weight * partial_cross_entropy(logit_BKHW, batch.label_BHW)
    rise = min(1.0, (step + 1) / max(1, supervision.warmup_steps))
    weights = {name: rise * weight for name, weight in _propagated(supervision).items()}
    if not weights:
        return losses
    found = _propagation_losses(output, batch, supervision)
    return losses | {name: weight * found[name] for name, weight in weights.items()}


def _propagation_losses(
    output: SemanticOutput, batch: SemanticBatch, supervision: SemanticSupervision
) -> Losses:
    """Compute the losses of unlabelled pixels that are on, without their weights."""
    names, found = _propagated(supervision), Losses()
    label_BST = propagated_labels(batch.label_BHW, supervision)
    size = list(label_BST.shape[1:])
    image_BCST = functional.interpolate(batch.image_BCHW, size=size, mode="bilinear", antialias=True)
    logit_BKST = functional.interpolate(output.logit_BKHW, size=size, mode="bilinear")
    embedding_BFST = output.embedding_BFHW
    if embedding_BFST is not None:
        embedding_BFST = functional.interpolate(embedding_BFST, size=size, mode="bilinear")
    if "tree_energy" in names:
        if embedding_BFST is None:
            raise ValueError("the tree energy loss needs a network with an embedding.")
        found["tree_energy"] = supervision.tree_energy()(logit_BKST, label_BST, image_BCST, embedding_BFST)
    if "global" in names or "local" in names:
        feature = embedding_BFST if supervision.guidance == "features" else None
        found["global"], found["local"] = supervision.affinity()(logit_BKST, label_BST, image_BCST, feature)
    return found


@torch.no_grad()
def semantic_counts(batch: SemanticBatch, supervision: SemanticSupervision) -> dict[str, Count]:
    """Say of each loss of ``semantic_losses`` what it is a mean of: labelled or unlabelled pixels."""
    counts = {}
    if supervision.label_weight:
        counts["labels"] = Count(float((batch.label_BHW >= 0).sum()))
    names = _propagated(supervision)
    if names:
        label_BST = propagated_labels(batch.label_BHW, supervision)
        counts |= dict.fromkeys(names, Count(float((label_BST == UNLABELLED).sum())))
    return counts


def shrink_labels(label_BHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Give each cell of a coarser grid what is known of its pixels.

    Args:
        label_BHW: Classes, ``UNLABELLED`` or ``PADDING``, int64.
        size: Rows and columns of the grid, at most those of the labels.

    Returns:
        The class of a cell's labelled pixels where they agree; ``PADDING`` where all of it is padding; else
        ``UNLABELLED``. Shape (B, *size), int64.
    """
    label_B1HW = label_BHW[:, None].float()
    highest_B1ST = functional.adaptive_max_pool2d(label_B1HW, size)
    nowhere = float(torch.iinfo(torch.int32).min)
    lowest_B1ST = -functional.adaptive_max_pool2d((-label_B1HW).masked_fill(label_B1HW < 0, nowhere), size)
    agreed_B1ST = (highest_B1ST >= 0) & (highest_B1ST == lowest_B1ST)
    padded_B1ST = highest_B1ST == PADDING
    small_B1ST = torch.full_like(highest_B1ST, UNLABELLED)
    small_B1ST = small_B1ST.masked_fill(padded_B1ST, PADDING)
    return torch.where(agreed_B1ST, highest_B1ST, small_B1ST)[:, 0].long()


def propagated_labels(label_BHW: Tensor, supervision: SemanticSupervision) -> Tensor:
    """Return the labels as propagation sees them, shape (B, S, T): none where it teaches all pixels."""
    stride = supervision.propagation_stride
    height, width = label_BHW.shape[1:]
    label_BST = shrink_labels(label_BHW, (-(-height // stride), -(-width // stride)))
    return (
        label_BST if supervision.unlabelled == "rest" else label_BST.masked_fill(label_BST >= 0, UNLABELLED)
    )


def _propagated(supervision: SemanticSupervision) -> dict[str, float]:
    """Name the losses of unlabelled pixels that are on, with their weights."""
    weights = {
        "tree_energy": supervision.tree_energy_weight,
        "global": supervision.global_weight,
        "local": supervision.local_weight,
    }
    return {name: weight for name, weight in weights.items() if weight}
