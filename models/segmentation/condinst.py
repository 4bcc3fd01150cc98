"""CondInst on torchvision's FCOS: every location brings the weights of its own small mask network.

Papers: Tian et al., "Conditional Convolutions for Instance Segmentation", https://arxiv.org/abs/2003.05664;
Tian et al., "BoxInst", https://arxiv.org/abs/2012.02310 (16 mask channels instead of 8).
Differences: maps are enlarged bilinearly with half-pixel centres, where the release aligns corners; distances
pass through softplus, where torchvision's ReLU kills half of random weights; norms of the mask branch are
over groups of channels.

Shape suffixes:
    B = images   C = channels   H = height   W = width   L = locations of all levels   K = categories
    M = mask channels   R = regions   P = weights of a mask network   N = samples of a mask
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.fcos import FCOSClassificationHead, FCOSRegressionHead

from models.segmentation.network import locations

STRIDES = (8, 16, 32, 64, 128)
"""Pixels of the network's input per location, by level: P3 to P7."""
HIDDEN = 8
"""Channels between the layers of a mask network."""
OF_INTEREST = 8.0
"""Positions are divided by this many strides of the level: 64 pixels on P3, doubled from level to level."""


class CondInstOutput(NamedTuple):
    """What the network says about a batch."""

    class_logit_BLK: Tensor
    distance_BL4: Tensor
    """To the left, top, right and bottom of the box, in pixels of the input."""
    centerness_logit_BL: Tensor
    weight_BLP: Tensor
    """Of the mask network of each location."""
    feature_BMHW: Tensor
    """What the mask networks read, at the stride of the finest level."""
    point_L2: Tensor
    """``(x, y)`` of each location in pixels of the input."""
    stride_L: Tensor

    def boxes(self) -> Tensor:
        """Return the corners in pixels of the input, shape (B, L, 4)."""
        low, high = self.point_L2 - self.distance_BL4[..., :2], self.point_L2 + self.distance_BL4[..., 2:]
        return torch.cat((low, high), dim=2)


def weight_count(mask_channels: int) -> int:
    """Return the number of weights of a mask network: 169 for 8 channels, 233 for 16."""
    return (mask_channels + 2) * HIDDEN + HIDDEN + HIDDEN * HIDDEN + HIDDEN + HIDDEN + 1


class CondInstHead(nn.Module):
    """Detection towers, controller and mask branch.

    Args:
        channels: Of the pyramid's levels, a multiple of 32.
        num_categories: Number of categories, at least 1.
        mask_channels: Channels that the mask networks read.
        branch_width: Channels of the mask branch, a multiple of 16.
        num_convolutions: Length of each tower.
        strides: Of the levels, each twice the one before.
    """

    def __init__(
        self,
        *,
        channels: int,
        num_categories: int,
        mask_channels: int = 16,
        branch_width: int = 128,
        num_convolutions: int = 4,
        strides: Sequence[int] = STRIDES,
    ) -> None:
        super().__init__()
        self.strides, self.mask_channels = tuple(strides), mask_channels
        self.classification = FCOSClassificationHead(channels, 1, num_categories, num_convolutions)
        self.regression = FCOSRegressionHead(channels, 1, num_convolutions)
        self.controller = nn.Conv2d(channels, weight_count(mask_channels), 3, padding=1)
        nn.init.normal_(self.controller.weight, std=0.01)
        nn.init.normal_(self.controller.bias, std=0.3)  # type: ignore[arg-type]
        self.refine = nn.ModuleList(_block(channels, branch_width) for _ in range(min(3, len(strides))))
        self.branch = nn.Sequential(
            *(_block(branch_width, branch_width) for _ in range(num_convolutions)),
            nn.Conv2d(branch_width, mask_channels, 1),
        )

    def forward(self, levels: Sequence[Tensor]) -> CondInstOutput:
        """Read the pyramid.

        Args:
            levels: As many as there are strides, finest first, each (B, C, H, W).

        Raises:
            ValueError: If there are more or fewer levels.
        """
        if len(levels) != len(self.strides):
            raise ValueError(f"levels must be {len(self.strides)}, got {len(levels)}.")
        sizes = [(level.shape[2], level.shape[3]) for level in levels]
        point_L2, stride_L = (part.to(levels[0].device) for part in locations(sizes, self.strides))
        distances, centerness, weights = [], [], []
        for level in levels:
            tower = self.regression.conv(level)
            distances.append(_flat(self.regression.bbox_reg(tower)))
            centerness.append(_flat(self.regression.bbox_ctrness(tower))[..., 0])
            weights.append(_flat(self.controller(tower)))
        distance_BL4 = functional.softplus(torch.cat(distances, dim=1)) * stride_L[:, None] * 2.0
        return CondInstOutput(
            class_logit_BLK=self.classification(list(levels)),
            distance_BL4=distance_BL4,
            centerness_logit_BL=torch.cat(centerness, dim=1),
            weight_BLP=torch.cat(weights, dim=1),
            feature_BMHW=self._features(levels),
            point_L2=point_L2,
            stride_L=stride_L,
        )

    def _features(self, levels: Sequence[Tensor]) -> Tensor:
        size = levels[0].shape[2:]
        parts = [
            functional.interpolate(refine(level), size=size, mode="bilinear")
            for refine, level in zip(self.refine, levels, strict=False)
        ]
        features: Tensor = self.branch(torch.stack(parts).sum(dim=0))
        return features

    def masks(self, output: CondInstOutput, image_R: Tensor, location_R: Tensor) -> Tensor:
        """Apply the mask networks of locations to the features of their images.

        Args:
            output: What ``forward`` returned.
            image_R: Image of each region, int64.
            location_R: Location of each region, int64.

        Returns:
            Mask logits at half the stride of the finest level, shape (R, H, W).
        """
        height, width = output.feature_BMHW.shape[2:]
        (point_N2, _) = locations([(height, width)], self.strides[:1])
        scale_R11 = OF_INTEREST * output.stride_L[location_R][:, None, None]
        offset_RN2 = output.point_L2[location_R][:, None] - point_N2.to(scale_R11.device)[None]
        position_R2N = (offset_RN2 / scale_R11).transpose(1, 2)
        read_RCN = torch.cat((output.feature_BMHW.flatten(2)[image_R], position_R2N), dim=1)
        logit_RHW = apply_mask_networks(output.weight_BLP[image_R, location_R], read_RCN).reshape(
            -1, height, width
        )
        size = (2 * height, 2 * width)
        return functional.interpolate(logit_RHW[:, None], size=size, mode="bilinear")[:, 0]


def apply_mask_networks(weight_RP: Tensor, read_RCN: Tensor) -> Tensor:
    """Run three 1x1 convolutions with weights of their own for each region.

    Args:
        weight_RP: Kernels and biases, layer by layer.
        read_RCN: Features and positions.

    Returns:
        Logits, shape (R, N).

    Raises:
        ValueError: If the weights are not as many as the features need.
    """
    expected = weight_count(read_RCN.shape[1] - 2)
    if weight_RP.shape[1] != expected:
        raise ValueError(f"{read_RCN.shape[1]} channels need {expected} weights, got {weight_RP.shape[1]}.")
    inputs, hidden_RCN = read_RCN.shape[1], read_RCN
    start = 0
    for outputs, last in ((HIDDEN, False), (HIDDEN, False), (1, True)):
        kernel = weight_RP[:, start : start + inputs * outputs].reshape(-1, outputs, inputs)
        start += inputs * outputs
        bias = weight_RP[:, start : start + outputs, None]
        start += outputs
        hidden_RCN = torch.baddbmm(bias, kernel, hidden_RCN)
        hidden_RCN = hidden_RCN if last else hidden_RCN.relu()
        inputs = outputs
    return hidden_RCN[:, 0]


def _flat(map_BCHW: Tensor) -> Tensor:
    return map_BCHW.flatten(2).transpose(1, 2)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.GroupNorm(16, outputs), nn.ReLU()
    )
