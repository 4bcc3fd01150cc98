"""Spanning trees, clusters and paths said slowly, and a count of the passes over memory.

Letters:
    M = grid edges   E = tree edges   N = pixels
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SIZES = [(1, 2), (2, 1), (1, 7), (9, 1), (2, 2), (3, 4), (5, 7), (16, 13)]
KINDS = ["distinct", "ties", "constant", "increasing", "decreasing", "zigzag"]


def draw(kind: str, batch: int, count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Weights of one kind, shape (batch, count)."""
    generator = torch.Generator().manual_seed(7)
    ramp = torch.arange(count, dtype=dtype).expand(batch, -1)
    kinds = {
        "distinct": torch.rand(batch, count, generator=generator, dtype=dtype),
        "ties": torch.randint(3, (batch, count), generator=generator).to(dtype),
        "constant": torch.ones(batch, count, dtype=dtype),
        "increasing": ramp.contiguous(),
        "decreasing": count - ramp,
        "zigzag": torch.where(ramp % 2 == 0, ramp, count + ramp),
    }
    return kinds[kind]


def num_grid_edges(height: int, width: int) -> int:
    return (height - 1) * width + height * (width - 1)


def grid_codes(height: int, width: int) -> list[int]:
    """Codes of all edges of the grid: every edge downwards, row by row, then every edge to the right."""
    down = [row * width + column for row in range(height - 1) for column in range(width)]
    right = [row * width + column for row in range(height) for column in range(width - 1)]
    return down + [height * width + pixel for pixel in right]


def ends(code: int, height: int, width: int) -> tuple[int, int]:
    """The two pixels of an edge."""
    pixels = height * width
    return (code, code + width) if code < pixels else (code - pixels, code - pixels + 1)


def kruskal(weights: Sequence[float], height: int, width: int) -> list[int]:
    """Codes of the minimum spanning tree under the order (weight, code), increasing."""
    component, kept = list(range(height * width)), []
    for _, code in sorted(zip(weights, grid_codes(height, width), strict=True)):
        first, second = (component[pixel] for pixel in ends(code, height, width))
        if first != second:
            component = [first if label == second else label for label in component]
            kept.append(code)
    return sorted(kept)


def random_trees(batch: int, height: int, width: int) -> Tensor:
    """Spanning trees of a grid with random weights, one per row, int32."""
    weights = draw("distinct", batch, num_grid_edges(height, width)).tolist()
    return torch.tensor([kruskal(row, height, width) for row in weights], dtype=torch.int32)


def cluster_matrix(
    codes: list[int], weights: list[float], affinity_E: Tensor, height: int, width: int
) -> Tensor:
    """Affinity of the edge that first joins two pixels when edges are added from the smallest, float64."""
    clusters = {pixel: [pixel] for pixel in range(height * width)}
    matrix_NN = np.eye(height * width)
    order = sorted(range(len(codes)), key=lambda edge: (weights[edge], codes[edge]))
    for edge in order:
        first, second = (clusters[pixel] for pixel in ends(codes[edge], height, width))
        matrix_NN[np.ix_(first, second)] = float(affinity_E[edge])
        matrix_NN[np.ix_(second, first)] = float(affinity_E[edge])
        joined = first + second
        clusters.update(dict.fromkeys(joined, joined))
    return torch.from_numpy(matrix_NN)


def parents_by_search(
    codes: list[int], root: int, height: int, width: int
) -> tuple[list[int], list[int], list[int]]:
    """Parent and edge of every pixel (the root: itself and -1), and the pixels from the root down."""
    beside: list[list[tuple[int, int]]] = [[] for _ in range(height * width)]
    for edge, code in enumerate(codes):
        first, second = ends(code, height, width)
        beside[first].append((second, edge))
        beside[second].append((first, edge))
    parent, edge_to, seen = [-1] * (height * width), [-1] * (height * width), [root]
    parent[root] = root
    for pixel in seen:
        for other, edge in beside[pixel]:
            if parent[other] < 0:
                parent[other], edge_to[other] = pixel, edge
                seen.append(other)
    return parent, edge_to, seen


def path_matrix(codes: list[int], affinity_E: Tensor, height: int, width: int) -> Tensor:
    """Product of the affinities along the path between every two pixels, float64."""
    matrix_NN = torch.eye(height * width, dtype=torch.float64)
    for start in range(height * width):
        parent, edge_to, seen = parents_by_search(codes, start, height, width)
        for pixel in seen[1:]:
            matrix_NN[start, pixel] = matrix_NN[start, parent[pixel]] * affinity_E[edge_to[pixel]]
    return matrix_NN


class Passes(TorchDispatchMode):
    """Counts operations, and the bytes that each reads and writes once; views and allocations are free.

    A gather reads its index and as many elements as it writes. A scatter reads its index and its source, and
    reads and writes as many elements. A sort of 32-bit keys moves keys and 64-bit
    positions in four rounds of eight bits.
    """

    FREE = frozenset(
        (
            "view",
            "expand",
            "slice",
            "select",
            "transpose",
            "unsqueeze",
            "detach",
            "_unsafe_view",
            "alias",
            "split",
        )
    ) | {"empty", "new_empty", "empty_like"}

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name not in self.FREE:
            self.calls[name] += 1
            given = {key: value for key, value in (kwargs or {}).items() if key != "out"}
            self.bytes += self._moved(name, _tensors((args, given)), _tensors(result))
        return result

    def _moved(self, name: str, inputs: list[Tensor], results: list[Tensor]) -> int:
        written = sum(map(_num_bytes, results))
        if name in ("gather", "index_select"):
            return 2 * written + _num_bytes(inputs[1])
        if name.startswith(("scatter", "index_")):
            touched = 2 * int(np.prod(inputs[1].shape, dtype=np.int64)) * inputs[0].element_size()
            return sum(map(_num_bytes, inputs[1:])) + touched
        if name == "searchsorted":
            return written + _num_bytes(inputs[1])
        if name == "sort":
            return 4 * 2 * written
        return written + sum(map(_num_bytes, inputs))


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _num_bytes(tensor: Tensor) -> int:
    """Bytes of a tensor, counting what is repeated without a copy once."""
    sides = [side for side, step in zip(tensor.shape, tensor.stride(), strict=True) if step]
    return int(np.prod(sides, dtype=np.int64)) * tensor.element_size()


def count(function: Callable[[], Any]) -> Passes:
    with Passes() as passes:
        function()
    return passes
