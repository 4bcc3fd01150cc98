"""Averages over trees on the CPU: compiled loops, shared out over threads.

The fields of one tree share its affinities and row sums: the first one is averaged together with a field of
ones, the others four at a time. Scratch memory belongs to a thread, not to a tree.

Shape suffixes:
    B = trees   R = rows: fields, each on one tree   N = H * W pixels   E = N - 1 tree edges
    P = 2 N - 1 nodes: pixels, then merges   X = blocks of four rows
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.affinity.fast import machine, sums, trees, workers
from models.affinity.fast.compiled import Forest
from models.affinity.fast.memory import allot, scratch

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[Any]


class Averages(NamedTuple):
    """Weighted means, and what a backward pass needs."""

    mean_RN: Tensor
    total_BN: Tensor
    """Row sums of the affinity matrices, float64."""


def average(forest: Forest, rate: float, value_RN: Tensor, bounds_B1: Longs, *, keep: bool) -> Averages:
    """Average fields over their trees.

    Args:
        forest: B trees.
        rate: The affinity of a merge is ``exp(-weight * rate)``.
        value_RN: Fields, contiguous, float32 or float64; those of one tree are neighbours.
        bounds_B1: Tree b has the rows ``bounds_B1[b]`` to ``bounds_B1[b + 1] - 1``.
        keep: Whether the row sums are wanted; else they may come back without pixels.
    """
    batch, num_edges = forest.weight_BE.shape
    many = bool((np.diff(bounds_B1) > 1).any())
    kind = np.float32 if value_RN.dtype == torch.float32 else np.float64
    # Each in a block of its own: the means outlive the rest, and would keep it.
    (mean_RN,) = allot((value_RN.shape, kind))
    (total_BN,) = allot(((batch, num_edges + 1 if keep or many else 0), np.float64))
    (affinity_BE,) = allot(((batch, num_edges if many else 0), np.float64))
    arrays = (forest.parent_BP.numpy(), affinity_BE, total_BN, value_RN.numpy(), mean_RN)
    weight = forest.weight_BE.numpy()
    workers.run(_average_first, batch, weight, rate, bounds_B1, *arrays)
    first_X, tree_X = _blocks(bounds_B1)
    workers.run(_average_blocks, len(first_X), first_X, tree_X, *arrays)
    means = torch.from_numpy(mean_RN)
    if value_RN.dtype == torch.float64:  # rounding leaves a mean up to 1e-15 outside of what it averages
        means.clamp_(*value_RN.aminmax(dim=1, keepdim=True))
    return Averages(means, torch.from_numpy(total_BN))


def average_reweighted(
    edge_BE: Tensor, weight_RE: Tensor, image_R: Tensor, width: int, rate: float, value_RN: Tensor
) -> Tensor:
    """Average each field over a tree with weights of its own, keeping nothing in between.

    Args:
        edge_BE: Codes of the trees, int32.
        weight_RE: Weights in the order of ``edge_BE``, float32, contiguous.
        image_R: Which tree each row is for, int64.
        width: Columns of the images.
        rate: The affinity of a merge is ``exp(-weight * rate)``.
        value_RN: Fields, float32, contiguous.

    Returns:
        The means, float32, shape (R, N): those of ``average`` over ``regrow``, to the last bit.
    """
    mean_RN = torch.from_numpy(allot((value_RN.shape, np.float32))[0])
    arrays = (tensor.numpy() for tensor in (edge_BE, weight_RE, image_R, value_RN, mean_RN))
    workers.run(_average_reweighted, len(value_RN), *arrays, width, rate)
    return mean_RN


def average_gradient(
    forest: Forest, rate: float, averages: Averages, value_RN: Tensor, slope_RN: Tensor, bounds_B1: Longs
) -> tuple[Tensor, Tensor]:
    """Differentiate ``average``.

    Args:
        forest: As there.
        rate: As there.
        averages: What it returned, row sums kept.
        value_RN: As there.
        slope_RN: Derivative of the loss with respect to the means.
        bounds_B1: As there.

    Returns:
        Derivatives with respect to the fields (float64, (R, N)) and the affinities of the merges (float64,
        (B, E)).
    """
    rows_B = torch.from_numpy(np.diff(bounds_B1))
    slope = slope_RN.double() / averages.total_BN.repeat_interleave(rows_B, dim=0)
    gradient_RN, affinity_BE = (
        torch.empty_like(slope),
        torch.zeros_like(forest.weight_BE, dtype=torch.float64),
    )
    arrays = (forest.parent_BP, forest.weight_BE, slope, value_RN, averages.mean_RN, gradient_RN, affinity_BE)
    fixed = (rate, bounds_B1, *(tensor.numpy() for tensor in arrays))
    workers.run(_differentiate, len(rows_B), *fixed)
    return gradient_RN, affinity_BE


def _blocks(bounds_B1: Longs) -> tuple[Longs, Longs]:
    """List blocks of four neighbouring rows of one tree that cover all rows but the first of each tree.

    The last block of a tree may overlap the one before; trees of fewer than four rows have none.
    """
    first, tree = [], []
    for image, (begin, end) in enumerate(zip(bounds_B1[:-1].tolist(), bounds_B1[1:].tolist(), strict=True)):
        if end - begin >= 4:
            starts = [min(row, end - 4) for row in range(begin + 1, end, 4)]
            first += starts
            tree += [image] * len(starts)
    return np.array(first, np.int64), np.array(tree, np.int64)


def _average_first(
    weight_BE: Floats,
    inverse: float,
    bounds_B1: Longs,
    parent_BP: Ints,
    affinity_BE: Doubles,
    total_BN: Doubles,
    value_RN: Floats,
    mean_RN: Floats,
    begin: int,
    end: int,
) -> None:
    """Average the first row of some of the trees, and all rows of those that have no block of four."""
    num_edges = weight_BE.shape[1]
    spare_E, sums_E2 = scratch(((num_edges,), np.float64), ((num_edges, 2), np.float64))
    for tree in range(begin, end):
        first, last = bounds_B1[tree], bounds_B1[tree + 1]
        affinity_E = affinity_BE[tree] if affinity_BE.shape[1] == num_edges else spare_E
        machine.affinities(weight_BE[tree], inverse, affinity_E)
        if last - first >= 4:
            last = first + 1
        for row in range(first, last):
            sums.average_one(
                parent_BP[tree], affinity_E, value_RN[row], sums_E2, mean_RN[row], total_BN[tree]
            )


def _average_blocks(
    first_X: Longs,
    tree_X: Longs,
    parent_BP: Ints,
    affinity_BE: Doubles,
    total_BN: Doubles,
    value_RN: Floats,
    mean_RN: Floats,
    begin: int,
    end: int,
) -> None:
    """Average some of the blocks of four rows."""
    (sums_E4,) = scratch(((affinity_BE.shape[1], 4), np.float64))
    for block in range(begin, end):
        row, tree = first_X[block], tree_X[block]
        value_4N, mean_4N = value_RN[row : row + 4], mean_RN[row : row + 4]
        sums.average_four(parent_BP[tree], affinity_BE[tree], total_BN[tree], value_4N, mean_4N, sums_E4)


def _average_reweighted(
    edge_BE: Ints,
    weight_RE: Floats,
    image_R: Longs,
    value_RN: Floats,
    mean_RN: Floats,
    width: int,
    inverse: float,
    begin: int,
    end: int,
) -> None:
    """Average some of the fields."""
    num_pixels, num_edges = value_RN.shape[1], weight_RE.shape[1]
    key_E, spare_E, code_E, sorted_E, parent_P, link_N2, affinity_E, sums_E2, none = scratch(
        ((num_edges,), np.uint64),
        ((num_edges,), np.uint64),
        ((num_edges,), np.int32),
        ((num_edges,), np.float32),
        ((2 * num_pixels - 1,), np.int32),
        ((2 * num_pixels,), np.int32),
        ((num_edges,), np.float64),
        ((num_edges, 2), np.float64),
        ((0,), np.float64),
    )
    for row in range(begin, end):
        trees.pack_edges(weight_RE[row].view(np.uint32), edge_BE[image_R[row]], spare_E)
        trees.sort_keys(spare_E, key_E, num_edges)
        trees.merge_edges(key_E, num_edges, width, link_N2, parent_P)
        trees.unpack(key_E, code_E, sorted_E.view(np.uint32))
        machine.affinities(sorted_E, inverse, affinity_E)
        sums.average_one(parent_P, affinity_E, value_RN[row], sums_E2, mean_RN[row], none)


def _differentiate(
    inverse: float,
    bounds_B1: Longs,
    parent_BP: Ints,
    weight_BE: Floats,
    slope_RN: Doubles,
    value_RN: Floats,
    mean_RN: Floats,
    gradient_RN: Doubles,
    affinity_BE: Doubles,
    begin: int,
    end: int,
) -> None:
    """Differentiate the averages of some of the trees."""
    num_edges = weight_BE.shape[1]
    affinity_E, sums_E4 = scratch(((num_edges,), np.float64), ((num_edges, 4), np.float64))
    for tree in range(begin, end):
        machine.affinities(weight_BE[tree], inverse, affinity_E)
        for row in range(bounds_B1[tree], bounds_B1[tree + 1]):
            slope_N, value_N = slope_RN[row], value_RN[row]
            sums.spread_one(parent_BP[tree], affinity_E, slope_N, gradient_RN[row], sums_E4)
            sums.affinity_gradient(
                parent_BP[tree], slope_N, value_N, mean_RN[row], sums_E4, affinity_BE[tree]
            )
