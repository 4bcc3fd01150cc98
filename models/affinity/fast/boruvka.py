"""Minimum spanning trees of pixel grids in plain PyTorch, without a word from the device to the host.

Every component chooses its smallest leaving edge, all components merge at once, and the number of components
at least halves (Borůvka, O jistém problému minimálním, 1926). The rounds and the sizes of all tensors follow
from the shape of the image alone, so nothing waits for the device; rounds that find nothing left to merge
change nothing. The images of a batch are one disjoint union: pixel ``i`` of image ``b`` is ``b*N + i``.

The order of edges is (weight, code): code ``u`` is the edge between pixel ``u`` and the one below it,
``N + u`` the edge between ``u`` and the one to its right.

Letters:
    B = images   C = channels   H = height   W = width   N = pixels   M = grid edges   E = N - 1 tree edges
    P = B*N pixels of the union   V = places for components in a round
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

NONE: Final = 2**63 - 1
"""Key larger than that of any edge."""
ACROSS: Final = 2**31
"""Bit of a key that tells an edge to the right from an edge below; the bits under it name the pixel."""
CHANNELS_AT_ONCE: Final = 16
"""Channels whose differences stand in memory at one time."""


def grid_weights(guidance_BCHW: Tensor) -> Tensor:
    """Return the squared colour distance of every pair of neighbours, by slicing.

    Args:
        guidance_BCHW: Finite image or feature map.

    Returns:
        Weights of shape (B, M) in increasing order of code: float64 for a float64 guidance, else float32.
        Differentiable.
    """
    wide = torch.float64 if guidance_BCHW.dtype == torch.float64 else torch.float32
    parts = []
    for axis in (2, 3):
        length = guidance_BCHW.shape[axis] - 1
        total_BHW = None
        for channel in range(0, guidance_BCHW.shape[1], CHANNELS_AT_ONCE):
            values = guidance_BCHW[:, channel : channel + CHANNELS_AT_ONCE].to(wide)
            ahead, behind = values.narrow(axis, 1, length), values.narrow(axis, 0, length)
            distance_BHW = mse_loss(ahead, behind, reduction="none").sum(dim=1)
            total_BHW = distance_BHW if total_BHW is None else total_BHW + distance_BHW
        if total_BHW is not None:
            parts.append(total_BHW.flatten(1))
    return torch.cat(parts, dim=1)


def spanning_tree_edges(weight_BM: Tensor, height: int, width: int) -> Tensor:
    """Find the minimum spanning tree of every image under the order (weight, code).

    Args:
        weight_BM: Weight of every grid edge in increasing order of code, float32 or float64, none negative.
        height: Pixels from top to bottom.
        width: Pixels from left to right.

    Returns:
        Codes of shape (B, E), int32, increasing along each row.

    Raises:
        TypeError: If the weights are neither float32 nor float64.
        ValueError: If the number of weights does not fit the grid, or the batch has 2**31 pixels or more.
    """
    batch, pixels = weight_BM.shape[0], height * width
    _check(weight_BM, height, width)
    down_P, right_P = _edge_keys(weight_BM.detach(), height, width)
    own_P = torch.arange(batch * pixels, device=weight_BM.device)
    label_P = own_P
    chosen = torch.zeros(2 * batch * pixels + 1, dtype=torch.bool, device=weight_BM.device)
    for room in component_room(pixels)[:-1]:
        best_V = _smallest_exits(label_P, down_P, right_P, width, batch * room)
        other_V, place_V = _read_choice(best_V, own_P, label_P, width if height > 1 else 0)
        chosen.index_fill_(0, place_V, True)
        label_P = merge(other_V, own_P, room)[0].index_select(0, label_P)
    chosen_BK = chosen[:-1].view(2, batch, pixels).transpose(0, 1).reshape(batch, 2 * pixels)
    count_BK = chosen_BK.cumsum(dim=1, dtype=torch.int32)
    wanted_E = torch.arange(1, pixels, dtype=torch.int32, device=weight_BM.device)
    return torch.searchsorted(count_BK, wanted_E.expand(batch, -1).contiguous(), out_int32=True)


def component_room(pixels: int) -> list[int]:
    """Return the largest number of components of one tree before each round, and after the last one.

    A component of round ``k`` holds at least ``2**k`` pixels, so there are at most ``pixels // 2**k``.
    """
    return [pixels >> level for level in range(pixels.bit_length())]


def merge(other_V: Tensor, own_P: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """Merge every component with the one that it names.

    Args:
        other_V: Component chosen by each component, int64; one that chose none names itself. Apart from
            these, the only cycles are pairs that name each other, as under a strict order of edges.
        own_P: The numbers from zero on, at least as many as components.
        room: Largest number of components of one tree.

    Returns:
        The number of the merged component of each component, counted from zero in the order of the leading
        components, and whether a component leads: it chose none, or is the smaller of such a pair.
    """
    own_V = own_P[: other_V.shape[0]]
    leads_V = (other_V.index_select(0, other_V) == own_V) & (own_V <= other_V)
    leader_V = torch.where(leads_V, own_V, other_V)
    for _ in range(max(room - 2, 0).bit_length()):
        leader_V = leader_V.index_select(0, leader_V)
    return (leads_V.cumsum(dim=0) - 1).index_select(0, leader_V), leads_V


def _check(weight_BM: Tensor, height: int, width: int) -> None:
    """Refuse weights that do not belong to the grid."""
    if weight_BM.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"weight_BM must be float32 or float64, got {weight_BM.dtype}.")
    expected = (height - 1) * width + height * (width - 1)
    if weight_BM.shape[1] != expected:
        raise ValueError(
            f"weight_BM must have {expected} edges a row for {height}x{width} pixels, got "
            f"{weight_BM.shape[1]}."
        )
    if weight_BM.shape[0] * height * width >= ACROSS:
        raise ValueError(
            f"The batch must have fewer than 2**31 pixels, got {weight_BM.shape[0]} images of "
            f"{height}x{width}: split it."
        )


def _edge_keys(weight_BM: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Pack the order of edges in integers: the edge below each pixel and the edge to its right.

    The bits of a float32 that is not negative compare as the number does; float64 weights are ranked.
    """
    batch, num_down = weight_BM.shape[0], (height - 1) * width
    if weight_BM.dtype == torch.float32:
        high_BM = weight_BM.contiguous().view(torch.int32).long()
    else:
        order_BM = weight_BM.argsort(dim=1, stable=True)
        rank_M = torch.arange(weight_BM.shape[1], device=weight_BM.device)
        high_BM = torch.empty_like(order_BM).scatter_(1, order_BM, rank_M.expand(batch, -1))
    high_BM = high_BM << 32
    pixel_BHW = torch.arange(batch * height * width, device=weight_BM.device).view(batch, height, width)
    down_BHW, right_BHW = torch.full_like(pixel_BHW, NONE), torch.full_like(pixel_BHW, NONE)
    down_BHW[:, :-1] = high_BM[:, :num_down].view(batch, height - 1, width) | pixel_BHW[:, :-1]
    right_BHW[:, :, :-1] = high_BM[:, num_down:].view(batch, height, width - 1) | pixel_BHW[:, :, :-1]
    right_BHW[:, :, :-1] |= ACROSS
    return down_BHW.view(-1), right_BHW.view(-1)


def _smallest_exits(label_P: Tensor, down_P: Tensor, right_P: Tensor, width: int, num_places: int) -> Tensor:
    """Return the smallest key that leaves each component, or NONE; keys inside components become NONE.

    The keys of edges that would leave the image are NONE from the start, so shifting the union by one pixel
    or one row never joins two images or two ends of a row.
    """
    last = label_P.shape[0]
    for key_P, step in ((down_P, width), (right_P, 1)):
        key_P[: last - step].masked_fill_(label_P[: last - step] == label_P[step:], NONE)
    exit_P = torch.minimum(down_P, right_P)
    for key_P, step in ((down_P, width), (right_P, 1)):
        torch.minimum(exit_P[step:], key_P[: last - step], out=exit_P[step:])
    best_V = torch.full((num_places,), NONE, device=label_P.device)
    return best_V.scatter_reduce_(0, label_P, exit_P, "amin")


def _read_choice(best_V: Tensor, own_P: Tensor, label_P: Tensor, step_down: int) -> tuple[Tensor, Tensor]:
    """Return the component at the other end of each chosen edge and the edge's place in (2, P) flags.

    Components without a leaving edge name themselves and the place behind the flags. ``best_V`` is used up.
    """
    num_pixels, own_V = label_P.shape[0], own_P[: best_V.shape[0]]
    idle_V = best_V == NONE
    choice_V = best_V.masked_fill_(idle_V, 0)
    near_V, across_V = choice_V & (ACROSS - 1), (choice_V >> 31) & 1
    far_V = torch.add(near_V, across_V, alpha=1 - step_down).add_(step_down)
    other_V = label_P.index_select(0, near_V).add_(label_P.index_select(0, far_V)).sub_(own_V)
    place_V = torch.add(near_V, across_V, alpha=num_pixels).masked_fill_(idle_V, 2 * num_pixels)
    return torch.where(idle_V, own_V, other_V), place_V
