"""A resampler: learned queries that ask the whole canvas.

Paper: Bai et al., "Qwen-VL: A Versatile Vision-Language Model", https://arxiv.org/abs/2308.12966, section 2.
One layer of cross-attention whose queries and keys carry fixed two-dimensional positions. A norm and a matrix
follow the attention, for the language model sees what this returns.

Shape suffixes:
    T = canvases   N = tokens of a canvas   M = tokens after projection   D = width of the language model
"""

import torch
from torch import Tensor, nn

from models.region_lm.projectors.interface import Grid, Projector
from models.vision.features import VisionFeatures

_NORM_EPSILON = 1e-6
_WAVELENGTHS = 10000.0
"""Ratio of the longest to the shortest wave of a position, as in sequences of words."""


class ResamplerProjector(Projector):
    """As many learned queries as windows; every query sees every token.

    Args:
        channels: Of a token.
        grid: Rows and columns of tokens.
        scale: Cells along a side of the window that a query stands for.
        width: Of the language model, a multiple of 4 and of ``heads``.
        heads: Of the attention.

    Raises:
        ValueError: If windows do not fill the grid, or the width does not fit.
    """

    def __init__(self, *, channels: int, grid: Grid, scale: int, width: int, heads: int) -> None:
        super().__init__(grid=grid, scale=scale)
        if width % 4 or heads < 1 or width % heads:
            raise ValueError(f"width must be a multiple of 4 and of {heads} heads, got {width}.")
        self.query_MD = nn.Parameter(torch.empty(self.num_tokens, width))
        nn.init.trunc_normal_(self.query_MD, std=0.02)
        self.query_norm, self.key_norm, self.output_norm = (
            nn.LayerNorm(width, eps=_NORM_EPSILON) for _ in range(3)
        )
        self.source = nn.Linear(channels, width, bias=False)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.output = nn.Linear(width, width, bias=False)

    def project(self, features: VisionFeatures) -> Tensor:
        """See ``Projector.forward``."""
        source_TND = self.key_norm(self.source(features.tokens_TNC))
        query_MD = self.query_norm(self.query_MD)
        query_MD = query_MD + grid_positions(self.target, query_MD, step=self.scale)
        keys_TND = source_TND + grid_positions(self.grid, source_TND, step=1)
        queries_TMD = query_MD.expand(len(keys_TND), -1, -1)
        gathered, _ = self.attention(queries_TMD, keys_TND, source_TND, need_weights=False)
        projected: Tensor = self.output(self.output_norm(gathered))
        return projected


def grid_positions(grid: Grid, like: Tensor, *, step: int) -> Tensor:
    """Write the centres of a grid's cells as waves: one half of the channels for rows, the other for columns.

    Args:
        grid: Rows and columns.
        like: Gives channels (its last dimension, a multiple of 4), type and device.
        step: Side of a cell, in cells of the encoder: queries and keys share one coordinate system.

    Returns:
        Of shape (rows * columns, channels), row by row.
    """
    quarter = like.shape[-1] // 4
    rates = _WAVELENGTHS ** -(torch.arange(quarter, device=like.device, dtype=torch.float32) / quarter)
    rows, columns = (
        (torch.arange(count, device=like.device, dtype=torch.float32) + 0.5)[:, None] * step * rates
        for count in grid
    )
    waves = [torch.cat([angles.sin(), angles.cos()], dim=1) for angles in (rows, columns)]
    positions = torch.cat(
        [
            waves[0][:, None].expand(-1, grid[1], -1),
            waves[1][None].expand(grid[0], -1, -1),
        ],
        dim=2,
    )
    return positions.flatten(0, 1).to(like.dtype)
