"""SOLOv2: every cell of a grid says what lies there and brings the kernel of its own mask.

Paper: Wang et al., "SOLOv2: Dynamic and Fast Instance Segmentation", https://arxiv.org/abs/2003.10152.
Differences: masks of a level are made at half its stride, as the box-supervised release of APro has it, so
that large regions do not cost what small ones need; convolutions of the mask branch have no norm, as there.

Shape suffixes:
    B = images   C = channels   H = height   W = width   K = categories   S = cells along a side of a grid
    M = mask channels   R = cells that speak of a region
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 8, 16, 32, 32)
"""Pixels of the network's input per sample at which the levels P2 to P6 are read."""
MASK_STRIDES = (4, 4, 8, 16, 16)
"""Pixels of the network's input per sample of the masks of each level."""
GRIDS = (40, 36, 24, 16, 12)
"""Cells along each side, by level."""


class SoloOutput(NamedTuple):
    """What the head says; one entry a level."""

    category_logit_BKSS: tuple[Tensor, ...]
    kernel_BMSS: tuple[Tensor, ...]
    feature_BMHW: Tensor
    """What the kernels are applied to, at stride 4."""


class SoloHead(nn.Module):
    """Category and kernel towers on grids, and the mask branch.

    Args:
        channels: Of the pyramid's levels.
        width: Channels of the towers, a multiple of 32.
        num_categories: Number of categories, at least 1.
        mask_channels: Channels of the mask features, and so of a kernel of 1 x 1.
        num_convolutions: Length of each tower.
        grids: Cells along each side, by level.
    """

    def __init__(
        self,
        *,
        channels: int,
        width: int,
        num_categories: int,
        mask_channels: int,
        num_convolutions: int = 4,
        grids: Sequence[int] = GRIDS,
    ) -> None:
        super().__init__()
        self.grids = tuple(grids)
        self.category_tower = _tower(channels, width, num_convolutions)
        self.kernel_tower = _tower(channels + 2, width, num_convolutions)
        self.category = nn.Conv2d(width, num_categories, 3, padding=1)
        self.kernel = nn.Conv2d(width, mask_channels, 3, padding=1)
        inputs = [channels, channels, channels, channels + 2]
        self.mask_levels = nn.ModuleList(nn.Conv2d(count, width // 2, 3, padding=1) for count in inputs)
        self.mask_merge = nn.Conv2d(width // 2, mask_channels, 1)
        for layer in (self.category, self.kernel):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.category.bias, -math.log((1 - 0.01) / 0.01))  # type: ignore[arg-type]

    def forward(self, levels: Sequence[Tensor]) -> SoloOutput:
        """Read the pyramid.

        Args:
            levels: P2 to P6, strides 4, 8, 16, 32 and 64, each (B, C, H, W).

        Returns:
            Category logits and kernels of every cell, and the mask features.

        Raises:
            ValueError: If there are not five levels.
        """
        if len(levels) != len(STRIDES):
            raise ValueError(f"levels must be the five of P2 to P6, got {len(levels)}.")
        read = list(levels)
        read[0] = functional.interpolate(levels[0], size=levels[1].shape[2:], mode="bilinear")
        read[4] = functional.interpolate(levels[4], size=levels[3].shape[2:], mode="bilinear")
        categories, kernels = [], []
        for level, side in zip(read, self.grids, strict=True):
            grid = functional.interpolate(with_positions(level), size=(side, side), mode="bilinear")
            kernels.append(self.kernel(self.kernel_tower(grid)))
            categories.append(self.category(self.category_tower(grid[:, :-2])))
        return SoloOutput(tuple(categories), tuple(kernels), self._features(levels[:4]))

    def _features(self, levels: Sequence[Tensor]) -> Tensor:
        size, merged = levels[0].shape[2:], torch.zeros(())
        for place, (level, layer) in enumerate(zip(levels, self.mask_levels, strict=True)):
            given = with_positions(level) if place == 3 else level
            part = functional.interpolate(layer(given).relu(), size=size, mode="bilinear")
            merged = part if place == 0 else merged + part
        features: Tensor = self.mask_merge(merged).relu()
        return features


def solo_masks(output: SoloOutput, level: int, image_R: Tensor, cell_R: Tensor) -> Tensor:
    """Apply the kernels of cells to the mask features of their images.

    Args:
        output: What the head says.
        level: Place of the level.
        image_R: Image of each cell, int64.
        cell_R: Row-major place of each cell in the grid, int64.

    Returns:
        Mask logits at ``MASK_STRIDES[level]``, shape (R, H, W).
    """
    feature_BMHW = output.feature_BMHW
    shrink = MASK_STRIDES[level] // MASK_STRIDES[0]
    if shrink > 1:
        height, width = feature_BMHW.shape[2:]
        size = max(1, height // shrink), max(1, width // shrink)
        feature_BMHW = functional.interpolate(feature_BMHW, size=size, mode="bilinear", antialias=True)
    kernel_RM = output.kernel_BMSS[level].flatten(2)[image_R, :, cell_R]
    logits = [
        torch.einsum("rm,mhw->rhw", kernel_RM[image_R == image], feature)
        for image, feature in enumerate(feature_BMHW)
    ]
    order_R = torch.cat([torch.nonzero(image_R == image)[:, 0] for image in range(len(feature_BMHW))])
    return torch.cat(logits)[order_R.argsort()]


def with_positions(level_BCHW: Tensor) -> Tensor:
    """Add two channels: column and row, from -1 to 1."""
    batch, _, height, width = level_BCHW.shape
    y = torch.linspace(-1.0, 1.0, height, device=level_BCHW.device, dtype=level_BCHW.dtype)
    x = torch.linspace(-1.0, 1.0, width, device=level_BCHW.device, dtype=level_BCHW.dtype)
    position_2HW = torch.stack((x.expand(height, width), y[:, None].expand(height, width)))
    return torch.cat((level_BCHW, position_2HW.expand(batch, -1, -1, -1)), dim=1)


def _tower(inputs: int, width: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(count):
        layers += [
            nn.Conv2d(inputs if number == 0 else width, width, 3, padding=1, bias=False),
            nn.GroupNorm(32, width),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
