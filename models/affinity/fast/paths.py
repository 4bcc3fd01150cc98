"""Products of affinities along tree paths, compiled: one sweep from the leaves to the root and one back.

With the tree hung from pixel 0 and a_i the affinity between pixel i and its parent,

    up_i = x_i + sum over children c of a_c up_c,      all_i = up_i + a_i (all_parent - a_i up_i)

where ``all`` is the product with the matrix of path products, whose diagonal is one.

Letters:
    B = trees   R = fields   N = pixels   E = N - 1 tree edges
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from models.affinity.fast import machine, workers

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[Any]


def average(
    edge_BE: Tensor, weight_BE: Tensor, sigma: float, value_RN: Tensor, bounds_B1: Longs, width: int
) -> tuple[Tensor, Tensor]:
    """Average fields over their trees.

    Args:
        edge_BE: Codes of the tree edges, int32.
        weight_BE: Their weights; the affinity is ``exp(-weight / sigma)``.
        sigma: Bandwidth.
        value_RN: Fields, float32 or float64, contiguous; those of one tree are neighbours.
        bounds_B1: Tree b has the rows ``bounds_B1[b]`` to ``bounds_B1[b + 1] - 1``.
        width: Columns of the images.

    Returns:
        Means, shape and type of ``value_RN``, and the row sums, float64, shape (B, N).
    """
    mean_RN = torch.empty_like(value_RN)
    total_BN = torch.empty((len(edge_BE), value_RN.shape[1]), dtype=torch.float64)
    arrays = tuple(tensor.numpy() for tensor in (edge_BE, weight_BE, value_RN, mean_RN, total_BN))
    fixed = (*arrays, 1.0 / sigma, bounds_B1, width)
    workers.run(_average, len(edge_BE), *fixed)
    return mean_RN, total_BN


def average_gradient(
    edge_BE: Tensor,
    weight_BE: Tensor,
    sigma: float,
    fields: tuple[Tensor, Tensor, Tensor],
    bounds_B1: Longs,
    width: int,
) -> tuple[Tensor, Tensor]:
    """Differentiate ``average``.

    Args:
        edge_BE: As there.
        weight_BE: As there.
        sigma: As there.
        fields: The values, their means, and the derivative of the loss with respect to the means divided by
            the row sums (float64).
        bounds_B1: As there.
        width: As there.

    Returns:
        Derivatives with respect to the values (float64, (R, N)) and the affinities of the edges (float64,
        (B, E)).
    """
    gradient_RN = torch.empty_like(fields[2])
    affinity_BE = torch.zeros_like(weight_BE, dtype=torch.float64)
    arrays = tuple(tensor.numpy() for tensor in (edge_BE, weight_BE, *fields, gradient_RN, affinity_BE))
    fixed = (*arrays, 1.0 / sigma, bounds_B1, width)
    workers.run(_differentiate, len(edge_BE), *fixed)
    return gradient_RN, affinity_BE


@njit(cache=True, nogil=True)
def hang(edge_E: Ints, width: int, order_N: Ints, parent_N: Ints, above_N: Ints) -> None:
    """Hang a tree from pixel 0.

    Args:
        edge_E: Codes of its edges.
        width: Columns of the image.
        order_N: Filled with the pixels, parents first.
        parent_N: Filled with the parent of each pixel, -1 for pixel 0.
        above_N: Filled with the place of the edge to the parent in ``edge_E``.
    """
    num_pixels = order_N.shape[0]
    below_N, right_N = np.full(num_pixels, -1, np.int32), np.full(num_pixels, -1, np.int32)
    for edge in range(edge_E.shape[0]):
        code = edge_E[edge]
        if code >= num_pixels:
            right_N[code - num_pixels] = edge
        else:
            below_N[code] = edge
    order_N[0], parent_N[0], above_N[0] = 0, -1, -1
    count = 1
    for place in range(num_pixels):
        pixel = order_N[place]
        for side in range(4):
            if side == 0:
                other, edge = pixel + width, below_N[pixel]
            elif side == 1:
                other, edge = pixel + 1, right_N[pixel]
            elif side == 2:
                other = pixel - width
                edge = below_N[other] if other >= 0 else np.int32(-1)
            else:
                other = pixel - 1
                edge = right_N[other] if other >= 0 else np.int32(-1)
            if edge >= 0 and other != parent_N[pixel]:
                order_N[count], parent_N[other], above_N[other] = other, pixel, edge
                count += 1


@njit(cache=True, nogil=True)
def _sweep(order_N: Ints, parent_N: Ints, affinity_N: Doubles, up_NK: Doubles, all_NK: Doubles) -> None:
    """Fill ``all_NK`` with the products; ``up_NK`` holds the fields and then the sums over branches."""
    num_pixels, fields = up_NK.shape
    for place in range(num_pixels - 1, 0, -1):
        pixel = order_N[place]
        parent, affinity = parent_N[pixel], affinity_N[pixel]
        for field in range(fields):
            up_NK[parent, field] += affinity * up_NK[pixel, field]
    for field in range(fields):
        all_NK[0, field] = up_NK[0, field]
    for place in range(1, num_pixels):
        pixel = order_N[place]
        parent, affinity = parent_N[pixel], affinity_N[pixel]
        for field in range(fields):
            own = up_NK[pixel, field]
            all_NK[pixel, field] = own + affinity * (all_NK[parent, field] - affinity * own)


@njit(cache=True, nogil=True)
def _affinity_of(weight_E: Floats, inverse: float, above_N: Ints, affinity_N: Doubles) -> None:
    """Fill ``affinity_N`` with the affinity between each pixel and its parent; zero at the root."""
    affinity_E = np.empty(weight_E.shape[0])
    machine.affinities(weight_E, inverse, affinity_E)
    affinity_N[0] = 0.0
    for pixel in range(1, above_N.shape[0]):
        affinity_N[pixel] = affinity_E[above_N[pixel]]


@njit(cache=True, nogil=True)
def _average(
    edge_BE: Ints,
    weight_BE: Floats,
    value_RN: Floats,
    mean_RN: Floats,
    total_BN: Doubles,
    inverse: float,
    bounds_B1: Longs,
    width: int,
    begin: int,
    end: int,
) -> None:
    """Average over some of the trees."""
    num_pixels = value_RN.shape[1]
    order_N, parent_N, above_N = (
        np.empty(num_pixels, np.int32),
        np.empty(num_pixels, np.int32),
        np.empty(num_pixels, np.int32),
    )
    affinity_N = np.empty(num_pixels)
    up_N2, all_N2 = np.empty((num_pixels, 2)), np.empty((num_pixels, 2))
    for tree in range(begin, end):
        if bounds_B1[tree] == bounds_B1[tree + 1]:
            continue
        hang(edge_BE[tree], width, order_N, parent_N, above_N)
        _affinity_of(weight_BE[tree], inverse, above_N, affinity_N)
        for row in range(bounds_B1[tree], bounds_B1[tree + 1]):
            up_N2[:, 0] = value_RN[row]
            up_N2[:, 1] = 1.0
            _sweep(order_N, parent_N, affinity_N, up_N2, all_N2)
            for pixel in range(num_pixels):
                total_BN[tree, pixel] = all_N2[pixel, 1]
                mean_RN[row, pixel] = all_N2[pixel, 0] / all_N2[pixel, 1]


@njit(cache=True, nogil=True)
def _differentiate(
    edge_BE: Ints,
    weight_BE: Floats,
    value_RN: Floats,
    mean_RN: Floats,
    slope_RN: Doubles,
    gradient_RN: Doubles,
    affinity_BE: Doubles,
    inverse: float,
    bounds_B1: Longs,
    width: int,
    begin: int,
    end: int,
) -> None:
    """Differentiate the averages over some of the trees.

    An edge between pixel i and its parent takes part in all paths between the branch of i and the rest.
    With ``up`` the sums over the branch and ``out`` those over the rest, seen from the parent, it is
    up_G out_S + up_S out_G - up_Q out_1 - up_1 out_Q for G = slope, S = value, Q = slope times mean.
    """
    num_pixels = value_RN.shape[1]
    order_N, parent_N, above_N = (
        np.empty(num_pixels, np.int32),
        np.empty(num_pixels, np.int32),
        np.empty(num_pixels, np.int32),
    )
    affinity_N = np.empty(num_pixels)
    up_N4, all_N4 = np.empty((num_pixels, 4)), np.empty((num_pixels, 4))
    out_4 = np.empty(4)
    for tree in range(begin, end):
        hang(edge_BE[tree], width, order_N, parent_N, above_N)
        _affinity_of(weight_BE[tree], inverse, above_N, affinity_N)
        for row in range(bounds_B1[tree], bounds_B1[tree + 1]):
            for pixel in range(num_pixels):
                up_N4[pixel, 0] = value_RN[row, pixel]
                up_N4[pixel, 1] = slope_RN[row, pixel]
                up_N4[pixel, 2] = slope_RN[row, pixel] * mean_RN[row, pixel]
                up_N4[pixel, 3] = 1.0
            _sweep(order_N, parent_N, affinity_N, up_N4, all_N4)
            gradient_RN[row] = all_N4[:, 1]
            for pixel in range(1, num_pixels):
                for field in range(4):
                    out_4[field] = all_N4[parent_N[pixel], field] - affinity_N[pixel] * up_N4[pixel, field]
                up_4 = up_N4[pixel]
                affinity_BE[tree, above_N[pixel]] += (
                    up_4[1] * out_4[0] + up_4[0] * out_4[1] - up_4[2] * out_4[3] - up_4[3] * out_4[2]
                )
