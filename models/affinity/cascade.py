"""Global and local propagation together: from soft masks to soft pseudo labels.

Paper: Li et al., "Label-efficient Segmentation via Affinity Propagation" (APro),
https://arxiv.org/abs/2310.10533.
Differences: none in the order of the steps. Both branches start from the prediction; the global one runs
twice over the tree of the image, the second time with the weights of another field: its own first result (as
both released heads do), the prediction (the authors' advice for semantic segmentation) or features.

Shape suffixes:
    B = images   R = regions   C = channels   H = height   W = width
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.affinity.spanning_tree import Structure, edge_weights, minimum_spanning_tree

SecondGuidance = Literal["self", "prediction", "features"]


class PseudoLabels(NamedTuple):
    """What the prediction should move to. Both are detached."""

    far_RCHW: Tensor
    """By global propagation."""
    near_RCHW: Tensor
    """By local propagation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalCascade:
    """Two passes over the trees of the images; the second weighs their edges anew."""

    image_pass: GlobalPropagation
    """First pass, weighted by the image."""
    label_pass: GlobalPropagation
    """Second pass over the same trees."""
    guidance2: SecondGuidance = "self"
    """What weighs the second pass: "self", each channel of the first result by itself; "prediction", all
    channels of the prediction together; "features", all channels of the features together."""

    def __post_init__(self) -> None:
        """Refuse an unknown guidance."""
        if self.guidance2 not in ("self", "prediction", "features"):
            raise ValueError(f"guidance2 must be 'self', 'prediction' or 'features', got {self.guidance2!r}.")

    def __call__(
        self,
        x_RCHW: Tensor,
        structure: Structure,
        *,
        image_R: Tensor | None = None,
        features_BCHW: Tensor | None = None,
    ) -> Tensor:
        """Propagate twice.

        Args:
            x_RCHW: Predicted probabilities.
            structure: Trees of the images.
            image_R: Which image each region belongs to. None: region r belongs to image r.
            features_BCHW: One feature map an image, for ``guidance2="features"``.

        Returns:
            The second result, shape and type of ``x_RCHW``.

        Raises:
            ValueError: If features are missing or were not asked for.
        """
        if (features_BCHW is None) == (self.guidance2 == "features"):
            raise ValueError(
                f"features_BCHW must be given with guidance2='features' and not else, "
                f"got guidance2={self.guidance2!r}."
            )
        first_RCHW = self.image_pass(x_RCHW, structure, image_R=image_R)
        if features_BCHW is not None:
            weight_B1E = edge_weights(features_BCHW, structure)
            again = structure.reweighted(weight_B1E[:, 0], torch.arange(len(structure)))
            return self.label_pass(first_RCHW, again, image_R=image_R)
        guide_RCHW = first_RCHW if self.guidance2 == "self" else x_RCHW
        regions, channels = guide_RCHW.shape[:2]
        if self.guidance2 == "self" and channels > 1:
            row = torch.arange(regions) if image_R is None else image_R
            weight = edge_weights(
                guide_RCHW.flatten(0, 1)[:, None], structure, row.repeat_interleave(channels)
            )
            weight = weight.reshape(regions, channels, -1)
        else:
            weight = edge_weights(guide_RCHW, structure, image_R)
        return self.label_pass(first_RCHW, structure, weight, image_R=image_R)


@dataclass(frozen=True, slots=True, kw_only=True)
class AffinityCascade:
    """The propagations of one training step."""

    far: GlobalCascade
    """The tree branch."""
    near: LocalPropagation
    """The window branch."""

    def __call__(
        self,
        x_RCHW: Tensor,
        guidance_BCHW: Tensor,
        inside_RCHW: Tensor | None = None,
        *,
        image_R: Tensor | None = None,
        structure: Structure | None = None,
    ) -> PseudoLabels:
        """Make the pseudo labels of every region; each image has one tree and one window affinity.

        Args:
            x_RCHW: Predicted probabilities of each region.
            guidance_BCHW: Images with values in [0, 1].
            inside_RCHW: Share of each pixel that lies in the region's box, in [0, 1], (R, 1 or C, H, W).
                None: ones.
            image_R: Which image each region belongs to, int64 in [0, B). None: region r belongs to image r.
            structure: Trees of the images, if they were kept.

        Returns:
            Two detached fields per region, in [0, 1] where ``x_RCHW`` is.
        """
        with torch.no_grad():
            trees = minimum_spanning_tree(guidance_BCHW) if structure is None else structure
            return PseudoLabels(
                self.far(x_RCHW, trees, image_R=image_R),
                self.near(x_RCHW, guidance_BCHW, inside_RCHW, image_R=image_R),
            )
