"""Global propagation: every pixel averages all others, weighted by the worst step of the tree path between.

Paper: Li et al., "Label-efficient Segmentation via Affinity Propagation" (APro),
https://arxiv.org/abs/2310.10533, global affinity.
Differences: sums are accumulated in float64 (the release: in float32, which errs by up to 1.5e-3 on natural
images).

    y_i = sum_j a_ij p_j / sum_j a_ij,   a_ij = exp(-b_ij / zeta**2),   a_ii = 1

where b_ij is the largest edge weight on the path from i to j.

Shape suffixes:
    B = images   R = regions   H = height   W = width   N = H * W pixels   E = tree edges
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.affinity.fast import trees
from models.affinity.spanning_tree import Structure


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalPropagation:
    """Propagation along the spanning tree."""

    zeta: float
    """Colour distance, in the unit of the guidance, at which the affinity has dropped to 1/e. Positive."""

    def __post_init__(self) -> None:
        """Refuse a bandwidth that divides by zero."""
        if not self.zeta > 0.0:
            raise ValueError(f"zeta must be positive, got {self.zeta}.")

    def __call__(self, structure: Structure, value_RHW: Tensor, image_R: Tensor) -> Tensor:
        """Propagate the field of each region through the structure of its image.

        Args:
            structure: Bottleneck distances of B images.
            value_RHW: One field per region, any float type.
            image_R: Which image each region belongs to, int64 in [0, B).

        Returns:
            Propagated fields, detached, shape and type of ``value_RHW``; each value is a weighted mean of the
            input.

        Raises:
            ValueError: If the pixels of the field and the structure differ, or a region has no image.
        """
        if value_RHW.shape[-2:] != (structure.height, structure.width):
            size = f"{structure.height}x{structure.width}"
            raise ValueError(f"value_RHW must have {size} pixels, got {tuple(value_RHW.shape)}.")
        if len(image_R) != len(value_RHW):
            raise ValueError(f"image_R must name the image of {len(value_RHW)} regions, got {len(image_R)}.")
        value_RN = value_RHW.detach().cpu().double().flatten(1).numpy()
        out_RN = np.empty_like(value_RN)
        arrays = [
            tensor.numpy()
            for tensor in (structure.place_BN, structure.left_BE, structure.right_BE, structure.parent_BE)
        ]
        affinity_BE = np.exp(-structure.junction_BE.numpy() / self.zeta**2)
        totals: dict[int, np.ndarray] = {}
        for region, image in enumerate(image_R.tolist()):
            place, left, right, parent = (array[image] for array in arrays)
            if image not in totals:
                totals[image] = np.empty_like(value_RN[0])
                ones = np.ones_like(value_RN[0])
                trees.spread(place, affinity_BE[image], left, right, parent, ones, totals[image])
            trees.spread(place, affinity_BE[image], left, right, parent, value_RN[region], out_RN[region])
            mean_N = out_RN[region] / totals[image]
            # Rounding leaves a mean up to 1e-16 outside of what it averages: below zero, for example.
            out_RN[region] = mean_N.clip(value_RN[region].min(), value_RN[region].max())
        return torch.from_numpy(out_RN).reshape(value_RHW.shape).to(value_RHW)
