"""Global propagation: every pixel averages all others, weighted by the worst step of the tree path between.

Paper: Li et al., "Label-efficient Segmentation via Affinity Propagation" (APro),
https://arxiv.org/abs/2310.10533, global affinity.
Differences: sums are accumulated in float64 (the release: in float32, which errs by up to 1.5e-3 on natural
images); fields, weights and bandwidth can have gradients (the release has none).

    y_i = sum_j a_ij x_j / sum_j a_ij,   a_ij = exp(-b_ij / zeta**2),   a_ii = 1

where b_ij is the largest edge weight on the path from i to j.

Shape suffixes:
    B = images   R = regions   C = channels   K = 1 or C   H = height   W = width   N = H * W pixels
    E = N - 1 tree edges   X = R * C fields, those of a tree together
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.affinity.fast import dense
from models.affinity.fast.hierarchy import Hierarchy, spread
from models.affinity.fields import (
    Rows,
    check_bandwidth,
    check_fields,
    divide_products,
    group_rows,
    inverse_square,
)
from models.affinity.grid import check_weights, widen
from models.affinity.spanning_tree import Structure, check_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalPropagation:
    """Propagation along the spanning tree."""

    zeta: float | Tensor
    """Colour distance, in the unit of the guidance, at which the affinity has dropped to 1/e. Positive; a
    tensor without dimensions may carry a gradient (take the softplus of what is learned)."""
    detach: bool = True
    """Whether the result carries no gradient, as in the release."""

    def __post_init__(self) -> None:
        """Refuse a bandwidth that divides by zero."""
        check_bandwidth("zeta", self.zeta)

    def __call__(
        self,
        x_RCHW: Tensor,
        structure: Structure,
        weights: Tensor | None = None,
        *,
        image_R: Tensor | None = None,
    ) -> Tensor:
        """Propagate fields through the tree of their image.

        Args:
            x_RCHW: Fields, any float type.
            structure: B trees. Fields of one tree share its sums, in any number.
            weights: Other weights for the edges of the tree, not negative, in the order of
                ``structure.edge_BE``: one set for all channels of a region, (R, 1, E), or one a channel,
                (R, C, E). See ``models.affinity.spanning_tree.edge_weights``.
            image_R: Which tree each region belongs to, integers in [0, B). None: region r belongs to tree r.

        Returns:
            Propagated fields, shape and type of ``x_RCHW``; each value is a weighted mean of the field.
            Detached if ``detach``, else with gradients to the fields, the weights (those of the structure
            included) and the bandwidth.

        Raises:
            TypeError: If the fields are not of a float type.
            ValueError: If sizes differ or a region has no tree.
        """
        check_fields(x_RCHW, structure, weights)
        row_R = check_rows(len(x_RCHW), structure, image_R)
        if x_RCHW.numel() == 0:
            return x_RCHW.detach().clone() if self.detach else x_RCHW.clone()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach):
            x_RCN = x_RCHW.flatten(2)
            if weights is not None:
                if weights.shape[1] > 1:
                    row_R = row_R.repeat_interleave(weights.shape[1])
                x_RCN = x_RCN.reshape(len(row_R), -1, x_RCN.shape[2])
                y_RCN = _average_anew(structure, weights.flatten(0, 1), self.zeta, x_RCN, row_R)
            else:
                y_RCN = _average(structure, self.zeta, x_RCN, row_R)
            return y_RCN.reshape(x_RCHW.shape).to(x_RCHW.dtype)


def _average(structure: Structure, zeta: float | Tensor, x_RCN: Tensor, image_R: Tensor) -> Tensor:
    """Average with whatever computes for this structure."""
    if structure.backend == "cpu":
        rows = group_rows(x_RCN, image_R, len(structure), structure.weight_BE.dtype)
        return rows.ungroup(_average_compiled(structure, zeta, rows))
    if image_R.device.type != "cpu":  # to count the regions of an image would be to wait for the device
        structure, image_R = structure.select(image_R), torch.arange(len(image_R))
    affinity_BE = (structure.weight_BE.double() * -inverse_square(zeta)).exp()
    if structure.backend != "reference":
        product = partial(spread, _hierarchy(structure), affinity_BE)
        return divide_products(product, x_RCN, image_R, len(structure))
    matrix_BNN = dense.bottleneck_affinity(
        structure.edge_BE, structure.weight_BE, affinity_BE, (structure.height, structure.width)
    )
    mean_BNN = matrix_BNN / matrix_BNN.sum(dim=2, keepdim=True)
    return torch.einsum("rij,rcj->rci", mean_BNN[image_R], x_RCN.double())


def _average_anew(
    structure: Structure, weight_RE: Tensor, zeta: float | Tensor, x_RCN: Tensor, image_R: Tensor
) -> Tensor:
    """Average every region over a tree with weights of its own."""
    weight_RE = widen(weight_RE)
    check_weights(weight_RE)
    wide = torch.float64 in (x_RCN.dtype, weight_RE.dtype)
    if structure.backend == "cpu" and x_RCN.shape[1] == 1 and not wide and not _graph(x_RCN, weight_RE, zeta):
        from models.affinity.fast import averages

        weight, value = (part.detach().float().contiguous() for part in (weight_RE, x_RCN[:, 0]))
        trees = structure.edge_BE, weight, image_R, structure.width
        return averages.average_reweighted(*trees, inverse_square(float(zeta)), value)[:, None]
    again = structure.reweighted(weight_RE, image_R)
    return _average(again, zeta, x_RCN, torch.arange(len(x_RCN)))


def _graph(*inputs: Tensor | float) -> bool:
    """Say whether a gradient is wanted."""
    return torch.is_grad_enabled() and any(isinstance(part, Tensor) and part.requires_grad for part in inputs)


def _average_compiled(structure: Structure, zeta: float | Tensor, rows: Rows) -> Tensor:
    """Average with the compiled loops."""
    from models.affinity.fast import averages, compiled

    tensors = (rows.value_XN, structure.weight_BE, zeta)
    if _graph(*tensors):
        mean_XN: Tensor = _Average.apply(*tensors, structure, rows.bounds_B1)
        return mean_XN
    forest = compiled.Forest(structure.edge_BE, structure.weight_BE.detach(), _merges(structure))
    value_XN = rows.value_XN.detach()
    return averages.average(forest, inverse_square(float(zeta)), value_XN, rows.bounds_B1, keep=False).mean_RN


def _hierarchy(structure: Structure) -> Hierarchy:
    """Return the merges of a structure of tensor operations."""
    if not isinstance(structure.merges, Hierarchy):
        raise TypeError(
            f"merges of backend {structure.backend!r} must be a hierarchy, "
            f"got {type(structure.merges).__name__}."
        )
    return structure.merges


def _merges(structure: Structure) -> Tensor:
    """Return the merges of a structure of compiled loops."""
    if not isinstance(structure.merges, Tensor):
        raise TypeError(f"merges of backend 'cpu' must be a tensor, got {type(structure.merges).__name__}.")
    return structure.merges


class _Average(torch.autograd.Function):
    """The average of the compiled loops and its derivative in closed form."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - the type of autograd's context
        value_XN: Tensor,
        weight_BE: Tensor,
        zeta: float | Tensor,
        structure: Structure,
        bounds: NDArray[np.int64],
    ) -> Tensor:
        from models.affinity.fast import averages, compiled

        forest = compiled.Forest(structure.edge_BE, weight_BE.detach(), _merges(structure))
        result = averages.average(forest, inverse_square(float(zeta)), value_XN.detach(), bounds, keep=True)
        ctx.save_for_backward(value_XN, *forest, *result)
        ctx.zeta, ctx.bounds = zeta, bounds
        return result.mean_RN

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_XN: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        from models.affinity.fast import averages, compiled

        value_XN, *rest = ctx.saved_tensors
        forest, result, zeta = compiled.Forest(*rest[:3]), averages.Averages(*rest[3:]), float(ctx.zeta)
        rate = inverse_square(zeta)
        value_slope, affinity_slope = averages.average_gradient(
            forest, rate, result, value_XN, slope_XN.contiguous(), ctx.bounds
        )
        weight = forest.weight_BE.double()
        weight_slope = affinity_slope * (weight * -rate).exp() * -rate
        zeta_slope = None
        if isinstance(ctx.zeta, Tensor):
            zeta_slope = ctx.zeta.new_tensor((weight_slope * weight).numpy().sum() * -2.0 / zeta)
        return value_slope.to(value_XN), weight_slope.to(forest.weight_BE), zeta_slope, None, None
