"""Trees on the CPU: compiled loops, shared out over threads.

Everything here takes and gives CPU tensors. Scratch memory belongs to a thread, not to a tree.

Shape suffixes:
    B = trees   R = rows: fields, each on one tree   C = channels   H = height   W = width   N = H * W pixels
    E = N - 1 tree edges   P = 2 N - 1 nodes: pixels, then merges
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from models.affinity.fast import trees, workers
from models.affinity.fast.memory import allot, scratch

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[Any]


class Forest(NamedTuple):
    """Weighted trees, edges in the order in which they merge."""

    edge_BE: Tensor
    """Codes, int32."""
    weight_BE: Tensor
    """Not decreasing; float32 or float64."""
    parent_BP: Tensor
    """Merge above each pixel and each merge, int32; -1 above the last."""


def grow(guidance_BCHW: Tensor) -> Forest:
    """Find the minimum spanning trees under the order (weight, code).

    Args:
        guidance_BCHW: float32 or float64, contiguous. Where it is not finite, the last weight of the tree is
            not finite either.
    """
    batch, _, height, width = guidance_BCHW.shape
    forest = _empty_forest(batch, height * width, guidance_BCHW.dtype)
    arrays = tuple(tensor.numpy() for tensor in (guidance_BCHW, *forest))
    piece = _grow_float32 if guidance_BCHW.dtype == torch.float32 else _grow_float64
    workers.run(piece, batch, *arrays)
    return forest


def regrow(edge_BE: Tensor, weight_RE: Tensor, image_R: Tensor, width: int) -> Forest:
    """Order the edges of given trees by other weights.

    Args:
        edge_BE: Codes of the trees, int32.
        weight_RE: Weights in the order of ``edge_BE``, float32 or float64, contiguous.
        image_R: Which tree each row of weights belongs to, int64.
        width: Columns of the images.
    """
    rows, num_edges = weight_RE.shape
    forest = _empty_forest(rows, num_edges + 1, weight_RE.dtype)
    arrays = tuple(tensor.numpy() for tensor in (edge_BE, weight_RE, image_R, *forest))
    piece = _regrow_float32 if weight_RE.dtype == torch.float32 else _regrow_float64
    workers.run(piece, rows, *arrays, width)
    return forest


def edge_weights(guidance_RCN: Tensor, edge_BE: Tensor, image_R: Tensor, width: int) -> Tensor:
    """Measure squared differences along the edges of trees; shape (R, E), type of the guidance."""
    dtype = np.float32 if guidance_RCN.dtype == torch.float32 else np.float64
    (weight_RE,) = allot(((len(guidance_RCN), edge_BE.shape[1]), dtype))
    out = torch.from_numpy(weight_RE)
    arrays = tuple(tensor.numpy() for tensor in (guidance_RCN, edge_BE, image_R, out))
    workers.run(_edge_weights, len(guidance_RCN), *arrays, width)
    return out


def _empty_forest(trees_in_all: int, num_pixels: int, dtype: torch.dtype) -> Forest:
    """Make room for trees."""
    kind = np.float32 if dtype == torch.float32 else np.float64
    arrays = allot(
        ((trees_in_all, num_pixels - 1), np.int32),
        ((trees_in_all, num_pixels - 1), kind),
        ((trees_in_all, 2 * num_pixels - 1), np.int32),
    )
    return Forest(*(torch.from_numpy(array) for array in arrays))


def _grow_float32(
    guidance_BCHW: Floats, edge_BE: Ints, weight_BE: Floats, parent_BP: Ints, begin: int, end: int
) -> None:
    """Grow some of the trees."""
    room = trees.make_room(*guidance_BCHW.shape[2:])
    for image in range(begin, end):
        trees.grow(guidance_BCHW[image], room, edge_BE[image], weight_BE[image], parent_BP[image])


def _grow_float64(
    guidance_BCHW: Floats, edge_BE: Ints, weight_BE: Floats, parent_BP: Ints, begin: int, end: int
) -> None:
    """Grow some of the trees; weights of 64 bits leave no room for the code, so NumPy sorts them."""
    _, height, width = guidance_BCHW.shape[1:]
    pixel_HW = np.arange(height * width).reshape(height, width)
    code_M = np.concatenate((pixel_HW[:-1].ravel(), height * width + pixel_HW[:, :-1].ravel()))
    below_HW, right_HW = np.empty((height, width)), np.empty((height, width))
    link_N2 = np.empty(2 * height * width, np.int32)
    for image in range(begin, end):
        trees.grid_weights(guidance_BCHW[image], below_HW, right_HW)
        weight_M = np.concatenate((below_HW[:-1].ravel(), right_HW[:, :-1].ravel()))
        order_M = np.argsort(weight_M, kind="stable")
        key_M = code_M[order_M].astype(np.uint64)
        trees.merge_edges(key_M, len(key_M), width, link_N2, parent_BP[image])
        edge_BE[image] = key_M[: height * width - 1]
        weight_BE[image] = np.concatenate((below_HW.ravel(), right_HW.ravel()))[edge_BE[image]]


def _regrow_float32(
    edge_BE: Ints,
    weight_RE: Floats,
    image_R: Longs,
    out_edge_RE: Ints,
    out_weight_RE: Floats,
    parent_RP: Ints,
    width: int,
    begin: int,
    end: int,
) -> None:
    """Order some of the trees."""
    num_edges = edge_BE.shape[1]
    key_E, spare_E, link_N2 = scratch(
        ((num_edges,), np.uint64), ((num_edges,), np.uint64), ((2 * num_edges + 2,), np.int32)
    )
    for row in range(begin, end):
        trees.pack_edges(weight_RE[row].view(np.uint32), edge_BE[image_R[row]], spare_E)
        trees.sort_keys(spare_E, key_E, num_edges)
        trees.merge_edges(key_E, num_edges, width, link_N2, parent_RP[row])
        trees.unpack(key_E, out_edge_RE[row], out_weight_RE[row].view(np.uint32))


def _regrow_float64(
    edge_BE: Ints,
    weight_RE: Floats,
    image_R: Longs,
    out_edge_RE: Ints,
    out_weight_RE: Floats,
    parent_RP: Ints,
    width: int,
    begin: int,
    end: int,
) -> None:
    """Order some of the trees."""
    link_N2 = np.empty(2 * edge_BE.shape[1] + 2, np.int32)
    for row in range(begin, end):
        order_E = np.argsort(weight_RE[row], kind="stable")
        key_E = edge_BE[image_R[row]][order_E].astype(np.uint64)
        trees.merge_edges(key_E, len(key_E), width, link_N2, parent_RP[row])
        out_edge_RE[row], out_weight_RE[row] = key_E, weight_RE[row][order_E]


@njit(cache=True, nogil=True)
def _edge_weights(
    guidance_RCN: Floats, edge_BE: Ints, image_R: Longs, out_RE: Floats, width: int, begin: int, end: int
) -> None:
    """Measure the edges of some of the trees."""
    _, channels, num_pixels = guidance_RCN.shape
    pixels = np.uint32(num_pixels)
    for row in range(begin, end):
        edge_E, out_E = edge_BE[image_R[row]], out_RE[row]
        out_E[:] = 0.0
        for c in range(channels):
            value_N = guidance_RCN[row, c]
            for edge in range(edge_E.shape[0]):
                code = np.uint32(edge_E[edge])
                first = np.uint64(code - (pixels if code >= pixels else np.uint32(0)))
                second = first + (np.uint64(1) if code >= pixels else np.uint64(width))
                step = value_N[second] - value_N[first]
                out_E[edge] += step * step
