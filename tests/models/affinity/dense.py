"""Affinity propagation said slowly: whole matrices straight from the formulas, and small scenes to try it on.

Shape suffixes:
    B = images   R = regions   C = channels   H = height   W = width   N = H * W pixels, row-major   E = edges
"""

from pathlib import Path

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from models.affinity.backends import Backend
from models.affinity.spanning_tree import Structure

GOLDEN = Path(__file__).resolve().parents[2] / "golden"

fixed = settings(max_examples=40, derandomize=True, deadline=None)

BACKENDS: tuple[Backend, ...] = ("reference", "cpu", "torch")
SIZES = [(1, 1), (1, 7), (6, 1), (5, 7), (16, 13)]
KINDS = {"random": 0, "constant": 1, "ties": 3, "8 bits": 256}

# The worked example: an image of 3x4 integers, and a mask of three pixels.
IMAGE_1CHW = torch.tensor([[0, 2, 10, 12], [1, 4, 11, 18], [0, 6, 7, 20]], dtype=torch.float64)[None, None]
MASK_1HW = torch.tensor([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=torch.float64)[None]
BOX_1HW = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64).expand(1, 3, 4)


def golden(name: str) -> dict[str, Tensor]:
    """Read one file of tests/golden; integers become int64."""
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        tensors = {key: torch.from_numpy(array) for key, array in arrays.items()}
    return {key: value.long() if value.dtype == torch.int32 else value for key, value in tensors.items()}


def field(seed: int, channels: int, height: int, width: int, levels: int) -> Tensor:
    """Draw values in [0, 1], float64; with few ``levels`` many are equal, with one all, with none no two."""
    generator = torch.Generator().manual_seed(seed)
    shape = (channels, height, width)
    if levels == 0:
        return torch.rand(shape, generator=generator, dtype=torch.float64)
    return torch.randint(levels, shape, generator=generator).double() / max(1, levels - 1)


def fields(max_side: int = 6, levels: tuple[int, ...] = (0, 1, 2, 4, 256)) -> st.SearchStrategy[Tensor]:
    """Guidances of up to three channels, shape (C, H, W), some with heavy ties."""
    side = st.integers(1, max_side)
    return st.builds(field, st.integers(0, 2**31), st.integers(1, 3), side, side, st.sampled_from(levels))


def like(guidance_CHW: Tensor, seed: int = 1, num: int = 1) -> Tensor:
    """Draw ``num`` masks on the pixels of a guidance; exact zeros and ones are among the values."""
    probability = field(seed, num, *guidance_CHW.shape[1:], 0)
    return (probability * 1.5 - 0.25).clamp(0.0, 1.0)


def neighbours(height: int, width: int) -> list[tuple[int, int]]:
    """List 4-connected pairs in any order."""
    pairs = []
    for row in range(height):
        for column in range(width):
            if column + 1 < width:
                pairs.append((row * width + column, row * width + column + 1))
            if row + 1 < height:
                pairs.append((row * width + column, (row + 1) * width + column))
    return pairs


def weights_along(edges: list[tuple[int, int]], guidance_CHW: Tensor) -> list[float]:
    """Squared colour distance of the ends of each edge."""
    colour_CN = guidance_CHW.double().flatten(1)
    return [float(((colour_CN[:, u] - colour_CN[:, v]) ** 2).sum()) for u, v in edges]


def bottlenecks(edges: list[tuple[int, int]], weights: list[float], num_pixels: int) -> np.ndarray:
    """Smallest, over all paths, of the largest weight on the path, by Floyd and Warshall's triple loop."""
    distance_NN = np.full((num_pixels, num_pixels), np.inf)
    np.fill_diagonal(distance_NN, 0.0)
    for (u, v), weight in zip(edges, weights, strict=True):
        distance_NN[u, v] = distance_NN[v, u] = min(weight, distance_NN[u, v])
    for via in range(num_pixels):
        detour_NN = np.maximum(distance_NN[:, via, None], distance_NN[None, via, :])
        np.minimum(distance_NN, detour_NN, out=distance_NN)
    return distance_NN


def grid_bottlenecks(guidance_CHW: Tensor) -> np.ndarray:
    """Bottleneck distances over the whole grid: no spanning tree is involved."""
    edges = neighbours(*guidance_CHW.shape[1:])
    return bottlenecks(edges, weights_along(edges, guidance_CHW), guidance_CHW[0].numel())


def tree_bottlenecks(edge_E2: Tensor, guidance_CHW: Tensor) -> np.ndarray:
    """Bottleneck distances along a given tree."""
    edges = [(u, v) for u, v in edge_E2.tolist()]
    return bottlenecks(edges, weights_along(edges, guidance_CHW), guidance_CHW[0].numel())


def average(distance_NN: np.ndarray, zeta: float, value_HW: Tensor) -> Tensor:
    """Row-normalised exp(-distance / zeta**2) times the field, float64."""
    affinity_NN = torch.from_numpy(np.exp(-distance_NN / zeta**2))
    mean_N = affinity_NN @ value_HW.double().flatten() / affinity_NN.sum(dim=1)
    return mean_N.reshape(value_HW.shape)


def averages(distance_BNN: list[np.ndarray], zeta: float, x_RCHW: Tensor, image_R: Tensor) -> Tensor:
    """``average`` for every channel of every region."""
    return torch.stack(
        [
            torch.stack([average(distance_BNN[image], zeta, value_HW) for value_HW in x_CHW])
            for x_CHW, image in zip(x_RCHW, image_R.tolist(), strict=True)
        ]
    )


def path_sums(edges: list[tuple[int, int]], weights: list[float], num_pixels: int) -> np.ndarray:
    """Sum of the weights along the one path of a tree between every two pixels."""
    distance_NN = np.full((num_pixels, num_pixels), np.inf)
    np.fill_diagonal(distance_NN, 0.0)
    for (u, v), weight in zip(edges, weights, strict=True):
        distance_NN[u, v] = distance_NN[v, u] = weight
    for via in range(num_pixels):
        np.minimum(distance_NN, distance_NN[:, via, None] + distance_NN[None, via, :], out=distance_NN)
    return distance_NN


def images(seed: int, num: int, channels: int, size: tuple[int, int], levels: int) -> Tensor:
    """Several guidances, shape (B, C, H, W), float64."""
    return torch.stack([field(seed + image, channels, *size, levels) for image in range(num)])


def pairs(code_E: Tensor, width: int) -> list[tuple[int, int]]:
    """Decode the edges of a tree, one by one."""
    num_pixels = len(code_E) + 1
    return [
        (code, code + width) if code < num_pixels else (code - num_pixels, code - num_pixels + 1)
        for code in code_E.tolist()
    ]


def slow_merges(edges: list[tuple[int, int]], num_pixels: int) -> tuple[list[int], list[int]]:
    """Join clusters, kept as lists, along edges in the given order.

    Returns:
        The merge above each pixel and each merge, -1 for none, and the places of the edges that merged
        something.
    """
    cluster = {pixel: (pixel, [pixel]) for pixel in range(num_pixels)}
    parent, kept = [-1] * (2 * num_pixels - 1), []
    for place, (u, v) in enumerate(edges):
        (one, first), (other, second) = cluster[u], cluster[v]
        if one != other:
            parent[one] = parent[other] = len(kept)
            joined = (num_pixels + len(kept), first + second)
            cluster.update(dict.fromkeys(joined[1], joined))
            kept.append(place)
    return parent, kept


def codes(edge_E2: Tensor, size: tuple[int, int]) -> Tensor:
    """Code pairs of neighbours, sorted, int32."""
    num_pixels = size[0] * size[1]
    both = [sorted(edge) for edge in edge_E2.tolist()]
    across = [(v - u == 1) and (u // size[1] == v // size[1]) for u, v in both]
    found = [num_pixels * right + u for (u, _), right in zip(both, across, strict=True)]
    return torch.tensor(sorted(found), dtype=torch.int32)


def structure_on(
    edge_BE: Tensor, weight_BE: Tensor, size: tuple[int, int], backend: Backend = "cpu"
) -> Structure:
    """Put weights on given trees, whose codes increase."""
    bare = Structure(
        edge_BE=edge_BE, weight_BE=weight_BE, height=size[0], width=size[1], backend=backend, merges=None
    )
    return bare.reweighted(weight_BE, torch.arange(len(edge_BE)))


def window_matrix(guidance_CHW: Tensor, kernel_size: int, zeta: float) -> Tensor:
    """Row-normalised colour affinities of all pairs of pixels that share a window, shape (N, N)."""
    _, height, width = guidance_CHW.shape
    row_N, column_N = torch.arange(height).repeat_interleave(width), torch.arange(width).repeat(height)
    far_NN = torch.maximum((row_N[:, None] - row_N).abs(), (column_N[:, None] - column_N).abs())
    colour_CN = guidance_CHW.double().flatten(1)
    squared_NN = (colour_CN[:, :, None] - colour_CN[:, None, :]).square().sum(dim=0)
    affinity_NN = torch.exp(-squared_NN / zeta**2) * (far_NN <= kernel_size // 2)
    return affinity_NN / affinity_NN.sum(dim=1, keepdim=True)


def sweeps(matrix_NN: Tensor, iterations: int, inside_HW: Tensor, value_HW: Tensor) -> Tensor:
    """Multiply by the matrix and by the box, in turn."""
    inside_N = inside_HW.double().flatten()
    value_N = value_HW.double().flatten() * inside_N
    for _ in range(iterations):
        value_N = (matrix_NN @ value_N) * inside_N
    return value_N.reshape(value_HW.shape)
