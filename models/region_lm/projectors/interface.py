"""What every projector promises, and what several of them need.

Shape suffixes:
    T = canvases   N = tokens of a canvas   M = tokens after projection   C = channels   H, W = cells
    D = width of the language model
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from models.vision.features import VisionFeatures

Grid = tuple[int, int]
"""Rows and columns of cells."""


class Projector(nn.Module, ABC):
    """Features of canvases in, vectors of the language model out.

    Args:
        grid: Rows and columns of the encoder's tokens.
        scale: Cells along a side of the window that becomes one token.

    Attributes:
        grid: As given.
        scale: As given.
        target: Rows and columns of tokens after projection.
        num_tokens: Their number, M.

    Raises:
        ValueError: If windows do not fill the grid.
    """

    def __init__(self, *, grid: Grid, scale: int) -> None:
        super().__init__()
        if scale < 1 or grid[0] % scale or grid[1] % scale:
            raise ValueError(f"scale must divide the grid {grid[0]} x {grid[1]}, got {scale}.")
        self.grid, self.scale = grid, scale
        self.target = (grid[0] // scale, grid[1] // scale)
        self.num_tokens = self.target[0] * self.target[1]

    def forward(self, features: VisionFeatures) -> Tensor:
        """Project the tokens of canvases.

        Args:
            features: Of canvases whose grid is the projector's.

        Returns:
            Of shape (T, M, D), row by row.

        Raises:
            ValueError: If the grid is another.
        """
        if features.grid != self.grid:
            raise ValueError(
                f"a projector for the grid {self.grid} got features of the grid {features.grid}."
            )
        return self.project(features)

    @abstractmethod
    def project(self, features: VisionFeatures) -> Tensor:
        """Do what ``forward`` promises, on a grid that fits."""


def windows(cells_THWC: Tensor, scale: int) -> Tensor:
    """Cut a grid of cells into square windows, without copying.

    Args:
        cells_THWC: Rows and columns are multiples of ``scale``.
        scale: Cells along a side of a window.

    Returns:
        Of shape (T, rows of windows, columns of windows, scale, scale, C).
    """
    split = torch.unflatten(torch.unflatten(cells_THWC, 2, (-1, scale)), 1, (-1, scale))
    return split.transpose(2, 3)


def two_layers(channels: int, width: int) -> nn.Sequential:
    """Build Linear, GELU, Linear, all of the width after the first."""
    return nn.Sequential(nn.Linear(channels, width), nn.GELU(), nn.Linear(width, width))
