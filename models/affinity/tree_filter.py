"""The tree filter: every pixel averages all others, weighted by the product of affinities between them.

Papers: Song et al., "Learnable Tree Filter for Structure-preserving Feature Transform",
https://arxiv.org/abs/1909.12513; Liang et al., "Tree Energy Loss: Towards Sparsely Annotated Semantic
Segmentation", https://arxiv.org/abs/2203.10739.
Differences: sums are accumulated in float64 (the releases: in float32).

    y_i = sum_j a_ij x_j / sum_j a_ij,   a_ij = exp(-(sum of the edge weights between i and j) / sigma)

Shape suffixes:
    B = images   R = regions   C = channels   H = height   W = width   N = H * W pixels
    E = N - 1 tree edges   X = R * C fields, those of a tree together
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.affinity.fast import dense
from models.affinity.fast.rooting import product_spread, root_trees
from models.affinity.fields import Rows, check_bandwidth, check_fields, divide_products, group_rows
from models.affinity.grid import check_weights, widen
from models.affinity.spanning_tree import Structure, check_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFilter:
    """Product kernel along the spanning tree."""

    sigma: float | Tensor
    """Squared colour distance at which the affinity has dropped to 1/e. Positive; a tensor without dimensions
    may carry a gradient."""
    detach: bool = True
    """Whether the result carries no gradient."""

    def __post_init__(self) -> None:
        """Refuse a bandwidth that divides by zero."""
        check_bandwidth("sigma", self.sigma)

    def __call__(
        self,
        x_RCHW: Tensor,
        structure: Structure,
        weights: Tensor | None = None,
        *,
        image_R: Tensor | None = None,
    ) -> Tensor:
        """Filter fields along the tree of their image.

        Arguments, result and errors are those of ``GlobalPropagation``.
        """
        check_fields(x_RCHW, structure, weights)
        row_R = check_rows(len(x_RCHW), structure, image_R)
        if x_RCHW.numel() == 0:
            return x_RCHW.detach().clone() if self.detach else x_RCHW.clone()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach):
            x_RCN, edge_BE, weight_BE = x_RCHW.flatten(2), structure.edge_BE, structure.weight_BE
            if weights is not None:
                row_R = row_R.repeat_interleave(weights.shape[1])
                edge_BE, weight_BE = (
                    edge_BE.index_select(0, row_R.to(edge_BE.device)),
                    widen(weights.flatten(0, 1)),
                )
                check_weights(weight_BE)
                x_RCN = x_RCN.reshape(len(row_R), -1, x_RCN.shape[2])
                row_R = torch.arange(len(row_R))
            y_RCN = self._filter(structure, edge_BE, weight_BE, x_RCN, row_R)
            return y_RCN.reshape(x_RCHW.shape).to(x_RCHW.dtype)

    def _filter(
        self, structure: Structure, edge_BE: Tensor, weight_BE: Tensor, x_RCN: Tensor, image_R: Tensor
    ) -> Tensor:
        """Filter with whatever computes for this structure."""
        size = structure.height, structure.width
        match structure.backend:
            case "cpu":
                rows = group_rows(x_RCN, image_R, len(edge_BE), weight_BE.dtype)
                mean_XN = _Filter.apply(rows.value_XN, weight_BE, self.sigma, edge_BE, rows, size[1])
                return rows.ungroup(mean_XN)
            case "torch" | "triton":
                affinity_BE = (weight_BE.double() / -self.sigma).exp()
                if image_R.device.type != "cpu":
                    edge_BE, affinity_BE = (part.index_select(0, image_R) for part in (edge_BE, affinity_BE))
                    image_R = torch.arange(len(image_R))
                product = partial(product_spread, root_trees(edge_BE, *size), affinity_BE)
                return divide_products(product, x_RCN, image_R, len(edge_BE))
            case "reference":
                affinity_BE = (weight_BE.double() / -self.sigma).exp()
                matrix_BNN = dense.path_affinity(edge_BE, affinity_BE, size)
                mean_BNN = matrix_BNN / matrix_BNN.sum(dim=2, keepdim=True)
                return torch.einsum("rij,rcj->rci", mean_BNN[image_R], x_RCN.double())


class _Filter(torch.autograd.Function):
    """The filter of the compiled loops and its derivative in closed form."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - the type of autograd's context
        value_XN: Tensor,
        weight_BE: Tensor,
        sigma: float | Tensor,
        edge_BE: Tensor,
        rows: Rows,
        width: int,
    ) -> Tensor:
        from models.affinity.fast import paths

        value, weight = value_XN.detach(), weight_BE.detach().contiguous()
        mean_XN, total_BN = paths.average(edge_BE, weight, float(sigma), value, rows.bounds_B1, width)
        ctx.save_for_backward(value, weight, edge_BE, mean_XN, total_BN)
        ctx.sigma, ctx.rows, ctx.width = sigma, rows, width
        return mean_XN

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_XN: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        from models.affinity.fast import paths

        value_XN, weight_BE, edge_BE, mean_XN, total_BN = ctx.saved_tensors
        sigma, bounds = float(ctx.sigma), ctx.rows.bounds_B1
        slope = slope_XN.double() / total_BN.repeat_interleave(
            torch.from_numpy(bounds[1:] - bounds[:-1]), dim=0
        )
        fields = value_XN, mean_XN, slope.contiguous()
        value_slope, affinity_slope = paths.average_gradient(
            edge_BE, weight_BE, sigma, fields, bounds, ctx.width
        )
        weight_slope = affinity_slope * (weight_BE.double() / -sigma).exp() / -sigma
        sigma_slope = None
        if isinstance(ctx.sigma, Tensor):
            sigma_slope = ctx.sigma.new_tensor((weight_slope * weight_BE).numpy().sum() / -sigma)
        return value_slope.to(value_XN), weight_slope.to(weight_BE), sigma_slope, None, None, None
