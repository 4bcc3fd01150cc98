"""Pixels of an image as the nodes of a grid graph.

Edges are numbered as in the published release: first all vertical ones ``(r, c)-(r + 1, c)`` in row-major
order, then all horizontal ones ``(r, c)-(r, c + 1)``. The number breaks ties, so it is part of the result.

Shape suffixes:
    B = images   C = channels   H = height   W = width   N = H * W pixels, row-major   E = edges
"""

import torch
from torch import Tensor


def grid_edges(height: int, width: int) -> Tensor:
    """List the edges between 4-connected pixels.

    Args:
        height: Rows, at least 1.
        width: Columns, at least 1.

    Returns:
        Pixel ids, int64, shape (height * (width - 1) + width * (height - 1), 2).

    Example:
        >>> grid_edges(2, 2).tolist()
        [[0, 2], [1, 3], [0, 1], [2, 3]]
    """
    pixel_HW = torch.arange(height * width).reshape(height, width)
    vertical = torch.stack((pixel_HW[:-1], pixel_HW[1:]), dim=-1).reshape(-1, 2)
    horizontal = torch.stack((pixel_HW[:, :-1], pixel_HW[:, 1:]), dim=-1).reshape(-1, 2)
    return torch.cat((vertical, horizontal))


def check_guidance(guidance_BCHW: Tensor) -> None:
    """Refuse a guidance whose colours have no distance.

    Raises:
        ValueError: If it is not four-dimensional, has no channel or pixel, or an item is not finite.
    """
    if guidance_BCHW.ndim != 4 or 0 in guidance_BCHW.shape[1:]:
        raise ValueError(
            f"guidance_BCHW must have four dimensions, channels and pixels, got {tuple(guidance_BCHW.shape)}."
        )
    for item, colours_CHW in enumerate(guidance_BCHW):
        if not colours_CHW.isfinite().all():
            values = colours_CHW[~colours_CHW.isfinite()]
            raise ValueError(
                f"guidance_BCHW[{item}] must be finite, got {values[0].item()} in {len(values)} of "
                f"{colours_CHW.numel()} values."
            )


def edge_weights(guidance_BCHW: Tensor, edge_BE2: Tensor) -> Tensor:
    """Measure the squared colour distance along each edge, summed over channels.

    Args:
        guidance_BCHW: Any real field, for example an image with values in [0, 1].
        edge_BE2: Pixel ids per image, int64.

    Returns:
        Weights, float64, shape (B, E), not negative.
    """
    flat_BCN = guidance_BCHW.detach().double().flatten(2)
    channels = flat_BCN.shape[1]
    first_BCE, second_BCE = (
        flat_BCN.gather(2, edge_BE2[:, None, :, end].expand(-1, channels, -1)) for end in (0, 1)
    )
    return (first_BCE - second_BCE).square().sum(dim=1)
