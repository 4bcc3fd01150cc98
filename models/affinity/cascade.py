"""Global and local propagation together: from soft masks to soft pseudo labels.

Paper: Li et al., "Label-efficient Segmentation via Affinity Propagation" (APro),
https://arxiv.org/abs/2310.10533.
Differences: none in the order of the steps. Both branches start from the prediction; the global one runs
twice over the tree of the image, the second time with the weights of its own first result.

Shape suffixes:
    B = images   R = regions   C = channels   H = height   W = width
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from models.affinity.global_ import GlobalPropagation
from models.affinity.local import LocalPropagation
from models.affinity.spanning_tree import SpanningTree, minimum_spanning_tree, structure_of


class PseudoLabels(NamedTuple):
    """What the prediction should move to. Both are detached."""

    far_RHW: Tensor
    """By global propagation."""
    near_RHW: Tensor
    """By local propagation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AffinityCascade:
    """The two propagations of one training step."""

    image_pass: GlobalPropagation
    """First pass over the tree, weighted by the guidance."""
    label_pass: GlobalPropagation
    """Second pass over the same tree, weighted by the result of the first."""
    local: LocalPropagation
    """The window branch."""

    def __call__(
        self, guidance_BCHW: Tensor, value_RHW: Tensor, inside_RHW: Tensor, image_R: Tensor
    ) -> PseudoLabels:
        """Make the pseudo labels of every region; each image has one tree and one window affinity.

        Args:
            guidance_BCHW: Images with values in [0, 1].
            value_RHW: Predicted mask probability of each region.
            inside_RHW: Share of each pixel that lies in the region's box, in [0, 1].
            image_R: Which image each region belongs to, int64 in [0, B).

        Returns:
            Two detached fields per region, in [0, 1] where ``value_RHW`` is.
        """
        with torch.no_grad():
            tree = minimum_spanning_tree(guidance_BCHW)
            first_RHW = self.image_pass(structure_of(tree, guidance_BCHW), value_RHW, image_R)
            own_tree = SpanningTree(
                edge_BE2=tree.edge_BE2[image_R.cpu()], height=tree.height, width=tree.width
            )
            own_R = torch.arange(len(value_RHW))
            far_RHW = self.label_pass(structure_of(own_tree, first_RHW[:, None]), first_RHW, own_R)
            affinity_BHWK = self.local.affinity(guidance_BCHW)
            return PseudoLabels(far_RHW, self.local.propagate(affinity_BHWK, value_RHW, inside_RHW, image_R))
