"""What an encoder saw: the only thing that projectors and region encoders know of it.

Shape suffixes:
    T = canvases   N = tokens of a canvas   C = channels   H, W = cells
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionFeatures:
    """Tokens of one depth, and maps of several."""

    tokens_TNC: Tensor
    """Cells of the grid, row by row."""
    grid: tuple[int, int]
    """Rows and columns of tokens."""
    levels: tuple[Tensor, ...]
    """Maps of shape (T, C, H, W), each with channels and size of its own."""

    def __post_init__(self) -> None:
        """Refuse tokens that do not fill the grid and levels of other canvases.

        Raises:
            ValueError: With the shapes.
        """
        shape = tuple(self.tokens_TNC.shape)
        if len(shape) != 3 or shape[1] != self.grid[0] * self.grid[1]:
            raise ValueError(
                f"tokens must be (canvases, {self.grid[0]} * {self.grid[1]}, channels), got {shape}."
            )
        shapes = [tuple(level.shape) for level in self.levels]
        if any(len(level) != 4 or level[0] != shape[0] for level in shapes):
            raise ValueError(f"levels must be ({shape[0]}, channels, height, width), got {shapes}.")

    def as_map(self) -> Tensor:
        """Return the tokens as a map, (T, C, H, W)."""
        return map_of(self.tokens_TNC, self.grid)


def pixels_of(pixels: Mapping[str, Tensor], name: str, side: int) -> Tensor:
    """Return the canvases of one encoder.

    Args:
        pixels: Canvases of shape (T, 3, side, side), floating, by encoder.
        name: Of the encoder.
        side: Of its canvas, in pixels.

    Raises:
        TypeError: If they are not floating.
        ValueError: If the encoder has none, or they have another shape.
    """
    if name not in pixels:
        raise ValueError(f"pixels must have canvases for {name!r}, got {sorted(pixels)}.")
    canvas = pixels[name]
    if not canvas.is_floating_point():
        raise TypeError(f"pixels[{name!r}] must be floating and normalised, got {canvas.dtype}.")
    if canvas.ndim != 4 or tuple(canvas.shape[1:]) != (3, side, side):
        raise ValueError(
            f"pixels[{name!r}] must have shape (canvases, 3, {side}, {side}), got {tuple(canvas.shape)}."
        )
    return canvas


def one_side(image_size: object) -> int:
    """Return the side of a square canvas, in pixels.

    Raises:
        ValueError: If a configuration of transformers has another shape of canvas, or none.
    """
    if not isinstance(image_size, int) or image_size < 1:
        raise ValueError(f"image_size must be one number of pixels, got {image_size!r}.")
    return image_size


def map_of(tokens_TNC: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return cells that stand row by row as a map, (T, C, H, W)."""
    return torch.unflatten(tokens_TNC.transpose(1, 2), 2, grid)


def rows_of(map_TCHW: Tensor) -> Tensor:
    """Return a map's cells row by row, (T, N, C)."""
    return map_TCHW.flatten(2).transpose(1, 2)
