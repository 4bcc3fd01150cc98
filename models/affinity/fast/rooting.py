"""Spanning trees hung from the first pixel, and the product of affinities along their paths.

A walk around a tree crosses every edge once in each direction. After a pixel is entered through one of its
sides the walk leaves through the next side that has an edge, so its steps need no search; the position of
each step follows by pointer doubling (list ranking after Wyllie, The complexity of parallel computations,
1979). An edge's upper end is the one it is first crossed from.

On a hung tree let ``M`` hold the affinity of every pixel to its parent. The matrix of products along paths
is ``(I - M)^-1 (I - diag(a**2)) (I - M')^-1``, and ``(I - M)^-1`` is the product of ``I + M**(2**k)``: a
scatter or a gather for every doubling. Nothing waits for the device.

Letters:
    B = trees   C = channels   N = pixels   E = N - 1 tree edges   Q = B*E edges of the union, crossed first
    from their upper or left end (step ``q``) or from the other end (step ``Q + q``)   S = 2*Q steps
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

DOWN, RIGHT, UP, LEFT = range(4)
"""Sides of a pixel in the order of the walk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootedTrees:
    """One tree per row, hung from pixel 0: 8 bytes a pixel and tree."""

    parent_BN: Tensor
    """Next pixel on the way to pixel 0, int32; pixel 0 names itself."""
    edge_BN: Tensor
    """Position in the tree's list of edges of the edge to the parent, int32; -1 at pixel 0."""

    def to(self, device: torch.device | str) -> "RootedTrees":
        """Return the same trees on another device."""
        return RootedTrees(parent_BN=self.parent_BN.to(device), edge_BN=self.edge_BN.to(device))


def root_trees(edge_BE: Tensor, height: int, width: int) -> RootedTrees:
    """Hang spanning trees from pixel 0.

    Args:
        edge_BE: Codes of each tree's edges: ``u`` for the edge from pixel ``u`` down, ``height * width + u``
            for the edge to its right.
        height: Pixels from top to bottom.
        width: Pixels from left to right.

    Returns:
        Parents and the edges to them.

    Raises:
        ValueError: If the number of edges does not fit the grid.
    """
    batch, pixels = edge_BE.shape[0], height * width
    if edge_BE.shape[1] != pixels - 1:
        raise ValueError(
            f"edge_BE must have {pixels - 1} edges a row for {height}x{width} pixels, got {edge_BE.shape[1]}."
        )
    device = edge_BE.device
    parent_BN = torch.zeros(batch, pixels, dtype=torch.int32, device=device)
    side_BN = torch.full_like(parent_BN, -1)
    if pixels == 1:
        return RootedTrees(parent_BN=parent_BN, edge_BN=side_BN)
    across_BE = edge_BE >= pixels
    head_BE = torch.where(across_BE, edge_BE - pixels, edge_BE)
    tail_BE = head_BE + torch.where(across_BE, 1, width)
    following_S = _following_steps(head_BE, tail_BE, across_BE)
    ahead_S = _steps_ahead(following_S, 2 * (pixels - 1))
    head_first_BE = (ahead_S[: across_BE.numel()] > ahead_S[across_BE.numel() :]).view_as(across_BE)
    upper_BE = torch.where(head_first_BE, head_BE, tail_BE).int()
    lower_BE = torch.where(head_first_BE, tail_BE, head_BE).long()
    position_E = torch.arange(pixels - 1, dtype=torch.int32, device=device)
    return RootedTrees(
        parent_BN=parent_BN.scatter_(1, lower_BE, upper_BE),
        edge_BN=side_BN.scatter_(1, lower_BE, position_E.expand(batch, -1)),
    )


def product_spread(trees: RootedTrees, affinity_BE: Tensor, value_BCN: Tensor) -> Tensor:
    """Multiply fields by the matrix of products of affinities along the paths of trees.

    Args:
        trees: Trees hung from pixel 0.
        affinity_BE: Affinity of each edge in [0, 1], in the order of the tree's list. Differentiable.
        value_BCN: Fields, by pixel. Differentiable.

    Returns:
        Unnormalised products of shape (B, C, N), float64. The product with a field of ones are the row sums.
    """
    affinity_BN = value_BCN.new_zeros(trees.edge_BN.shape, dtype=torch.float64)
    if affinity_BE.shape[1]:
        up_BN = affinity_BE.double().gather(1, trees.edge_BN.long().clamp(min=0))
        affinity_BN = torch.where(trees.edge_BN >= 0, up_BN, 0.0)
    product: Tensor = _Product.apply(trees.parent_BN, affinity_BN, value_BCN)
    return product


def _following_steps(head_BE: Tensor, tail_BE: Tensor, across_BE: Tensor) -> Tensor:
    """Return the step after each step of the walks; the last step of a walk names itself."""
    batch, num_edges = head_BE.shape
    num_steps = 2 * head_BE.numel()
    row_B1 = torch.arange(batch, device=head_BE.device)[:, None] * (num_edges + 1)
    from_head_BE = (head_BE + row_B1) * 4 + torch.where(across_BE, RIGHT, DOWN)
    from_tail_BE = (tail_BE + row_B1) * 4 + torch.where(across_BE, LEFT, UP)
    place_S = torch.cat((from_head_BE.view(-1), from_tail_BE.view(-1)))
    step_S = torch.arange(num_steps, dtype=torch.int32, device=head_BE.device)
    none = step_S.new_full((batch * (num_edges + 1) * 4,), -1)
    step_P4 = none.scatter_(0, place_S, step_S).view(-1, 4)
    after_P4 = step_P4
    for turn in (3, 2, 1):
        turned_P4 = step_P4.roll(-turn, dims=1)
        after_P4 = torch.where(turned_P4 >= 0, turned_P4, after_P4)
    arrival_S = torch.cat((from_tail_BE.view(-1), from_head_BE.view(-1)))
    following_S = after_P4.view(-1).index_select(0, arrival_S)
    at_root_B4 = step_P4.view(batch, num_edges + 1, 4)[:, 0]
    first_B = torch.where(at_root_B4[:, DOWN] >= 0, at_root_B4[:, DOWN], at_root_B4[:, RIGHT])
    closes_S = following_S.view(2, batch, num_edges) == first_B[:, None]
    return torch.where(closes_S.view(-1), step_S, following_S)


def _steps_ahead(following_S: Tensor, longest: int) -> Tensor:
    """Return the number of steps that follow each step of its walk, of at most ``longest`` steps."""
    own_S = torch.arange(following_S.shape[0], dtype=torch.int32, device=following_S.device)
    ahead_S = (following_S != own_S).int()
    for _ in range((longest - 1).bit_length()):
        ahead_S = ahead_S + ahead_S.index_select(0, following_S)
        following_S = following_S.index_select(0, following_S)
    return ahead_S


class _Product(Function):
    """The product, whose matrix is symmetric and therefore its own backward."""

    @staticmethod
    def forward(ctx: Any, parent_BN: Tensor, affinity_BN: Tensor, value_BCN: Tensor) -> Tensor:
        """Multiply."""
        product_BCN, up_BCN = _multiply(parent_BN, affinity_BN, value_BCN)
        ctx.save_for_backward(parent_BN, affinity_BN, product_BCN, up_BCN)
        ctx.value_dtype = value_BCN.dtype
        return product_BCN

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BCN: Tensor) -> tuple[Tensor | None, ...]:
        """Multiply the gradient; differentiate the three factors of the matrix for the affinities."""
        parent_BN, affinity_BN, product_BCN, up_BCN = ctx.saved_tensors
        back_BCN, back_up_BCN = _multiply(parent_BN, affinity_BN, gradient_BCN)
        slope_BN = None
        if ctx.needs_input_grad[1]:
            index_BCN = parent_BN.long()[:, None].expand_as(product_BCN)
            slope_BCN = back_up_BCN * product_BCN.gather(2, index_BCN)
            slope_BCN = slope_BCN.addcmul(up_BCN, back_BCN.gather(2, index_BCN))
            slope_BCN = slope_BCN.addcmul(affinity_BN[:, None] * up_BCN, back_up_BCN, value=-2.0)
            slope_BN = slope_BCN.sum(dim=1)
        return None, slope_BN, back_BCN.to(ctx.value_dtype)


def _multiply(parent_BN: Tensor, affinity_BN: Tensor, value_BCN: Tensor) -> tuple[Tensor, Tensor]:
    """Return the product, and the sum over each pixel's branch that it is made of; float64."""
    up_BCN = value_BCN.double()
    for ancestor_BN, reach_BN in _doublings(parent_BN, affinity_BN):
        index_BCN = ancestor_BN[:, None].expand_as(up_BCN)
        up_BCN = up_BCN.scatter_add(2, index_BCN, reach_BN[:, None] * up_BCN)
    product_BCN = up_BCN * (1.0 - affinity_BN.square())[:, None]
    for ancestor_BN, reach_BN in _doublings(parent_BN, affinity_BN):
        index_BCN = ancestor_BN[:, None].expand_as(up_BCN)
        product_BCN = torch.addcmul(product_BCN, reach_BN[:, None], product_BCN.gather(2, index_BCN))
    return product_BCN, up_BCN


def _doublings(parent_BN: Tensor, affinity_BN: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the ancestor 1, 2, 4, ... steps above each pixel, int64, and the product of affinities up to it.

    Where that product is zero, as it is above the root, a pixel names itself: otherwise all the zeros would
    be added in one place, one after another.
    """
    own_N = torch.arange(parent_BN.shape[1], device=parent_BN.device)
    ancestor_BN, reach_BN = parent_BN.long(), affinity_BN
    for level in range((parent_BN.shape[1] - 1).bit_length()):
        if level:
            reach_BN = reach_BN * reach_BN.gather(1, ancestor_BN)
            ancestor_BN = ancestor_BN.gather(1, ancestor_BN)
        ancestor_BN = torch.where(reach_BN == 0.0, own_N, ancestor_BN)
        yield ancestor_BN, reach_BN
