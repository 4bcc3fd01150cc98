"""The minimum spanning trees of a batch of images, and the order in which their edges join the pixels.

Paper: Li et al., "Label-efficient Segmentation via Affinity Propagation" (APro),
https://arxiv.org/abs/2310.10533, global affinity.
Differences: weights are compared as they are (the release adds one in float32 before it builds the tree,
which makes ties); a tree is found once per image and shared by all its regions (the release builds one per
region).

Shape suffixes:
    B = images   R = regions   C = channels   H = height   W = width   N = H * W pixels, row-major
    E = N - 1 tree edges   P = 2 N - 1 nodes: pixels, then merges
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.affinity import backends, grid
from models.affinity.backends import Backend
from models.affinity.fast import boruvka
from models.affinity.fast.hierarchy import Hierarchy, build_hierarchy


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """Weighted spanning trees of a batch: nothing in it depends on a bandwidth or on what is propagated.

    Trees are independent rows, so a structure can be kept per image (``structure.select``) and put together
    again (``join``). It takes 16 bytes a pixel on the CPU, 32 elsewhere.
    """

    edge_BE: Tensor
    """Codes of the tree edges (``models.affinity.grid``), int32, in an order of the structure's own."""
    weight_BE: Tensor
    """Their weights, float32 or float64; carries a gradient if the guidance does."""
    height: int
    """Rows of the images."""
    width: int
    """Columns of the images."""
    backend: Backend
    """What computes with it."""
    merges: Tensor | Hierarchy | None
    """How the edges join the pixels: "cpu" keeps the merge above each node, int32, (B, P), edges in merge
    order; "torch" and "triton" keep runs of places; "reference" keeps nothing."""

    def __len__(self) -> int:
        """Return the number of trees."""
        return len(self.edge_BE)

    def to(self, device: torch.device | str) -> "Structure":
        """Return the same trees on another device; the merges are found again there, without gradients."""
        device = torch.device(device)
        if device == self.edge_BE.device:
            return self
        edge_BE, order_BE = self.edge_BE.sort(dim=1)
        weight_BE = self.weight_BE.detach().gather(1, order_BE)
        return _order(
            edge_BE.to(device),
            weight_BE.to(device),
            (self.height, self.width),
            backends.choose("auto", device),
        )

    def select(self, image_R: Tensor | Sequence[int]) -> "Structure":
        """Return some of the trees, in the order asked for; one may be asked for more than once.

        Args:
            image_R: Their places, in [0, B).
        """
        row_R = torch.as_tensor(image_R, dtype=torch.int64, device=self.edge_BE.device)
        return _combine([self], lambda tensors: tensors[0].index_select(0, row_R))

    def reweighted(self, weight_RE: Tensor, image_R: Tensor) -> "Structure":
        """Return R trees with the edges of chosen ones and other weights.

        Args:
            weight_RE: Weights in the order of ``edge_BE``, not negative; may carry a gradient.
            image_R: Which tree each row of weights is for, int64 in [0, B).

        Raises:
            ValueError: If a weight on the CPU is negative.
        """
        size, weight_RE = (self.height, self.width), grid.widen(weight_RE)
        grid.check_weights(weight_RE)
        if self.backend != "cpu":
            edge_RE = self.edge_BE.index_select(0, image_R.to(self.edge_BE.device))
            return _order(edge_RE, weight_RE, size, self.backend)
        from models.affinity.fast import compiled

        plain_RE = weight_RE.detach().contiguous()
        forest = compiled.regrow(self.edge_BE, plain_RE, image_R, self.width)
        ordered_RE = forest.weight_BE
        if weight_RE.requires_grad and torch.is_grad_enabled():
            # Where each edge stood: both lists hold the same codes, so sorting either by code aligns them.
            old_RE = self.edge_BE.index_select(0, image_R).argsort(dim=1)
            new_RE = forest.edge_BE.argsort(dim=1)
            place_RE = torch.empty_like(old_RE).scatter_(1, new_RE, old_RE)
            ordered_RE = weight_RE.gather(1, place_RE)
        return replace(self, edge_BE=forest.edge_BE, weight_BE=ordered_RE, merges=forest.parent_BP)


def minimum_spanning_tree(guidance_BCHW: Tensor, *, backend: Backend | Literal["auto"] = "auto") -> Structure:
    """Find the spanning trees of 4-connected pixels that are smallest under the order (weight, code).

    The weight of an edge is the squared distance of its two colours, summed over channels.

    Args:
        guidance_BCHW: Image, feature map or any other real field. float64 is compared in float64, all else in
            float32.
        backend: What computes, here and in every propagation over the structure.

    Returns:
        One tree per image. Its weights carry a gradient if the guidance does.

    Raises:
        ValueError: If the guidance is not four-dimensional, has no channel or pixel, is not finite, or is so
            far apart along an edge of the tree that the square is not; or if the backend cannot run here.

    Example:
        >>> minimum_spanning_tree(torch.tensor([[[[0.0, 3.0], [1.0, 5.0]]]])).weight_BE.tolist()
        [[1.0, 4.0, 9.0]]
    """
    grid.check_size(guidance_BCHW)
    kind = backends.choose(backend, guidance_BCHW.device)
    plain_BCHW = guidance_BCHW.detach()
    plain_BCHW = grid.widen(plain_BCHW).contiguous()
    size = guidance_BCHW.shape[2], guidance_BCHW.shape[3]
    structure = _grow_compiled(plain_BCHW, size) if kind == "cpu" else _grow(plain_BCHW, size, kind)
    if guidance_BCHW.requires_grad and torch.is_grad_enabled():
        tied = grid.KnownEdgeWeights.apply(guidance_BCHW, structure.edge_BE, structure.weight_BE)
        return replace(structure, weight_BE=tied)
    return structure


def join(structures: Sequence[Structure]) -> Structure:
    """Put the trees of several structures into one, for example of images whose trees were kept.

    Args:
        structures: At least one; of the same size, backend and device.

    Raises:
        ValueError: If there is none, or they differ.
    """
    kinds = {(part.height, part.width, part.backend, str(part.edge_BE.device)) for part in structures}
    if len(kinds) != 1:
        raise ValueError(
            f"structures to join must share height, width, backend and device, got {sorted(kinds)}."
        )
    return _combine(structures, torch.cat)


def edge_weights(guidance_RCHW: Tensor, structure: Structure, image_R: Tensor | None = None) -> Tensor:
    """Measure another field along the edges of the trees, for the ``weights`` of a propagation.

    Args:
        guidance_RCHW: Prediction, feature map or any other real field on the same pixels.
        structure: B trees.
        image_R: Which tree belongs to each row of the guidance, int64. None: row r belongs to tree r.

    Returns:
        Squared distances in the order of ``structure.edge_BE``, shape (R, 1, E); float64 for a float64
        guidance, else float32. Differentiable.

    Raises:
        ValueError: If the sizes differ or a row has no tree.
    """
    size = structure.height, structure.width
    if guidance_RCHW.ndim != 4 or guidance_RCHW.shape[2:] != size:
        raise ValueError(
            f"guidance_RCHW must have {structure.height}x{structure.width} pixels, "
            f"got {tuple(guidance_RCHW.shape)}."
        )
    row_R = check_rows(len(guidance_RCHW), structure, image_R)
    if structure.backend != "cpu":
        return grid.edge_weights(
            guidance_RCHW, structure.edge_BE.index_select(0, row_R.to(structure.edge_BE.device))
        )[:, None]
    from models.affinity.fast import compiled

    plain = guidance_RCHW.detach()
    plain = grid.widen(plain).flatten(2).contiguous()
    weight_RE = compiled.edge_weights(plain, structure.edge_BE, row_R, structure.width)
    if guidance_RCHW.requires_grad and torch.is_grad_enabled():
        edge_RE = structure.edge_BE.index_select(0, row_R)
        weight_RE = grid.KnownEdgeWeights.apply(guidance_RCHW, edge_RE, weight_RE)
    return weight_RE[:, None]


def check_rows(rows: int, structure: Structure, image_R: Tensor | None) -> Tensor:
    """Settle which tree each of ``rows`` rows is for.

    Returns:
        int64, shape (R,), where ``image_R`` is: on the CPU if None.

    Raises:
        TypeError: If the rows are not named by integers.
        ValueError: If a row has no tree.
    """
    if image_R is None:
        if rows != len(structure):
            raise ValueError(
                f"{rows} rows need as many trees, got {len(structure)}: name the tree of each by image_R."
            )
        return torch.arange(rows)
    if image_R.is_floating_point() or image_R.dtype == torch.bool:
        raise TypeError(f"image_R must hold integers, got {image_R.dtype}.")
    if image_R.shape != (rows,):
        raise ValueError(f"image_R must name the image of {rows} regions, got {tuple(image_R.shape)}.")
    if rows and image_R.device.type == "cpu":
        low, high = (int(bound) for bound in image_R.aminmax())
        if low < 0 or high >= len(structure):
            raise ValueError(f"image_R must lie in [0, {len(structure)}), got {low} to {high}.")
    return image_R.to(torch.int64)


def _combine(structures: Sequence[Structure], combine: Callable[[list[Tensor]], Tensor]) -> Structure:
    """Make each tensor of a structure from those of several; a tree is a row in all of them."""
    kept = [part.merges for part in structures]
    first = kept[0]
    merges: Tensor | Hierarchy | None = None
    if isinstance(first, Tensor):
        merges = combine([part for part in kept if isinstance(part, Tensor)])
    elif first is not None:
        names = [field.name for field in fields(first)]
        merges = Hierarchy(**{name: combine([getattr(part, name) for part in kept]) for name in names})
    return replace(
        structures[0],
        edge_BE=combine([part.edge_BE for part in structures]),
        weight_BE=combine([part.weight_BE for part in structures]),
        merges=merges,
    )


def _grow_compiled(guidance_BCHW: Tensor, size: tuple[int, int]) -> Structure:
    """Grow trees with the compiled loops."""
    from models.affinity.fast import compiled

    forest = compiled.grow(guidance_BCHW)
    largest_B = forest.weight_BE[:, -1:] if forest.weight_BE.shape[1] else guidance_BCHW.flatten(1)
    _check_finite(guidance_BCHW, largest_B)
    return Structure(
        edge_BE=forest.edge_BE,
        weight_BE=forest.weight_BE,
        height=size[0],
        width=size[1],
        backend="cpu",
        merges=forest.parent_BP,
    )


def _grow(guidance_BCHW: Tensor, size: tuple[int, int], backend: Backend) -> Structure:
    """Grow trees with tensor operations."""
    if backend == "triton":
        from models.affinity.fast import triton_boruvka, triton_edges

        weight_BM = triton_edges.edge_weights(guidance_BCHW)
        spanning_tree_edges = triton_boruvka.spanning_tree_edges
    else:
        weight_BM = boruvka.grid_weights(guidance_BCHW)
        spanning_tree_edges = boruvka.spanning_tree_edges
    edge_BE = spanning_tree_edges(weight_BM, *size)
    weight_BE = grid.edge_weights(guidance_BCHW, edge_BE)
    _check_finite(guidance_BCHW, weight_BE if weight_BE.shape[1] else guidance_BCHW.flatten(1))
    return _order(edge_BE, weight_BE, size, backend)


def _order(edge_BE: Tensor, weight_BE: Tensor, size: tuple[int, int], backend: Backend) -> Structure:
    """Find the merges of weighted trees whose edges are in any order."""
    merges: Tensor | Hierarchy | None = None
    match backend:
        case "cpu":
            from models.affinity.fast import compiled

            row_B = torch.arange(len(edge_BE))
            edge_BE, weight_BE, merges = compiled.regrow(edge_BE, weight_BE.contiguous(), row_B, size[1])
        case "torch" | "triton":
            merges = build_hierarchy(edge_BE, weight_BE.detach(), *size)
        case "reference":
            pass
    return Structure(
        edge_BE=edge_BE, weight_BE=weight_BE, height=size[0], width=size[1], backend=backend, merges=merges
    )


def _check_finite(guidance_BCHW: Tensor, sign_BX: Tensor) -> None:
    """Refuse a guidance whose colours have no distance; ``sign_BX`` is finite unless there is one."""
    if (np.isfinite(sign_BX.numpy()) if sign_BX.device.type == "cpu" else sign_BX.isfinite()).all():
        return
    grid.check_guidance(guidance_BCHW)
    item = int((~sign_BX.isfinite()).any(dim=1).nonzero()[0])
    raise ValueError(
        f"guidance_BCHW[{item}] must have differences whose square is finite in {guidance_BCHW.dtype}, got "
        f"values from {guidance_BCHW[item].min().item():.3g} to {guidance_BCHW[item].max().item():.3g}."
    )
