"""Features of canvases that no encoder saw."""

from dataclasses import replace

import torch

from models.vision.features import VisionFeatures

CHANNELS, LEVELS, GRID, WIDTH = 32, (32, 32, 32, 32), (12, 12), 64


def some_features(count: int = 2, *, seed: int = 0, grid: tuple[int, int] = GRID) -> VisionFeatures:
    draw = torch.Generator().manual_seed(seed)
    return VisionFeatures(
        tokens_TNC=torch.randn(count, grid[0] * grid[1], CHANNELS, generator=draw),
        grid=grid,
        levels=tuple(torch.randn(count, channels, *grid, generator=draw) for channels in LEVELS),
    )


def changed_token(features: VisionFeatures, row: int, column: int) -> VisionFeatures:
    """Change the token of one cell."""
    tokens = features.tokens_TNC.clone()
    tokens[:, row * features.grid[1] + column] += 1.0
    return replace(features, tokens_TNC=tokens)


def changed_level(features: VisionFeatures, level: int, row: int, column: int) -> VisionFeatures:
    """Change one cell of one level."""
    levels = [values.clone() for values in features.levels]
    levels[level][:, :, row, column] += torch.linspace(-1.0, 1.0, levels[level].shape[1])
    return replace(features, levels=tuple(levels))
