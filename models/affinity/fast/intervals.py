"""The bottleneck affinity of a weighted tree as a sum over runs of places, in plain PyTorch.

When the edges of a tree join its pixels from the smallest to the largest, every edge makes one cluster. With
the pixels laid out such that each cluster is a run of places, and ``a(t)`` the affinity of the edge that
makes cluster ``t``, the matrix ``A[i, j] = a(largest edge between i and j)`` with diagonal one is::

    A = diag(1 - a(leaf parent)) + sum over t of (a(t) - a(parent of t)) 1_t 1_t'

so prefix sums apply it, at a cost that knows neither the depth of the clusters nor the affinities. The sums
are accumulated in float64: in float32 they lose two digits on natural images.

Letters:
    B = trees   C = channels   N = pixels   E = N - 1 tree edges, which are also the clusters
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def spread_intervals(
    pixel_BN: Tensor,
    leaf_parent_BN: Tensor,
    parent_BE: Tensor,
    first_BE: Tensor,
    last_BE: Tensor,
    affinity_BE: Tensor,
    value_BCN: Tensor,
) -> Tensor:
    """Multiply fields by the bottleneck affinity of their trees.

    All indices are integers of any width and count within their own tree. Clusters may be numbered in any
    order. Gradients reach ``affinity_BE`` and ``value_BCN``; they are exact and linear in time, and keep
    nothing but the inputs.

    Args:
        pixel_BN: Pixel at each place.
        leaf_parent_BN: Cluster that first joins the pixel at each place to another.
        parent_BE: Cluster that next joins each cluster to more, or -1.
        first_BE: First place of each cluster.
        last_BE: Last place of each cluster.
        affinity_BE: Affinity of each cluster, not larger than that of any cluster within it.
        value_BCN: Fields, by pixel.

    Returns:
        Unnormalised products of shape (B, C, N), float64. Row sums are the product with a field of ones.
    """
    index = (pixel_BN, leaf_parent_BN, parent_BE, first_BE, last_BE)
    product: Tensor = _Spread.apply(*index, affinity_BE, value_BCN)
    return product


class _Spread(Function):
    """The product, whose matrix is symmetric and therefore its own backward."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        """Multiply."""
        ctx.save_for_backward(*inputs)
        return _multiply(_Runs(*inputs[:5]), inputs[5], inputs[6])[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BCN: Tensor) -> tuple[Tensor | None, ...]:
        """Multiply the gradient; compare it with the value, cluster by cluster, for the affinities."""
        *index, affinity_BE, value_BCN = ctx.saved_tensors
        need_affinity, need_value = ctx.needs_input_grad[5:]
        runs = _Runs(*index)
        product_BCN, gradient_sum_BCE, gradient_row_BCN = _multiply(runs, affinity_BE, gradient_BCN)
        slope_BE = None
        if need_affinity:
            sum_BCE, row_BCN = runs.sums(value_BCN)
            excess_BE = (gradient_sum_BCE * sum_BCE).sum(dim=1)
            slope_BE = excess_BE.clone()
            if slope_BE.shape[1]:
                slope_BE.scatter_add_(1, runs.parent_BE, -excess_BE.masked_fill(runs.top_BE, 0.0))
                slope_BE.scatter_add_(1, runs.leaf_parent_BN, -(gradient_row_BCN * row_BCN).sum(dim=1))
            slope_BE = slope_BE.to(affinity_BE.dtype)
        return (None,) * 5 + (slope_BE, product_BCN.to(value_BCN.dtype) if need_value else None)


class _Runs:
    """The structure with indices as wide as gather and scatter need them."""

    def __init__(
        self, pixel_BN: Tensor, leaf_parent_BN: Tensor, parent_BE: Tensor, first_BE: Tensor, last_BE: Tensor
    ) -> None:
        self.pixel_BN = pixel_BN.long()
        self.leaf_parent_BN = leaf_parent_BN.long()
        self.top_BE = parent_BE < 0
        self.parent_BE = parent_BE.long().masked_fill(self.top_BE, 0)
        self.first_BE = first_BE.long()
        self.last_BE = last_BE.long()

    def sums(self, value_BCN: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum of the value over each cluster, and the value by place; both float64."""
        channels = value_BCN.shape[1]
        row_BCN = value_BCN.gather(2, _shared(self.pixel_BN, channels)).double()
        through_BCN = row_BCN.cumsum(dim=2)
        before_BCN = through_BCN - row_BCN
        sum_BCE = through_BCN.gather(2, _shared(self.last_BE, channels))
        return sum_BCE.sub_(before_BCN.gather(2, _shared(self.first_BE, channels))), row_BCN


def _multiply(runs: _Runs, affinity_BE: Tensor, value_BCN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the product, the sum of the value over each cluster, and the value by place; all float64."""
    sum_BCE, row_BCN = runs.sums(value_BCN)
    if not sum_BCE.shape[2]:
        return row_BCN, sum_BCE, row_BCN
    batch, channels, pixels = row_BCN.shape
    wide_BE = affinity_BE.double()
    excess_BE = wide_BE - wide_BE.gather(1, runs.parent_BE).masked_fill_(runs.top_BE, 0.0)
    alone_BN = 1.0 - wide_BE.gather(1, runs.leaf_parent_BN)
    amount_BCE = excess_BE[:, None] * sum_BCE
    change_BCP = row_BCN.new_zeros(batch, channels, pixels + 1)
    change_BCP.scatter_add_(2, _shared(runs.first_BE, channels), amount_BCE)
    change_BCP[:, :, 1:].scatter_add_(2, _shared(runs.last_BE, channels), amount_BCE.neg_())
    product_BCN = change_BCP[:, :, :-1].cumsum(dim=2).addcmul_(alone_BN[:, None], row_BCN)
    answer_BCN = torch.empty_like(product_BCN).scatter_(2, _shared(runs.pixel_BN, channels), product_BCN)
    return answer_BCN, sum_BCE, row_BCN


def _shared(index_BK: Tensor, channels: int) -> Tensor:
    """Use one index for all channels, without a copy."""
    return index_BK[:, None].expand(-1, channels, -1)
