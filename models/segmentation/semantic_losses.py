"""Losses for semantic segmentation from points, scribbles and blocks: few labelled pixels, many others.

Papers: Liang et al., "Tree Energy Loss", https://arxiv.org/abs/2203.10739; Li et al., "Label-efficient
Segmentation via Affinity Propagation" (APro), https://arxiv.org/abs/2310.10533, whose semantic branch was not
released: here the propagations are applied to every class, with the bandwidths that the authors advise.
Differences: sums of the filters in float64; predictions may weigh less than labels (``prediction_trust``).

Labels are class indices, ``UNLABELLED`` or ``PADDING``.

Shape suffixes:
    B = images   C = classes   F = guidance or feature channels   H = height   W = width
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.affinity.cascade import GlobalCascade
from models.affinity.local import LocalPropagation
from models.affinity.spanning_tree import Structure, edge_weights, minimum_spanning_tree
from models.affinity.tree_filter import TreeFilter

UNLABELLED = -1
PADDING = -2


def partial_cross_entropy(logit_BCHW: Tensor, label_BHW: Tensor) -> Tensor:
    """Average the cross-entropy over the labelled pixels of the batch.

    Args:
        logit_BCHW: Class logits.
        label_BHW: Classes, int64; negative where there is none.

    Returns:
        A scalar; 0 with a gradient of 0 where no pixel is labelled.

    Raises:
        ValueError: If the shapes differ or a label is no class.
    """
    check_labels(logit_BCHW, label_BHW)
    known_BHW = label_BHW >= 0
    target_BHW = label_BHW.masked_fill(~known_BHW, UNLABELLED)
    total = functional.cross_entropy(logit_BCHW, target_BHW, ignore_index=UNLABELLED, reduction="sum")
    return total / known_BHW.sum().clamp(min=1)


def check_labels(logit_BCHW: Tensor, label_BHW: Tensor) -> None:
    """Refuse labels that do not belong to the logits.

    Raises:
        ValueError: With the shape or the label at fault.
    """
    expected = (logit_BCHW.shape[0], *logit_BCHW.shape[2:])
    if tuple(label_BHW.shape) != expected:
        raise ValueError(f"labels must have shape {expected}, got {tuple(label_BHW.shape)}.")
    if label_BHW.numel() == 0:
        return
    low, high = int(label_BHW.min()), int(label_BHW.max())
    if low < PADDING or high >= logit_BCHW.shape[1]:
        raise ValueError(
            f"labels must be classes from 0 to {logit_BCHW.shape[1] - 1}, {UNLABELLED} (unlabelled) or "
            f"{PADDING} (padding), got values from {low} to {high}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEnergyLoss:
    """Pull unlabelled pixels to what two tree filters make of the prediction."""

    colour_filter: TreeFilter
    """Over the tree of the image; release: sigma 0.02 on images in [0, 1] (Cityscapes, ADE: 0.002)."""
    feature_filter: TreeFilter
    """Over a tree of features; release: sigma 1. With ``detach=False`` gradients reach them."""

    def __call__(
        self, logit_BCHW: Tensor, label_BHW: Tensor, image_BFHW: Tensor, feature_BFHW: Tensor
    ) -> Tensor:
        """Return the mean absolute distance over the unlabelled pixels, summed over classes; a scalar.

        Args:
            logit_BCHW: Class logits.
            label_BHW: Classes, ``UNLABELLED`` or ``PADDING``.
            image_BFHW: Colours in [0, 1], at the size of the logits.
            feature_BFHW: An embedding, at the size of the logits.
        """
        check_labels(logit_BCHW, label_BHW)
        probability_BCHW = logit_BCHW.softmax(dim=1)
        colour_trees = minimum_spanning_tree(image_BFHW)
        feature_trees = minimum_spanning_tree(feature_BFHW)
        smooth_BCHW = self.colour_filter(probability_BCHW, colour_trees)
        smooth_BCHW = self.feature_filter(smooth_BCHW, feature_trees)
        return unlabelled_distance(probability_BCHW, smooth_BCHW, label_BHW)


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticAffinityLoss:
    """Pull unlabelled pixels to soft labels that were spread along like colours, far and near."""

    far: GlobalCascade
    """Release notes: zeta about 0.001 for colours in [0, 1] and 0.05 for the second pass."""
    near: LocalPropagation | None
    """None: no window branch."""
    clamp_labels: bool = True
    """Whether labelled pixels enter the propagation as what they are, not as what was predicted."""
    prediction_trust: float = 1.0
    """How much a predicted pixel weighs beside a clamped one in every average, in (0, 1]; 1, as the authors
    advise: both alike, so that a thin scribble hardly moves a wide region that is predicted wrongly."""

    def __post_init__(self) -> None:
        """Refuse a trust without a meaning.

        Raises:
            ValueError: If it is not in (0, 1], or below 1 without clamped labels.
        """
        if not 0.0 < self.prediction_trust <= 1.0:
            raise ValueError(f"prediction_trust must be in (0, 1], got {self.prediction_trust}.")
        if self.prediction_trust < 1.0 and not self.clamp_labels:
            raise ValueError(
                f"prediction_trust weighs predictions beside clamped labels: it must be 1 without them, "
                f"got {self.prediction_trust}."
            )

    def __call__(
        self,
        logit_BCHW: Tensor,
        label_BHW: Tensor,
        image_BFHW: Tensor,
        feature_BFHW: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the losses of both branches, scalars: mean absolute distance over the unlabelled pixels.

        Args:
            logit_BCHW: Class logits.
            label_BHW: Classes, ``UNLABELLED`` or ``PADDING``.
            image_BFHW: Colours in [0, 1], at the size of the logits.
            feature_BFHW: For a second pass that is guided by features; no gradient reaches them.
        """
        check_labels(logit_BCHW, label_BHW)
        probability_BCHW = logit_BCHW.softmax(dim=1)
        with torch.no_grad():
            start_BCHW, weight_B1HW = self._start(probability_BCHW.detach(), label_BHW)
            trees = minimum_spanning_tree(image_BFHW)
            far_BCHW = self._spread_far(start_BCHW, weight_B1HW, trees, feature_BFHW)
        far = unlabelled_distance(probability_BCHW, far_BCHW, label_BHW)
        if self.near is None:
            return far, torch.zeros_like(far)
        with torch.no_grad():
            inside_B1HW = (label_BHW != PADDING)[:, None].to(image_BFHW)
            near_BCHW = self._spread_near(start_BCHW, weight_B1HW, image_BFHW, inside_B1HW)
        return far, unlabelled_distance(probability_BCHW, near_BCHW, label_BHW)

    def _start(self, probability_BCHW: Tensor, label_BHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what is propagated and how much each pixel weighs; None: all alike."""
        if not self.clamp_labels:
            return probability_BCHW, None
        known_B1HW = (label_BHW >= 0)[:, None]
        one_hot = functional.one_hot(label_BHW.clamp(min=0), probability_BCHW.shape[1]).movedim(-1, 1)
        start_BCHW = torch.where(known_B1HW, one_hot.to(probability_BCHW), probability_BCHW)
        if self.prediction_trust == 1.0:
            return start_BCHW, None
        weight_B1HW = torch.where(known_B1HW, 1.0, self.prediction_trust).to(start_BCHW)
        return start_BCHW, weight_B1HW

    def _spread_far(
        self,
        start_BCHW: Tensor,
        weight_B1HW: Tensor | None,
        trees: Structure,
        feature_BFHW: Tensor | None,
    ) -> Tensor:
        """Propagate along the trees; pixels weigh in the first pass, the second is as ever."""
        if weight_B1HW is None:
            return self.far(start_BCHW, trees, features_BCHW=feature_BFHW)
        image_pass = self.far.image_pass
        share_BCHW = image_pass(start_BCHW * weight_B1HW, trees) / image_pass(weight_B1HW, trees)
        match self.far.guidance2:
            case "self":
                parts = [edge_weights(part_B1HW, trees) for part_B1HW in torch.split(share_BCHW, 1, dim=1)]
                edge_BKE = torch.cat(parts, dim=1)
            case "prediction":
                edge_BKE = edge_weights(start_BCHW, trees)
            case "features":
                edge_BKE = edge_weights(_given(feature_BFHW), trees)
        return self.far.label_pass(share_BCHW, trees, edge_BKE)

    def _spread_near(
        self,
        start_BCHW: Tensor,
        weight_B1HW: Tensor | None,
        image_BFHW: Tensor,
        inside_B1HW: Tensor,
    ) -> Tensor:
        """Propagate inside windows. Without weights, padding pulls to 0; with them, it weighs nothing."""
        if self.near is None:
            return start_BCHW
        if weight_B1HW is None:
            return self.near(start_BCHW, image_BFHW, inside_B1HW)
        total_B1HW = self.near(weight_B1HW, image_BFHW, inside_B1HW)
        spread_BCHW = self.near(start_BCHW * weight_B1HW, image_BFHW, inside_B1HW)
        return spread_BCHW / total_B1HW.clamp(min=torch.finfo(total_B1HW.dtype).tiny)


def _given(feature_BFHW: Tensor | None) -> Tensor:
    """Refuse to go on without features. Raises ValueError."""
    if feature_BFHW is None:
        raise ValueError("feature_BFHW must be given with guidance2='features'.")
    return feature_BFHW


def unlabelled_distance(probability_BCHW: Tensor, target_BCHW: Tensor, label_BHW: Tensor) -> Tensor:
    """Average |p - y|, summed over classes, over the unlabelled pixels; 0 where there is none."""
    open_BHW = (label_BHW == UNLABELLED).to(probability_BCHW)
    distance_BHW = (probability_BCHW - target_BCHW).abs().sum(dim=1)
    return (distance_BHW * open_BHW).sum() / open_BHW.sum().clamp(min=1.0)
