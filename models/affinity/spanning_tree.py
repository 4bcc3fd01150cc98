"""The minimum spanning tree of an image, and the row of pixels that replaces it.

Paper: Li et al., "Label-efficient Segmentation via Affinity Propagation" (APro),
https://arxiv.org/abs/2310.10533, global affinity.
Differences: weights are exact float64 (the release adds one in float32 before it builds the tree, which makes
ties); the tree is found once per image and shared by all its regions (the release builds one per region).

Shape suffixes:
    B = images   C = channels   H = height   W = width   N = H * W pixels, row-major   E = N - 1 tree edges
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.affinity.fast import trees
from models.affinity.grid import check_guidance, edge_weights, grid_edges


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanningTree:
    """One spanning tree per image."""

    edge_BE2: Tensor
    """Pixel ids of the tree edges, int64."""
    height: int
    """Rows of the image."""
    width: int
    """Columns of the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """Bottleneck distances of one weighted tree per image, in a form that costs O(N) to apply.

    The bottleneck distance of two pixels is the largest junction between their places in the row.
    """

    place_BN: Tensor
    """Pixel at each place of the row, int64."""
    junction_BE: Tensor
    """Weight between each place and the next, float64."""
    left_BE: Tensor
    """First place of the run that each junction joins, int64."""
    right_BE: Tensor
    """Last place of that run, int64."""
    parent_BE: Tensor
    """Junction that next joins that run to more, or -1, int64."""
    height: int
    """Rows of the image."""
    width: int
    """Columns of the image."""


def minimum_spanning_tree(guidance_BCHW: Tensor) -> SpanningTree:
    """Find the spanning tree that is smallest under the order (weight, edge number).

    Args:
        guidance_BCHW: Image with values in [0, 1], or any real field.

    Returns:
        The tree of each image, its edges smallest first; no tree for no image.

    Raises:
        ValueError: If the guidance is not four-dimensional, has no channel or pixel, or is not finite.
    """
    check_guidance(guidance_BCHW)
    batch, _, height, width = guidance_BCHW.shape
    edge_E2 = grid_edges(height, width)
    weight_BE = edge_weights(guidance_BCHW.cpu(), edge_E2.expand(batch, -1, -1)).numpy()
    edges, kept = edge_E2.numpy(), np.empty((batch, height * width - 1), np.int64)
    for image in range(batch):
        order_E = np.argsort(weight_BE[image], kind="stable")
        kept[image] = trees.spanning_edges(edges, order_E, height * width)
    return SpanningTree(edge_BE2=edge_E2[torch.from_numpy(kept)], height=height, width=width)


def structure_of(tree: SpanningTree, guidance_BCHW: Tensor) -> Structure:
    """Weigh the edges of a tree by a guidance, which need not be the one that made the tree.

    Args:
        tree: A spanning tree per image.
        guidance_BCHW: Field on the same pixels; squared differences along the edges become the weights.

    Returns:
        The structure that ``GlobalPropagation`` applies.

    Raises:
        ValueError: If the sizes differ.
    """
    if guidance_BCHW.shape[-2:] != (tree.height, tree.width) or len(guidance_BCHW) != len(tree.edge_BE2):
        raise ValueError(
            f"guidance_BCHW must match {len(tree.edge_BE2)} trees of {tree.height}x{tree.width} pixels, "
            f"got {tuple(guidance_BCHW.shape)}."
        )
    edges = tree.edge_BE2.numpy()
    weights = edge_weights(guidance_BCHW.cpu(), tree.edge_BE2).numpy()
    batch, num_edges = weights.shape
    place, junction = np.empty((batch, num_edges + 1), np.int64), np.empty((batch, num_edges))
    left, right, parent = (np.empty((batch, num_edges), np.int64) for _ in range(3))
    for image in range(batch):
        order_E = np.argsort(weights[image], kind="stable")
        trees.linear_order(edges[image], weights[image], order_E, place[image], junction[image])
        trees.junction_spans(junction[image], left[image], right[image], parent[image])
    return Structure(
        place_BN=torch.from_numpy(place),
        junction_BE=torch.from_numpy(junction),
        left_BE=torch.from_numpy(left),
        right_BE=torch.from_numpy(right),
        parent_BE=torch.from_numpy(parent),
        height=tree.height,
        width=tree.width,
    )
