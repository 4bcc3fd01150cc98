"""All pairs of pixels at once: the plain meaning of the tree affinities, for small images.

Letters:
    B = trees   N = pixels   E = N - 1 tree edges
"""

import torch
from torch import Tensor

from models.affinity.grid import edge_pixels

LARGEST = 4096
"""Pixels of an image up to which a matrix of all pairs is built: 128 MiB in float64."""


def bottleneck_affinity(
    edge_BE: Tensor, weight_BE: Tensor, affinity_BE: Tensor, size: tuple[int, int]
) -> Tensor:
    """Give every pair of pixels the affinity of the largest edge between them, and each pixel 1 for itself.

    Args:
        edge_BE: Codes of the tree edges.
        weight_BE: Their weights.
        affinity_BE: Their affinities. Differentiable.
        size: (height, width) of the images.

    Returns:
        Matrices of shape (B, N, N), float64.

    Raises:
        ValueError: If there are more than ``LARGEST`` pixels.
    """
    first_BE, second_BE = _pixels(edge_BE, size)
    num_pixels = edge_BE.shape[1] + 1
    matrices = []
    for first_E, second_E, weight_E, affinity_E in zip(
        first_BE, second_BE, weight_BE, affinity_BE, strict=True
    ):
        member_NN = torch.eye(num_pixels, dtype=torch.bool, device=edge_BE.device)
        edge_NN = torch.full((num_pixels, num_pixels), -1, device=edge_BE.device)
        for edge in weight_E.argsort(stable=True).tolist():
            left_N, right_N = member_NN[first_E[edge]].clone(), member_NN[second_E[edge]].clone()
            edge_NN[left_N[:, None] & right_N] = edge
            edge_NN[right_N[:, None] & left_N] = edge
            member_NN[left_N | right_N] = left_N | right_N
        one = affinity_E.new_ones(1)
        matrices.append(torch.cat((affinity_E, one)).double()[edge_NN])
    return torch.stack(matrices) if matrices else affinity_BE.new_zeros((0, num_pixels, num_pixels)).double()


def path_affinity(edge_BE: Tensor, affinity_BE: Tensor, size: tuple[int, int]) -> Tensor:
    """Give every pair of pixels the product of the affinities of all edges between them, 1 for none.

    Arguments, result and errors as for ``bottleneck_affinity``.
    """
    first_BE, second_BE = _pixels(edge_BE, size)
    num_pixels = edge_BE.shape[1] + 1
    matrices = []
    for first_E, second_E, affinity_E in zip(first_BE, second_BE, affinity_BE.double(), strict=True):
        member_NN = torch.eye(num_pixels, dtype=torch.bool, device=edge_BE.device)
        matrix_NN = torch.eye(num_pixels, dtype=torch.float64, device=edge_BE.device)
        for edge, (first, second) in enumerate(zip(first_E.tolist(), second_E.tolist(), strict=True)):
            left_N, right_N = member_NN[first].clone(), member_NN[second].clone()
            across_NN = matrix_NN[first][:, None] * affinity_E[edge] * matrix_NN[second]
            across_NN = torch.where(left_N[:, None] & right_N, across_NN, 0.0)
            matrix_NN = matrix_NN + across_NN + across_NN.T
            member_NN[left_N | right_N] = left_N | right_N
        matrices.append(matrix_NN)
    return torch.stack(matrices) if matrices else affinity_BE.new_zeros((0, num_pixels, num_pixels)).double()


def _pixels(edge_BE: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Decode edges, unless there are too many."""
    if size[0] * size[1] > LARGEST:
        raise ValueError(
            f"backend 'reference' takes images of at most {LARGEST} pixels, got {size[0]}x{size[1]}: it "
            "holds a matrix of all pairs. Pass backend='auto'."
        )
    return edge_pixels(edge_BE, *size)
