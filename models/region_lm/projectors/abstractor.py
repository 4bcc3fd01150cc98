"""Projectors that compress with convolutions.

Papers: Cha et al., "Honeybee: Locality-enhanced Projector for Multimodal LLM", https://arxiv.org/abs/2312.06742
(C-Abstractor, section 4.1); Chu et al., "MobileVLM V2: Faster and Stronger Baseline for Vision Language
Model", https://arxiv.org/abs/2402.03766 (LDP-v2, section 3.2).

Shape suffixes:
    T = canvases   N = tokens of a canvas   M = tokens after projection   C = channels   H, W = cells
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import SqueezeExcitation

from models.region_lm.projectors.interface import Grid, Projector, two_layers
from models.vision.features import VisionFeatures, map_of, rows_of

_BLOCKS = 3
"""Before the pooling, and again behind it."""


class CAbstractor(Projector):
    """Residual convolutions, a mean of each window, residual convolutions, two layers.

    Args:
        channels: Of a token.
        grid: Rows and columns of tokens.
        scale: Cells along a side of a window.
        width: Of the language model.
        inner: Channels of the convolutions; by default those of a token.
    """

    def __init__(
        self, *, channels: int, grid: Grid, scale: int, width: int, inner: int | None = None
    ) -> None:
        super().__init__(grid=grid, scale=scale)
        inner = inner or channels
        self.position_NC = nn.Parameter(torch.empty(grid[0] * grid[1], channels))
        nn.init.trunc_normal_(self.position_NC, std=0.02)
        self.before = _stage(channels, inner)
        self.pool = nn.AdaptiveAvgPool2d(self.target)
        self.behind = _stage(inner, inner)
        self.layers = nn.Sequential(nn.Linear(inner, width), nn.SiLU(), nn.Linear(width, width))

    def project(self, features: VisionFeatures) -> Tensor:
        """See ``Projector.forward``."""
        cells_TNC = features.tokens_TNC + self.position_NC
        maps = self.before(map_of(cells_TNC, self.grid))
        projected: Tensor = self.layers(rows_of(self.behind(self.pool(maps))))
        return projected


class LdpProjector(Projector):
    """Two layers, a mean of each window, and a depthwise convolution that is added: it tells positions.

    Args:
        channels: Of a token.
        grid: Rows and columns of tokens.
        scale: Cells along a side of a window.
        width: Of the language model.
    """

    def __init__(self, *, channels: int, grid: Grid, scale: int, width: int) -> None:
        super().__init__(grid=grid, scale=scale)
        self.layers = two_layers(channels, width)
        self.pool = nn.AdaptiveAvgPool2d(self.target)
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def project(self, features: VisionFeatures) -> Tensor:
        """See ``Projector.forward``."""
        tokens_TND = self.layers(features.tokens_TNC)
        small = self.pool(map_of(tokens_TND, self.grid))
        return rows_of(small + self.position(small))


class _MapNorm(nn.LayerNorm):
    """Norm over the channels of each cell of a map."""

    def forward(self, map_TCHW: Tensor) -> Tensor:
        return super().forward(map_TCHW.movedim(1, -1)).movedim(-1, 1)


class _ResidualBlock(nn.Module):
    """A matrix, a depthwise convolution, a gate on channels and a matrix, added to what came in."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.shortcut: nn.Module = nn.Identity()
        if channels != width:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), _MapNorm(width))
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False),
            _MapNorm(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            _MapNorm(width),
            nn.SiLU(),
            SqueezeExcitation(width, max(channels // 4, 1), activation=nn.SiLU),
            nn.Conv2d(width, width, 1, bias=False),
            _MapNorm(width),
        )

    def forward(self, map_TCHW: Tensor) -> Tensor:
        return functional.silu(self.body(map_TCHW) + self.shortcut(map_TCHW))


def _stage(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(*(_ResidualBlock(width if block else channels, width) for block in range(_BLOCKS)))
