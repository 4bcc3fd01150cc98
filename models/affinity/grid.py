"""Pixels of an image as the nodes of a grid graph, and edges as numbers.

An edge is one number, its code: with N pixels numbered row by row, ``u`` is the edge between pixel u and the
one below it, ``N + u`` the edge between u and the one on its right. Codes order the edges as the published
release does (all vertical ones, row by row, then all horizontal ones), and the order breaks ties.

Shape suffixes:
    B = images   R = regions   C = channels   H = height   W = width   N = H * W pixels, row-major   E = edges
"""

from typing import Any

import torch
from torch import Tensor


def grid_edges(height: int, width: int) -> Tensor:
    """List the codes of the edges between 4-connected pixels.

    Args:
        height: Rows, at least 1.
        width: Columns, at least 1.

    Returns:
        Codes in increasing order, int32, shape (height * (width - 1) + width * (height - 1),).

    Example:
        >>> grid_edges(2, 2).tolist()
        [0, 1, 4, 6]
    """
    pixel_HW = torch.arange(height * width, dtype=torch.int32).reshape(height, width)
    return torch.cat((pixel_HW[:-1].flatten(), height * width + pixel_HW[:, :-1].flatten()))


def edge_pixels(edge_BE: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Decode edges into pairs of pixels.

    Args:
        edge_BE: Codes, any shape.
        height: Rows of the image.
        width: Columns of the image.

    Returns:
        The pixel above or on the left and its partner, int64, shape of ``edge_BE``.

    Example:
        >>> [pixel.tolist() for pixel in edge_pixels(torch.tensor([0, 5]), 2, 2)]
        [[0, 1], [2, 2]]
    """
    across = edge_BE >= height * width
    first = (edge_BE - across * (height * width)).long()
    return first, first + torch.where(across, 1, width)


def check_guidance(guidance_BCHW: Tensor) -> None:
    """Refuse a guidance whose colours have no distance.

    Raises:
        ValueError: If it is not four-dimensional, has no channel or pixel, or an item is not finite.
    """
    check_size(guidance_BCHW)
    for item, colours_CHW in enumerate(guidance_BCHW.detach()):
        if not colours_CHW.isfinite().all():
            values = colours_CHW[~colours_CHW.isfinite()]
            raise ValueError(
                f"guidance_BCHW[{item}] must be finite, got {values[0].item()} in {len(values)} of "
                f"{colours_CHW.numel()} values."
            )


def check_size(guidance_BCHW: Tensor) -> None:
    """Refuse a guidance without colours or pixels.

    Raises:
        ValueError: If it is not four-dimensional, or has no channel or pixel.
    """
    if guidance_BCHW.ndim != 4 or 0 in guidance_BCHW.shape[1:]:
        raise ValueError(
            f"guidance_BCHW must have four dimensions, channels and pixels, got {tuple(guidance_BCHW.shape)}."
        )


def widen(weight_RE: Tensor) -> Tensor:
    """Return weights in a type that is compared as it is: float64 stays, all else becomes float32."""
    return weight_RE if weight_RE.dtype == torch.float64 else weight_RE.float()


def check_weights(weight_RE: Tensor) -> None:
    """Refuse negative weights; on a device nobody waits for the answer, and it is not asked for.

    Raises:
        ValueError: If one on the CPU is negative.
    """
    if (
        weight_RE.device.type == "cpu"
        and weight_RE.numel()
        and (low := weight_RE.detach().numpy().min()) < 0.0
    ):
        raise ValueError(f"weights must not be negative, got {low:.3g}.")


def edge_weights(guidance_RCHW: Tensor, edge_RE: Tensor) -> Tensor:
    """Measure the squared colour distance along edges, summed over channels. Differentiable.

    Args:
        guidance_RCHW: Any real field.
        edge_RE: Codes, int32.

    Returns:
        Weights, shape (R, E), not negative; float64 for a float64 guidance, else float32.
    """
    wide = widen(guidance_RCHW)
    first_RE, second_RE = edge_pixels(edge_RE, *guidance_RCHW.shape[2:])
    weight_RE = wide.new_zeros(edge_RE.shape)
    for plane_RN in wide.flatten(2).unbind(1):
        weight_RE = weight_RE + (plane_RN.gather(1, second_RE) - plane_RN.gather(1, first_RE)).square()
    return weight_RE


class KnownEdgeWeights(torch.autograd.Function):
    """Weights that a kernel has measured already, tied to the guidance they come from."""

    @staticmethod
    def forward(ctx: Any, guidance_BCHW: Tensor, edge_BE: Tensor, weight_BE: Tensor) -> Tensor:  # noqa: ANN401
        """Return ``weight_BE``, which is ``edge_weights(guidance_BCHW, edge_BE)`` up to rounding."""
        ctx.save_for_backward(guidance_BCHW, edge_BE)
        return weight_BE.clone()

    @staticmethod
    def backward(ctx: Any, slope_BE: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        """Push both ends of every edge apart: d w / d f_u = 2 (f_u - f_v)."""
        guidance_BCHW, edge_BE = ctx.saved_tensors
        with torch.enable_grad():
            guidance_BCHW = guidance_BCHW.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(edge_weights(guidance_BCHW, edge_BE), guidance_BCHW, slope_BE)
        return gradient, None, None
