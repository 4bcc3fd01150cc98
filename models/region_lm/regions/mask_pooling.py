"""A region as two tokens: what lies under its mask in every feature map, and where the mask is.

Paper: Yuan et al., "Osprey: Pixel Understanding with Visual Instruction Tuning",
https://arxiv.org/abs/2312.10032, Section 3.2. As in the release, the levels are added before one linear layer
(the paper: an MLP), and the position is read from a raster of 112 x 112 (the paper: 224 x 224).
Difference: a cell belongs to a region if any of the mask lies in it. The release looks at four pixels around
the centre of a cell and so loses small masks: of 512 x 512 pixels, a region of 8 x 8 is seen by one in
fourteen of the maps of 16 x 16, and of the rest it pools nothing at all. ``"legacy"`` does as the release.

A mask and the maps cover the same canvas; sizes may differ.

Shape suffixes:
    R = regions of an image   C = channels of a map   H, W = pixels of a mask, or cells of a map
    D = width of the language model
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

Coverage = Literal["binary", "soft", "legacy"]
"""What a cell weighs: 1 if any of the mask lies in it, the share of it that the mask covers, or 1 if the mask
is found near its centre."""


class RegionTokens(NamedTuple):
    """The tokens of the regions of one image."""

    mask_RD: Tensor
    """What the regions look like."""
    position_RD: Tensor | None
    """Where they are; None without a position raster."""


def cell_weights(mask_RHW: Tensor, size: tuple[int, int], mode: Coverage = "binary") -> Tensor:
    """Weigh the cells of a map by the masks that lie over it.

    Args:
        mask_RHW: Bool, none of them empty.
        size: Rows and columns of the map. Where a map is finer than the mask, a pixel counts for every cell
            whose corner at the left and above lies in it.
        mode: See ``Coverage``.

    Returns:
        float32 in [0, 1] of shape (R, rows, columns); never all zero for a mask, but in legacy mode.

    Raises:
        TypeError: If masks are not bool.
        ValueError: If the shape is wrong, or a mask is empty.

    Example:
        >>> corner = torch.zeros(1, 4, 4, dtype=torch.bool)
        >>> corner[0, 0, 0] = True
        >>> cell_weights(corner, (2, 2)).tolist(), cell_weights(corner, (2, 2), "soft").tolist()
        ([[[1.0, 0.0], [0.0, 0.0]]], [[[0.25, 0.0], [0.0, 0.0]]])
    """
    check_masks(mask_RHW)
    return _weights(mask_RHW, size, mode)


def mask_pool(map_CHW: Tensor, mask_RHW: Tensor, mode: Coverage = "binary") -> Tensor:
    """Average a map under each mask.

    Args:
        map_CHW: Of any floating type; sums are taken in float32.
        mask_RHW: Bool, none of them empty, of the canvas that the map covers.
        mode: See ``Coverage``. In legacy mode a mask that no cell finds gives zeros.

    Returns:
        Shape (R, C), of the map's type.

    Raises:
        TypeError: If masks are not bool.
        ValueError: If a shape is wrong, or a mask is empty.
    """
    check_masks(mask_RHW)
    if map_CHW.ndim != 3:
        raise ValueError(f"map_CHW must have shape (C, H, W), got {tuple(map_CHW.shape)}.")
    return _pool(map_CHW, mask_RHW, mode)


def check_masks(mask_RHW: Tensor) -> None:
    """Refuse masks that cannot be pooled.

    Raises:
        TypeError: If they are not bool.
        ValueError: If the shape is wrong, or a mask is empty; it is named by its place, from 0.
    """
    if mask_RHW.dtype != torch.bool:
        raise TypeError(f"mask_RHW must be bool, got {mask_RHW.dtype}.")
    if mask_RHW.ndim != 3 or 0 in mask_RHW.shape[1:]:
        raise ValueError(f"mask_RHW must have shape (R, H, W), got {tuple(mask_RHW.shape)}.")
    empty = (~mask_RHW.flatten(1).any(dim=1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"the mask of region {empty[0]} of {len(mask_RHW)} is empty: nothing can be said of it."
        )


def _weights(mask_RHW: Tensor, size: tuple[int, int], mode: Coverage) -> Tensor:
    mask_R1HW = mask_RHW[:, None].float()
    if mode == "legacy":
        return (_bilinear(mask_R1HW, size) > 0).float()[:, 0]
    weight_RHW = _covered(mask_R1HW, size)[:, 0]
    return (weight_RHW > 0).float() if mode == "binary" else weight_RHW


def _covered(mask_R1HW: Tensor, size: tuple[int, int]) -> Tensor:
    """Average the pixels that a cell touches; repeat them along a side on which cells are the finer ones."""
    finest = max(mask_R1HW.shape[2], size[0]), max(mask_R1HW.shape[3], size[1])
    if finest != tuple(mask_R1HW.shape[2:]):
        mask_R1HW = functional.interpolate(mask_R1HW, size=finest, mode="nearest")
    return functional.adaptive_avg_pool2d(mask_R1HW, size)


def _bilinear(mask_R1HW: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(mask_R1HW.shape[2:]) == size:
        return mask_R1HW
    return functional.interpolate(mask_R1HW, size=size, mode="bilinear", align_corners=False)


def _pool(map_CHW: Tensor, mask_RHW: Tensor, mode: Coverage) -> Tensor:
    height, width = map_CHW.shape[1:]
    weight_RN = _weights(mask_RHW, (height, width), mode).flatten(1)
    # A mean over 16,384 cells overflows float16 and is rounded away in bfloat16.
    with torch.autocast(map_CHW.device.type, enabled=False):
        sum_RC = weight_RN @ map_CHW.flatten(1).float().T
        total_R1 = weight_RN.sum(dim=1, keepdim=True)
        return (sum_RC / total_R1.where(total_R1 > 0, 1.0)).to(map_CHW.dtype)


class MaskRegionEncoder(nn.Module):
    """Turns masks into the tokens of their regions.

    Args:
        level_channels: Channels of each feature map, in the order of ``forward``.
        hidden: Width in which the levels are added.
        width: Of the language model.
        position_side: Side of the raster that the position is read from, in cells; None: no position token.
        mode: What a cell weighs. It holds for the raster, too: the shares that the mask covers, or, in legacy
            mode, bilinear samples.

    Raises:
        ValueError: If there is no level.
    """

    def __init__(
        self,
        level_channels: Sequence[int],
        hidden: int,
        width: int,
        *,
        position_side: int | None = 112,
        mode: Coverage = "binary",
    ) -> None:
        super().__init__()
        if not level_channels:
            raise ValueError("level_channels is empty: at least one feature map is needed.")
        self.level_channels = tuple(level_channels)
        self.position_side, self.mode, self.width = position_side, mode, width
        self.levels = nn.ModuleList(nn.Linear(channels, hidden) for channels in level_channels)
        self.merge = nn.Linear(hidden, width)
        self.position: nn.Sequential | None = None
        if position_side is not None:
            self.position = nn.Sequential(
                nn.Linear(position_side**2, hidden),
                nn.ReLU(),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
                nn.Linear(hidden, width),
            )

    def forward(self, levels: Sequence[Tensor], mask_RHW: Tensor) -> RegionTokens:
        """Encode the regions of one image.

        Args:
            levels: One map of shape (C, H, W) a level; maps of tiles are put together before.
            mask_RHW: Bool, none of them empty, of the canvas that the maps cover.

        Returns:
            Tokens in the order of the masks, of the type of the maps.

        Raises:
            TypeError: If masks are not bool.
            ValueError: If maps do not fit the constructor, or a mask is empty.
        """
        return self.forward_batch([levels], [mask_RHW])[0]

    def forward_batch(
        self, images: Sequence[Sequence[Tensor]], masks: Sequence[Tensor]
    ) -> list[RegionTokens]:
        """Encode the regions of several images, whose maps and masks may differ in size.

        Args:
            images: The levels of each image, as in ``forward``.
            masks: The masks of each image, as in ``forward``; an image may have none.

        Returns:
            Tokens of each image.

        Raises:
            TypeError: If masks are not bool.
            ValueError: As in ``forward``, or if there are not as many images as sets of masks.
        """
        if len(images) != len(masks) or not images:
            raise ValueError(f"each image needs its masks, got {len(images)} images and {len(masks)} sets.")
        for levels, mask_RHW in zip(images, masks, strict=True):
            self._check(levels, mask_RHW)
        counts = [len(mask_RHW) for mask_RHW in masks]
        pooled = [
            torch.cat([_pool(maps[level], mask, self.mode) for maps, mask in zip(images, masks, strict=True)])
            for level in range(len(self.levels))
        ]
        hidden_RD = torch.stack([linear(part) for linear, part in zip(self.levels, pooled, strict=True)]).sum(
            dim=0
        )
        mask_RD = self.merge(hidden_RD).split(counts)
        if self.position is None:
            return [RegionTokens(part, None) for part in mask_RD]
        raster_RN = torch.cat([self._raster(mask_RHW) for mask_RHW in masks]).to(pooled[0].dtype)
        position_RD = self.position(raster_RN).split(counts)
        return [RegionTokens(*parts) for parts in zip(mask_RD, position_RD, strict=True)]

    def _check(self, levels: Sequence[Tensor], mask_RHW: Tensor) -> None:
        check_masks(mask_RHW)
        shapes = [tuple(level.shape) for level in levels]
        found = tuple(shape[0] if len(shape) == 3 else None for shape in shapes)
        if found != self.level_channels:
            raise ValueError(
                f"levels must be maps (C, H, W) of {list(self.level_channels)} channels, got {shapes}."
            )

    def _raster(self, mask_RHW: Tensor) -> Tensor:
        side = self.position_side or 0
        mask_R1HW = mask_RHW[:, None].float()
        resized = _bilinear if self.mode == "legacy" else _covered
        return resized(mask_R1HW, (side, side)).flatten(1)
