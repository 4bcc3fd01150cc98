"""Sweeps of the colour window over many fields, for CUDA.

The affinity of two pixels is the same in both directions, so half a window per pixel is kept, once per image:
``4 * (kernel_size**2 - 1) / 2`` bytes a pixel in float32, whatever the number of regions. Each sweep is one
launch over all fields; tiles outside the box of a field's mask return at once, and nothing is asked of the
host, so a sweep can be captured in a CUDA graph. Fields of the same image stand next to each other in the
order of launch, so the affinities that they share come from the cache.

Checked in Triton's interpreter and compiled for compute capability 9.0; never run or timed on a GPU.

Letters:
    B = images   R = regions   C = channels   H = height   W = width   P = R * C fields
    K = later half of the window's places, row-major   Q = masks, R or R * C
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 256
"""Pixels whose affinities one program computes."""
_TILE_HEIGHT, _TILE_WIDTH = 8, 64
"""Pixels of a field that one program sweeps."""


def local_sweeps(
    x_RCHW: Tensor,
    guidance_BCHW: Tensor,
    mask_RCHW: Tensor,
    image_R: Tensor,
    reach: int,
    zeta: float,
    iterations: int,
) -> Tensor:
    """Average each field over its window again and again; the mask multiplies before and after each sweep.

    The affinity of pixel i and its neighbour j is ``exp(-|I_i - I_j|^2 / zeta^2)``, that of i and itself 1.
    Neighbours outside the image are left out of both sums; those outside the mask count with value 0.

    Args:
        x_RCHW: Fields, any float type.
        guidance_BCHW: Images, any float type, finite.
        mask_RCHW: Share of each pixel in the region, in [0, 1], of shape (R, 1 or C, H, W).
        image_R: Image of each region, int64 in [0, B).
        reach: Half of ``kernel_size - 1``, at least 0.
        zeta: Colour distance at which the affinity has dropped to 1/e. Positive.
        iterations: Number of sweeps, at least 0.

    Returns:
        Swept fields, detached, shape and type of ``x_RCHW``. Sums are float64 where ``x_RCHW`` or the
        guidance is, else float32.
    """
    double = torch.float64 in (x_RCHW.dtype, guidance_BCHW.dtype)
    dtype = torch.float64 if double else torch.float32
    mask = mask_RCHW.detach().to(dtype).contiguous()
    before = (x_RCHW.detach().to(dtype) * mask).contiguous()
    if iterations == 0 or before.numel() == 0:
        return before.to(x_RCHW.dtype)
    half_BKHW = half_window(guidance_BCHW, reach, zeta, dtype)
    table_P6 = _plan(mask, image_R, x_RCHW.shape[1])
    height, width = x_RCHW.shape[-2:]
    tiles = triton.cdiv(height, _TILE_HEIGHT) * triton.cdiv(width, _TILE_WIDTH)
    after, planes = torch.zeros_like(before), len(table_P6)
    with torch.cuda.device(before.get_device()):
        for _ in range(iterations):
            _sweep[(tiles * planes,)](
                before,
                after,
                mask,
                half_BKHW,
                table_P6,
                planes,
                height,
                width,
                REACH=reach,
                TILE_HEIGHT=_TILE_HEIGHT,
                TILE_WIDTH=_TILE_WIDTH,
                enable_fp_fusion=False,
            )
            before, after = after, before
    return before.to(x_RCHW.dtype)


def half_window(guidance_BCHW: Tensor, reach: int, zeta: float, dtype: torch.dtype) -> Tensor:
    """Compute the affinity of each pixel and the neighbours that come after it in row-major order.

    Args:
        guidance_BCHW: Images, any float type, finite.
        reach: Half of ``kernel_size - 1``, at least 0.
        zeta: Colour distance at which the affinity has dropped to 1/e. Positive.
        dtype: Type of the sums and of the result, float32 or float64.

    Returns:
        Affinities in [0, 1], shape (B, K, H, W) with K = ((2 reach + 1)**2 - 1) / 2; 0 for neighbours outside
        the image.
    """
    batch, channels, height, width = guidance_BCHW.shape
    device, limits = guidance_BCHW.device, torch.finfo(dtype)
    # kept among the normal numbers, so that equal colours have affinity 1 whatever zeta is
    scale = -min(max(1.0 / zeta * (1.0 / zeta), limits.tiny), limits.max)
    half_BKHW = torch.empty((batch, 2 * reach * (reach + 1), height, width), dtype=dtype, device=device)
    if half_BKHW.numel() == 0:
        return half_BKHW
    with torch.cuda.device(half_BKHW.get_device()):
        _half_window[(batch * triton.cdiv(height * width, _BLOCK),)](
            guidance_BCHW.detach().contiguous(),
            torch.full((1,), scale, dtype=dtype, device=device),  # a float would arrive as float32
            half_BKHW,
            channels,
            height,
            width,
            REACH=reach,
            BLOCK=_BLOCK,
            enable_fp_fusion=False,
        )
    return half_BKHW


def _plan(mask_RCHW: Tensor, image_R: Tensor, channels: int) -> Tensor:
    """List image, mask and box (first row, last row, first column, last column) of each field, int64 (P, 6).

    A mask without a pixel gets a last row of -1.
    """
    regions, mask_channels, height, width = mask_RCHW.shape
    inside_QHW = mask_RCHW.flatten(0, 1) != 0
    row_QH, column_QW = inside_QHW.any(dim=2).int(), inside_QHW.any(dim=1).int()
    last_row_Q = torch.where(row_QH.any(dim=1), height - 1 - row_QH.flip(1).argmax(dim=1), -1)
    last_column_Q = width - 1 - column_QW.flip(1).argmax(dim=1)
    mask_Q = torch.arange(regions * mask_channels, device=mask_RCHW.device)
    image_Q = image_R.to(mask_Q).repeat_interleave(mask_channels)
    columns = (image_Q, mask_Q, row_QH.argmax(dim=1), last_row_Q, column_QW.argmax(dim=1), last_column_Q)
    table_Q6 = torch.stack(columns, dim=1)
    return table_Q6.repeat_interleave(channels // mask_channels, dim=0).contiguous()


@triton.jit  # type: ignore[untyped-decorator]
def _half_window(
    guidance: tl.tensor,
    scale: tl.tensor,
    half: tl.tensor,
    channels: int,
    height: int,
    width: int,
    REACH: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write the affinities of ``BLOCK`` pixels of one image."""
    SIDE: tl.constexpr = 2 * REACH + 1
    HALF: tl.constexpr = 2 * REACH * (REACH + 1)
    pixels = height * width
    blocks = tl.cdiv(pixels, BLOCK)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    pixel = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    row, column = pixel // width, pixel % width
    factor = tl.load(scale)
    for place in range(HALF):
        down = (place + HALF + 1) // SIDE - REACH
        right = (place + HALF + 1) % SIDE - REACH
        inside = (pixel < pixels) & (row + down < height) & (column + right >= 0) & (column + right < width)
        distance = tl.zeros((BLOCK,), dtype=half.dtype.element_ty)
        start = guidance + image * channels * pixels
        for _ in range(channels):
            here = tl.load(start + pixel, mask=inside, other=0.0).to(half.dtype.element_ty)
            there = tl.load(start + pixel + down * width + right, mask=inside, other=0.0)
            difference = here - there.to(half.dtype.element_ty)
            distance += difference * difference
            start += pixels
        affinity = tl.where(inside, tl.exp(distance * factor), 0.0)
        tl.store(half + (image * HALF + place) * pixels + pixel, affinity, mask=pixel < pixels)


@triton.jit  # type: ignore[untyped-decorator]
def _sweep(
    before: tl.tensor,
    after: tl.tensor,
    mask: tl.tensor,
    half: tl.tensor,
    table: tl.tensor,
    planes: int,
    height: int,
    width: int,
    REACH: tl.constexpr,
    TILE_HEIGHT: tl.constexpr,
    TILE_WIDTH: tl.constexpr,
) -> None:
    """Sweep one tile of one field once; write only inside the field's box."""
    SIDE: tl.constexpr = 2 * REACH + 1
    HALF: tl.constexpr = 2 * REACH * (REACH + 1)
    pixels = height * width
    across = tl.cdiv(width, TILE_WIDTH)
    plane = tl.program_id(0) % planes
    tile = tl.program_id(0) // planes
    image = tl.load(table + plane * 6)
    first_row, last_row = tl.load(table + plane * 6 + 2), tl.load(table + plane * 6 + 3)
    first_column, last_column = tl.load(table + plane * 6 + 4), tl.load(table + plane * 6 + 5)
    row = tile // across * TILE_HEIGHT + tl.arange(0, TILE_HEIGHT)[:, None]
    column = tile % across * TILE_WIDTH + tl.arange(0, TILE_WIDTH)[None, :]
    inside = (row >= first_row) & (row <= last_row) & (column >= first_column) & (column <= last_column)
    top, left = tile // across * TILE_HEIGHT, tile % across * TILE_WIDTH
    if (top > last_row) | (top + TILE_HEIGHT <= first_row):
        return
    if (left > last_column) | (left + TILE_WIDTH <= first_column):
        return
    pixel = row * width + column
    field = before + plane.to(tl.int64) * pixels
    total = tl.full((TILE_HEIGHT, TILE_WIDTH), 1.0, dtype=before.dtype.element_ty)
    value = tl.load(field + pixel, mask=inside, other=0.0)
    for place in range(HALF):
        down = (place + HALF + 1) // SIDE - REACH
        right = (place + HALF + 1) % SIDE - REACH
        step = down * width + right
        affinity = half + (image * HALF + place) * pixels
        later = inside & (row + down < height) & (column + right >= 0) & (column + right < width)
        weight = tl.load(affinity + pixel, mask=later, other=0.0)
        value += weight * tl.load(field + pixel + step, mask=later, other=0.0)
        total += weight
        earlier = inside & (row >= down) & (column - right >= 0) & (column - right < width)
        weight = tl.load(affinity + pixel - step, mask=earlier, other=0.0)
        value += weight * tl.load(field + pixel - step, mask=earlier, other=0.0)
        total += weight
    share = tl.load(mask + tl.load(table + plane * 6 + 1) * pixels + pixel, mask=inside, other=0.0)
    tl.store(after + plane.to(tl.int64) * pixels + pixel, value / total * share, mask=inside)
