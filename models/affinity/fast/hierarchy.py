"""The clusters of a weighted spanning tree, found in logarithmic depth without a word to the host.

The order in which a tree's edges join its pixels (its single-linkage dendrogram) is deep: thousands of edges
on a natural image. Borůvka's rounds are few. They meet as follows (after Sao et al., PANDORA, ICPP 2024,
https://arxiv.org/abs/2401.06089, which contracts edges where this contracts components):

* ``exit(X)`` is the smallest edge that leaves component ``X`` of a round. An edge *rests* at the first
  component around it whose exit is larger.
* The edges that rest at one component, in increasing order, are a chain: each joins the cluster of the edge
  before it to one other thing, and the last one is followed by ``exit(X)``. The first joins two things.
* A thing is a pixel, or the cluster that a component's chain ends with; it is joined by the exit of that
  pixel or component. It stands in a component of a later round, so things are nested no deeper than there
  are rounds, and two short loops over rounds give their sizes and their places.

Of the two sorts, the first orders the tree's edges by weight, the second groups them by resting component.

Letters:
    B = trees   N = pixels   E = N - 1 tree edges   P = B*N pixels of the union   Q = B*E edges of the union,
    numbered by (tree, rank)   V = places for components in a round   T = such places in all rounds
"""

from dataclasses import dataclass, fields
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import pad

from models.affinity.fast.boruvka import component_room, merge
from models.affinity.fast.intervals import spread_intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """The clusters of one weighted tree per row, each a run of places: 24 bytes a pixel and tree."""

    order_BE: Tensor
    """Position in the tree's list of edges of the edge that makes each cluster, int32."""
    pixel_BN: Tensor
    """Pixel at each place, int32."""
    leaf_parent_BN: Tensor
    """Cluster that first joins the pixel at each place, int32."""
    parent_BE: Tensor
    """Cluster that next joins each cluster, or -1, int32."""
    first_BE: Tensor
    """First place of each cluster, int32."""
    last_BE: Tensor
    """Last place of each cluster, int32."""

    def to(self, device: torch.device | str) -> "Hierarchy":
        """Return the same hierarchy on another device."""
        return Hierarchy(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def build_hierarchy(edge_BE: Tensor, weight_BE: Tensor, height: int, width: int) -> Hierarchy:
    """Find the clusters of weighted spanning trees.

    Args:
        edge_BE: Codes of each tree's edges, in increasing order: ``u`` for the edge from pixel ``u`` down,
            ``height * width + u`` for the edge to its right.
        weight_BE: Their weights, of any floating type. Equal weights count in order of code.
        height: Pixels from top to bottom.
        width: Pixels from left to right.

    Returns:
        The hierarchy. ``1 x 1`` pixels have one pixel and no cluster.

    Raises:
        ValueError: If the shapes of edges and weights differ or do not fit the grid.
    """
    pixels = height * width
    if edge_BE.shape != weight_BE.shape or edge_BE.shape[1] != pixels - 1:
        raise ValueError(
            f"edge_BE and weight_BE must have shape (B, {pixels - 1}) for {height}x{width} pixels, "
            f"got {tuple(edge_BE.shape)} and {tuple(weight_BE.shape)}."
        )
    if pixels == 1:
        no_edge, one_pixel = edge_BE.int(), edge_BE.new_zeros(edge_BE.shape[0], 1, dtype=torch.int32)
        return Hierarchy(
            order_BE=no_edge,
            pixel_BN=one_pixel,
            leaf_parent_BN=one_pixel,
            parent_BE=no_edge,
            first_BE=no_edge,
            last_BE=no_edge,
        )
    order_BE = weight_BE.detach().argsort(dim=1, stable=True)
    end_2A = _ends(edge_BE.gather(1, order_BE), pixels, width)
    order_BE = order_BE.int()
    head_Q = end_2A[0, :-1].int()
    rounds = _Rounds.of(end_2A, edge_BE.shape[0], pixels)
    rest_BE, by_rest_BE = rounds.resting(head_Q).view_as(edge_BE).sort(dim=1, stable=True)
    return _lay_out(rounds, rest_BE, by_rest_BE, order_BE)


def spread(hierarchy: Hierarchy, affinity_BE: Tensor, value_BCN: Tensor) -> Tensor:
    """Multiply fields by the bottleneck affinity of their trees.

    Args:
        hierarchy: Clusters of the trees.
        affinity_BE: ``exp(-weight / zeta**2)`` in the order of the tree's list of edges. Differentiable.
        value_BCN: Fields, by pixel. Differentiable.

    Returns:
        Unnormalised products of shape (B, C, N), float64. The product with a field of ones are the row sums.
    """
    return spread_intervals(
        hierarchy.pixel_BN,
        hierarchy.leaf_parent_BN,
        hierarchy.parent_BE,
        hierarchy.first_BE,
        hierarchy.last_BE,
        affinity_BE.gather(1, hierarchy.order_BE.long()),
        value_BCN,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rounds:
    """Borůvka's rounds on the edges of trees; the components of all rounds are numbered one after another."""

    exit_T: Tensor
    """Smallest edge that leaves each component, or Q, int32."""
    above_T: Tensor
    """Component of the next round that holds each component, int32."""
    leads_T: Tensor
    """Whether a component is the first of the two that share an exit, bool. True without an exit."""
    start: tuple[int, ...]
    """Number of the first component of each round, and the number of all components."""

    @classmethod
    def of(cls, end_2A: Tensor, batch: int, pixels: int) -> "_Rounds":
        """Contract trees whose edges are given by their two pixels in the union, in increasing order.

        Edges left over after a round keep their order. There is one more place for a component, and for an
        edge, than can be used: the last one stands for "none".
        """
        device, num_edges = end_2A.device, end_2A.shape[1] - 1
        room = component_room(pixels)
        start = tuple(batch * sum(room[:level]) for level in range(len(room) + 1))
        own_P = torch.arange(batch * pixels + 1, device=device)
        rank_A = own_P[: num_edges + 1].int()
        exit_T = rank_A.new_full((start[-1],), num_edges)
        above_T = torch.arange(start[-1], dtype=torch.int32, device=device)
        leads = []
        for level, (here, after) in enumerate(pairwise(room)):
            best_V, other_V = _choose(end_2A, own_P, batch * here)
            above_V, leads_V = merge(other_V, own_P, here)
            torch.index_select(rank_A, 0, best_V, out=exit_T[start[level] : start[level + 1]])
            inside_V = above_V.clamp(max=batch * after - 1)
            torch.add(inside_V, start[level + 1], out=above_T[start[level] : start[level + 1]])
            leads.append(leads_V)
            above_V = pad(above_V, (0, 1), value=batch * after)
            end_2A = above_V.index_select(0, end_2A.view(-1)).view(2, -1)
            left_A = (end_2A[0, :-1] != end_2A[1, :-1]).cumsum(dim=0)
            kept_A = torch.searchsorted(left_A, own_P[1 : batch * (after - 1) + 2])
            end_2A, rank_A = end_2A.index_select(1, kept_A), rank_A.index_select(0, kept_A)
        leads_T = torch.cat([*leads, own_P[:batch] >= 0])
        return cls(exit_T=exit_T, above_T=above_T, leads_T=leads_T, start=start)

    def resting(self, head_Q: Tensor) -> Tensor:
        """Return the component at which each edge rests, int32."""
        rank_Q = torch.arange(head_Q.shape[0], dtype=torch.int32, device=head_Q.device)
        rest_Q = self.above_T.index_select(0, head_Q)
        for _ in range(len(self.start) - 3):
            stays_Q = self.exit_T.index_select(0, rest_Q) > rank_Q
            rest_Q = torch.where(stays_Q, rest_Q, self.above_T.index_select(0, rest_Q))
        return rest_Q


def _ends(code_BE: Tensor, pixels: int, width: int) -> Tensor:
    """Return the two pixels of each edge in the union, and behind the last edge the number of all pixels."""
    batch, num_edges = code_BE.shape
    row_B1 = torch.arange(batch, device=code_BE.device)[:, None]
    across_BE = code_BE >= pixels
    end_2A = row_B1.new_full((2, batch * num_edges + 1), batch * pixels)
    head_BE = end_2A[0, :-1].view_as(code_BE)
    torch.add(code_BE + row_B1 * pixels, across_BE, alpha=-pixels, out=head_BE)
    torch.add(head_BE, torch.where(across_BE, 1, width), out=end_2A[1, :-1].view_as(code_BE))
    return end_2A


def _choose(end_2A: Tensor, own_P: Tensor, num_places: int) -> tuple[Tensor, Tensor]:
    """Return the first edge at each component, and the component at its other end.

    A component without an edge gets the last edge, which stands for none, and names itself.
    """
    none = end_2A.shape[1] - 1
    best_V = torch.full((num_places + 1,), none, device=end_2A.device)
    for end_A in end_2A:
        best_V.scatter_reduce_(0, end_A, own_P[: none + 1], "amin")
    best_V, own_V = best_V[:-1], own_P[:num_places]
    other_V = end_2A[0].index_select(0, best_V).add_(end_2A[1].index_select(0, best_V)).sub_(own_V)
    return best_V, torch.where(best_V < none, other_V, own_V)


def _lay_out(rounds: _Rounds, rest_BE: Tensor, by_rest_BE: Tensor, order_BE: Tensor) -> Hierarchy:
    """Give every cluster its run of places.

    Args:
        rounds: The contraction.
        rest_BE: Resting component of each cluster; clusters are numbered in this order, chain after chain.
        by_rest_BE: Rank of each cluster's edge.
        order_BE: Position in the tree's list of the edge of each rank.
    """
    batch, num_edges = rest_BE.shape
    pixels, none = num_edges + 1, batch * num_edges
    own_P = torch.arange(batch * pixels, dtype=torch.int32, device=rest_BE.device)
    row_B1 = own_P[:batch, None] * num_edges
    cluster_Q = own_P.new_full((none + 1,), none)
    cluster_Q.scatter_(0, (by_rest_BE + row_B1).view(-1), own_P[:none])
    joined_T = cluster_Q.index_select(0, rounds.exit_T)
    chain_T = pad(rest_BE.view(-1), (0, 1), value=rounds.start[-1]).index_select(0, joined_T)
    size_T = _sizes(rounds, chain_T, batch * pixels)
    hung_Q = own_P.new_zeros(none + 1).index_add_(0, joined_T, size_T[:-1])
    hung_BE = hung_Q[:-1].view_as(rest_BE)
    through_BE = hung_BE.cumsum(dim=1, dtype=torch.int32)
    head_BE = torch.searchsorted(rest_BE, rest_BE)
    size_BE = through_BE - (through_BE - hung_BE).gather(1, head_BE)
    end_Q = pad(size_BE.view(-1), (0, 1))
    back_T = torch.where(rounds.leads_T, size_T[:-1], hung_Q.index_select(0, joined_T))
    inside_T = torch.where(joined_T < none, end_Q.index_select(0, joined_T) - back_T, 0)
    first_T = _places(rounds, chain_T, inside_T)
    first_BE = first_T.index_select(0, rest_BE.view(-1)).view_as(rest_BE)
    place_BN = first_T[: batch * pixels].view(batch, pixels).long()
    pixel_BN = own_P.new_empty(batch, pixels).scatter_(1, place_BN, own_P[:pixels].expand(batch, -1))
    joined_BN = joined_T[: batch * pixels].view(batch, pixels) - row_B1
    return Hierarchy(
        order_BE=order_BE.gather(1, by_rest_BE),
        pixel_BN=pixel_BN,
        leaf_parent_BN=torch.empty_like(pixel_BN).scatter_(1, place_BN, joined_BN),
        parent_BE=_parents(rest_BE, joined_T, row_B1),
        first_BE=first_BE,
        last_BE=first_BE + size_BE - 1,
    )


def _parents(rest_BE: Tensor, joined_T: Tensor, row_B1: Tensor) -> Tensor:
    """Return the next cluster of the chain; after the last one, the cluster that joins the chain."""
    batch, num_edges = rest_BE.shape
    next_BE = joined_T.index_select(0, rest_BE.view(-1)).view_as(rest_BE)
    parent_BE = (next_BE - row_B1).masked_fill_(next_BE == batch * num_edges, -1)
    goes_on_BE = rest_BE[:, 1:] == rest_BE[:, :-1]
    own_E = torch.arange(1, num_edges, dtype=torch.int32, device=rest_BE.device)
    parent_BE[:, :-1] = torch.where(goes_on_BE, own_E, parent_BE[:, :-1])
    return parent_BE


def _sizes(rounds: _Rounds, chain_T: Tensor, num_leaves: int) -> Tensor:
    """Return the number of pixels of each thing, and one more place for what is joined to nothing."""
    size_T = chain_T.new_zeros(rounds.start[-1] + 1)
    size_T[:num_leaves] = 1
    for begin, end in zip(rounds.start[:-2], rounds.start[1:-1], strict=True):
        size_T.index_add_(0, chain_T[begin:end], size_T[begin:end].clone())
    return size_T


def _places(rounds: _Rounds, chain_T: Tensor, inside_T: Tensor) -> Tensor:
    """Return the first place of each thing from its place inside the chain that joins it."""
    first_T = chain_T.new_zeros(rounds.start[-1] + 1)
    for begin, end in zip(rounds.start[-3::-1], rounds.start[-2:0:-1], strict=True):
        torch.add(inside_T[begin:end], first_T.index_select(0, chain_T[begin:end]), out=first_T[begin:end])
    return first_T
