"""Borůvka's rounds on pixel grids with a launch a step, for CUDA; ``boruvka`` says the same in plain PyTorch.

A round asks four things: the smallest edge that leaves each component (one atomic minimum of integers a
pixel, and none where the minimum known so far is smaller already), what is at the other end of it, which
component leads each merged one (eight hops a launch instead of one), and a running count. All are integers
and a minimum does not depend on who comes first, so the result is the same in every run.

Checked in Triton's interpreter and compiled for compute capability 9.0; never run or timed on a GPU.

Letters:
    B = images   H = height   W = width   N = H * W pixels   M = grid edges   E = N - 1 tree edges
    P = B * N pixels of the union   V = places for components in a round   K = 2 * N edge codes
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from models.affinity.fast.boruvka import ACROSS, NONE, component_room

_BLOCK = 256
"""Pixels or components that one program handles."""
_HOPS = 7
"""Hops that each component takes in a launch after its first."""


def spanning_tree_edges(weight_BM: Tensor, height: int, width: int) -> Tensor:
    """Find the minimum spanning tree of every image under the order (weight, code).

    Args:
        weight_BM: Weight of every grid edge in increasing order of code, float32 or float64, none negative.
        height: Pixels from top to bottom.
        width: Pixels from left to right.

    Returns:
        Codes of shape (B, E), int32, increasing along each row.

    Raises:
        ValueError: If the batch has 2**31 pixels or more.
    """
    batch, pixels = weight_BM.shape[0], height * width
    if batch * pixels >= ACROSS:
        raise ValueError(
            f"The batch must have fewer than 2**31 pixels, got {batch} images of {height}x{width}: split it."
        )
    down_P, right_P = edge_keys(weight_BM.detach(), height, width)
    label_P = torch.arange(batch * pixels, device=weight_BM.device)
    chosen = torch.zeros(2 * batch * pixels + 1, dtype=torch.bool, device=weight_BM.device)
    for room in component_room(pixels)[:-1]:
        best_V = smallest_exits(label_P, down_P, right_P, width, batch * room)
        other_V, place_V = read_choice(best_V, label_P, width if height > 1 else 0)
        chosen.index_fill_(0, place_V, True)
        label_P = merge(other_V, room)[0].index_select(0, label_P)
    chosen_BK = chosen[:-1].view(2, batch, pixels).transpose(0, 1).reshape(batch, 2 * pixels)
    count_BK = chosen_BK.cumsum(dim=1, dtype=torch.int32)
    wanted_E = torch.arange(1, pixels, dtype=torch.int32, device=weight_BM.device)
    return torch.searchsorted(count_BK, wanted_E.expand(batch, -1).contiguous(), out_int32=True)


def edge_keys(weight_BM: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Pack the order of edges in integers: the edge below each pixel and the edge to its right.

    Args:
        weight_BM: Weights as of ``spanning_tree_edges``.
        height: Pixels from top to bottom.
        width: Pixels from left to right.

    Returns:
        Two tensors of shape (P,), int64. From the high bits: the weight (the bits of a float32, the rank of a
        float64 in its image), ``ACROSS`` for an edge to the right, the pixel; ``NONE`` where the image ends.
    """
    batch = weight_BM.shape[0]
    down_P = torch.empty(batch * height * width, dtype=torch.int64, device=weight_BM.device)
    right_P = torch.empty_like(down_P)
    if weight_BM.dtype == torch.float32:
        order_BM = weight_BM.contiguous().view(torch.int32)
    else:
        order_BM = weight_BM.argsort(dim=1, stable=True).argsort(dim=1)
    grid = (batch * triton.cdiv(height * width, _BLOCK),)
    if batch == 0:
        return down_P, right_P
    with torch.cuda.device(down_P.get_device()):
        _edge_keys[grid](order_BM, down_P, right_P, height, width, ACROSS=ACROSS, NONE=NONE, BLOCK=_BLOCK)
    return down_P, right_P


def smallest_exits(label_P: Tensor, down_P: Tensor, right_P: Tensor, width: int, num_places: int) -> Tensor:
    """Return the smallest key that leaves each component; keys inside components become ``NONE``.

    Args:
        label_P: Component of each pixel, int64 in [0, V).
        down_P: Key of the edge below each pixel, int64; changed in place.
        right_P: Key of the edge to the right of each pixel, int64; changed in place.
        width: Pixels from left to right.
        num_places: V.

    Returns:
        Keys of shape (V,), int64; ``NONE`` for a component that no edge leaves.
    """
    best_V = torch.full((num_places,), NONE, dtype=torch.int64, device=label_P.device)
    grid = (triton.cdiv(label_P.numel(), _BLOCK),)
    if label_P.numel() == 0:
        return best_V
    with torch.cuda.device(best_V.get_device()):
        _smallest_exits[grid](
            label_P, down_P, right_P, best_V, label_P.numel(), width, NONE=NONE, BLOCK=_BLOCK
        )
    return best_V


def read_choice(best_V: Tensor, label_P: Tensor, step_down: int) -> tuple[Tensor, Tensor]:
    """Return the component at the other end of each chosen edge and the edge's place in (2, P) flags.

    Args:
        best_V: What ``smallest_exits`` returned.
        label_P: Component of each pixel, int64.
        step_down: Pixels from one to the one below it.

    Returns:
        Two tensors of shape (V,), int64. Components without a leaving edge name themselves and the place
        behind the flags.
    """
    other_V, place_V = torch.empty_like(best_V), torch.empty_like(best_V)
    grid = (triton.cdiv(best_V.numel(), _BLOCK),)
    if best_V.numel() == 0:
        return other_V, place_V
    with torch.cuda.device(best_V.get_device()):
        _read_choice[grid](
            best_V,
            label_P,
            other_V,
            place_V,
            best_V.numel(),
            label_P.numel(),
            step_down,
            ACROSS=ACROSS,
            NONE=NONE,
            BLOCK=_BLOCK,
        )
    return other_V, place_V


def merge(other_V: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """Merge every component with the one that it names.

    Args:
        other_V: Component chosen by each component, int64; one that chose none names itself. Apart from
            these, the only cycles are pairs that name each other.
        room: Largest number of components of one tree.

    Returns:
        The number of the merged component of each component, counted from zero in the order of the leading
        components, and whether a component leads: it chose none, or is the smaller of such a pair.
    """
    count = other_V.numel()
    leader_V, leads_V = torch.empty_like(other_V), torch.empty_like(other_V, dtype=torch.bool)
    if count == 0:
        return leader_V, leads_V
    grid, hops = (triton.cdiv(count, _BLOCK),), 1
    with torch.cuda.device(other_V.get_device()):
        _lead[grid](other_V, leader_V, leads_V, count, BLOCK=_BLOCK)
        while hops < room - 1:
            _jump[grid](leader_V, count, HOPS=_HOPS, BLOCK=_BLOCK)
            hops *= _HOPS + 1
    return (leads_V.cumsum(dim=0) - 1).index_select(0, leader_V), leads_V


@triton.jit  # type: ignore[untyped-decorator]
def _edge_keys(
    order: tl.tensor,
    down: tl.tensor,
    right: tl.tensor,
    height: int,
    width: int,
    ACROSS: tl.constexpr,
    NONE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write the keys of both edges that start at each of ``BLOCK`` pixels of one image."""
    pixels = height * width
    vertical = pixels - width
    blocks = tl.cdiv(pixels, BLOCK)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    pixel = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    row, column = pixel // width, pixel % width
    first = order + image * (vertical + pixels - height)
    name = image * pixels + pixel
    below = tl.load(first + pixel, mask=pixel < vertical, other=0).to(tl.int64)
    tl.store(down + name, tl.where(pixel < vertical, (below << 32) | name, NONE), mask=pixel < pixels)
    has_right = (pixel < pixels) & (column < width - 1)
    beside = tl.load(first + vertical + row * (width - 1) + column, mask=has_right, other=0).to(tl.int64)
    key = tl.where(has_right, (beside << 32) | ACROSS | name, NONE)
    tl.store(right + name, key, mask=pixel < pixels)


@triton.jit  # type: ignore[untyped-decorator]
def _smallest_exits(
    label: tl.tensor,
    down: tl.tensor,
    right: tl.tensor,
    best: tl.tensor,
    count: int,
    width: int,
    NONE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Offer each pixel's smallest leaving edge to its component.

    Both pixels of an edge look at it. The first one may be writing ``NONE`` while the second one reads, but
    only over a key inside a component, which the second one leaves out by the labels, whatever it has read.
    """
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < count
    own = tl.load(label + pixel, mask=inside, other=0)
    none = tl.full((BLOCK,), NONE, dtype=tl.int64)
    smallest = none

    key = tl.load(down + pixel, mask=inside, other=NONE)
    leaves = tl.load(label + pixel + width, mask=key != NONE, other=0) != own
    tl.store(down + pixel, none, mask=(key != NONE) & (leaves == 0))
    smallest = tl.minimum(smallest, tl.where(leaves, key, NONE))

    key = tl.load(right + pixel, mask=inside, other=NONE)
    leaves = tl.load(label + pixel + 1, mask=key != NONE, other=0) != own
    tl.store(right + pixel, none, mask=(key != NONE) & (leaves == 0))
    smallest = tl.minimum(smallest, tl.where(leaves, key, NONE))

    key = tl.load(down + pixel - width, mask=inside & (pixel >= width), other=NONE)
    leaves = tl.load(label + pixel - width, mask=key != NONE, other=0) != own
    smallest = tl.minimum(smallest, tl.where(leaves, key, NONE))

    key = tl.load(right + pixel - 1, mask=inside & (pixel >= 1), other=NONE)
    leaves = tl.load(label + pixel - 1, mask=key != NONE, other=0) != own
    smallest = tl.minimum(smallest, tl.where(leaves, key, NONE))

    known = tl.load(best + own, mask=smallest != NONE, other=0)  # an old value only costs an atomic in vain
    tl.atomic_min(best + own, smallest, mask=smallest < known, sem="relaxed")


@triton.jit  # type: ignore[untyped-decorator]
def _read_choice(
    best: tl.tensor,
    label: tl.tensor,
    other: tl.tensor,
    place: tl.tensor,
    count: int,
    pixels: int,
    step_down: int,
    ACROSS: tl.constexpr,
    NONE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Read the chosen edges of ``BLOCK`` components."""
    own = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    key = tl.load(best + own, mask=own < count, other=NONE)
    live = key != NONE
    near, across = key & (ACROSS - 1), (key & ACROSS) != 0
    far = near + tl.where(across, 1, step_down)
    ends = tl.load(label + near, mask=live, other=0) + tl.load(label + far, mask=live, other=0)
    tl.store(other + own, tl.where(live, ends - own, own), mask=own < count)
    behind = tl.zeros((BLOCK,), dtype=tl.int64) + pixels + pixels
    tl.store(place + own, tl.where(live, near + tl.where(across, pixels, 0), behind), mask=own < count)


@triton.jit  # type: ignore[untyped-decorator]
def _lead(other: tl.tensor, leader: tl.tensor, leads: tl.tensor, count: int, BLOCK: tl.constexpr) -> None:
    """Find the leading components; point the others at the one that they name."""
    own = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    named = tl.load(other + own, mask=own < count, other=0)
    back = tl.load(other + named, mask=own < count, other=0)
    first = (back == own) & (own <= named)
    tl.store(leads + own, first, mask=own < count)
    tl.store(leader + own, tl.where(first, own, named), mask=own < count)


@triton.jit  # type: ignore[untyped-decorator]
def _jump(leader: tl.tensor, count: int, HOPS: tl.constexpr, BLOCK: tl.constexpr) -> None:
    """Point each component ``HOPS`` pointers further on.

    Pointers change under way, but only to ones that are nearer to the leader, where all of them end.
    """
    own = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    place = tl.load(leader + own, mask=own < count, other=0)
    for _ in range(HOPS):
        place = tl.load(leader + place, mask=own < count, other=0)
    tl.store(leader + own, place, mask=own < count)
