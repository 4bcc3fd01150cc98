"""Colour distances along the edges of the pixel grid, in one pass over the image, for CUDA.

Neither lists of edges nor gathered colours are made: a pixel reads itself, the pixel below and the pixel to
its right, channel after channel. Traffic: the guidance (read about once; the two neighbours come from the
cache) and 8 bytes a pixel written for float32.

Checked in Triton's interpreter and compiled for compute capability 9.0; never run or timed on a GPU.

Letters:
    B = images   C = channels   H = height   W = width   M = H * (W - 1) + W * (H - 1) grid edges
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 256
"""Pixels that one program handles."""


def edge_weights(guidance_BCHW: Tensor) -> Tensor:
    """Measure the squared colour distance along every grid edge, summed over channels in their order.

    Args:
        guidance_BCHW: Any float type, finite, on a CUDA device.

    Returns:
        Weights, float64 for float64 guidance, else float32, shape (B, M): all vertical edges in row-major
        order, then all horizontal ones. No product is fused with its sum, so the bits are those of the plain
        formula.

    Example:
        >>> edge_weights(torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]], device="cuda")).tolist()
        [[4.0, 4.0, 1.0, 1.0]]
    """
    batch, channels, height, width = guidance_BCHW.shape
    dtype = torch.float64 if guidance_BCHW.dtype == torch.float64 else torch.float32
    num_edges = height * (width - 1) + width * (height - 1)
    weight_BM = torch.empty((batch, num_edges), dtype=dtype, device=guidance_BCHW.device)
    if weight_BM.numel() == 0:
        return weight_BM
    with torch.cuda.device(weight_BM.get_device()):
        _edge_weights[(batch * triton.cdiv(height * width, _BLOCK),)](
            guidance_BCHW.detach().contiguous(),
            weight_BM,
            channels,
            height,
            width,
            BLOCK=_BLOCK,
            enable_fp_fusion=False,
        )
    return weight_BM


@triton.jit  # type: ignore[untyped-decorator]
def _edge_weights(
    guidance: tl.tensor, weight: tl.tensor, channels: int, height: int, width: int, BLOCK: tl.constexpr
) -> None:
    """Write both edges that start at each of ``BLOCK`` pixels of one image."""
    pixels = height * width
    blocks = tl.cdiv(pixels, BLOCK)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    pixel = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    row, column = pixel // width, pixel % width
    has_below = pixel < pixels - width
    has_right = (pixel < pixels) & (column < width - 1)
    below = tl.zeros((BLOCK,), dtype=weight.dtype.element_ty)
    right = tl.zeros((BLOCK,), dtype=weight.dtype.element_ty)
    start = guidance + image * channels * pixels
    for _ in range(channels):
        here = tl.load(start + pixel, mask=pixel < pixels, other=0.0).to(weight.dtype.element_ty)
        under = tl.load(start + pixel + width, mask=has_below, other=0.0).to(weight.dtype.element_ty)
        beside = tl.load(start + pixel + 1, mask=has_right, other=0.0).to(weight.dtype.element_ty)
        below += (here - under) * (here - under)
        right += (here - beside) * (here - beside)
        start += pixels
    vertical = pixels - width
    first = weight + image * (vertical + pixels - height)
    tl.store(first + pixel, below, mask=has_below)
    tl.store(first + vertical + row * (width - 1) + column, right, mask=has_right)
