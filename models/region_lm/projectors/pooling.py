"""Projectors that make one token of a window without weights of its own.

Paper of the pixel shuffle as a projector: Chen et al., "How Far Are We to GPT-4V?" (InternVL 1.5),
https://arxiv.org/abs/2404.16821. The mean of a window is the simplest baseline of TokenPacker's tables
(https://arxiv.org/abs/2407.02392).
"""

import torch
from torch import Tensor

from models.region_lm.projectors.interface import Grid, Projector, two_layers, windows
from models.vision.features import VisionFeatures


class AveragePoolProjector(Projector):
    """The mean of each window, then two layers.

    Args:
        channels: Of a token.
        grid: Rows and columns of tokens.
        scale: Cells along a side of a window.
        width: Of the language model.
    """

    def __init__(self, *, channels: int, grid: Grid, scale: int, width: int) -> None:
        super().__init__(grid=grid, scale=scale)
        self.layers = two_layers(channels, width)

    def project(self, features: VisionFeatures) -> Tensor:
        """See ``Projector.forward``."""
        cut = windows(torch.unflatten(features.tokens_TNC, 1, self.grid), self.scale)
        projected: Tensor = self.layers(cut.mean(dim=(3, 4)).flatten(1, 2))
        return projected


class PixelShuffleProjector(Projector):
    """The cells of each window side by side on channels, row by row, then two layers.

    Args:
        channels: Of a token.
        grid: Rows and columns of tokens.
        scale: Cells along a side of a window.
        width: Of the language model.
    """

    def __init__(self, *, channels: int, grid: Grid, scale: int, width: int) -> None:
        super().__init__(grid=grid, scale=scale)
        self.layers = two_layers(channels * scale**2, width)

    def project(self, features: VisionFeatures) -> Tensor:
        """See ``Projector.forward``."""
        cut = windows(torch.unflatten(features.tokens_TNC, 1, self.grid), self.scale)
        projected: Tensor = self.layers(cut.flatten(3).flatten(1, 2))
        return projected
