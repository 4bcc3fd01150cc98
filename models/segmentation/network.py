"""The box-supervised segmenter: FCOS finds regions, each region brings the weights of its own mask head.

Papers: Tian et al., "FCOS", https://arxiv.org/abs/1904.01355; Tian et al., "Conditional Convolutions for
Instance Segmentation" (CondInst), https://arxiv.org/abs/2003.05664.
Differences: box distances pass through softplus (torchvision uses ReLU, half of which is dead at random
weights); mask heads read windows of a region, at stride 2, with positions relative to its box.

Shape suffixes:
    B = images   C = channels   H = height   W = width   L = locations of all levels   K = categories
    R = regions   P = mask-head parameters of a region   M = mask feature channels   S = samples of a window
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.segmentation.mask_head import DynamicMaskHead
from models.segmentation.windows import region_windows, sample_windows

STRIDES = (4, 8, 16)
"""Pixels of the network's input per location, by level."""
MASK_STRIDE = 2
"""Pixels of the network's input per cell of the mask features."""


class SegmenterOutput(NamedTuple):
    """Everything the network says about a batch; float32."""

    class_logits_BLK: Tensor
    boxes_BL4: Tensor
    """Corners in pixels of the input."""
    centerness_logits_BL: Tensor
    embedding_BLC: Tensor
    """What the controller turns into mask-head weights."""
    mask_features_BMHW: Tensor


class Segmenter(nn.Module):
    """Backbone, pyramid, detection head and mask head, composed.

    Args:
        backbone: Maps an image batch to a dictionary of features: ``stem`` at stride 2, then strides 4 to 32.
        pyramid: Maps the features at strides 4 to 32 to maps of equal width.
        head: Detection head shared by the levels.
        mask_features: Merges the finest pyramid level and the stem.
        mask_head: Controller and dynamic convolutions.
        window_margin: See ``SegmenterConfig``.
        window_size: See ``SegmenterConfig``.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        pyramid: nn.Module,
        head: "DetectionHead",
        mask_features: "MaskFeatures",
        mask_head: DynamicMaskHead,
        window_margin: float,
        window_size: int,
    ) -> None:
        super().__init__()
        self.backbone, self.pyramid, self.head = backbone, pyramid, head
        self.mask_features, self.mask_head = mask_features, mask_head
        self.window_margin, self.window_size = window_margin, window_size

    def forward(self, image_BCHW: Tensor, *, bfloat16: bool) -> SegmenterOutput:
        """Run everything that does not depend on regions.

        Args:
            image_BCHW: Values in [0, 1], float32, sides multiples of 32.
            bfloat16: Whether convolutions run in bfloat16; what is returned is float32 all the same.
        """
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            image_BCHW = (image_BCHW - 0.5) * 4.0
            features = dict(self.backbone(image_BCHW.contiguous(memory_format=torch.channels_last)))
            stem = features.pop("stem")
            levels = list(self.pyramid(features).values())
            per_level = [self.head(level, index) for index, level in enumerate(levels[: len(STRIDES)])]
            mask_features_BMHW = self.mask_features(levels[0], stem).float()
        logits, distances, centerness, embedding = (
            torch.cat([part.flatten(2).float() for part in parts], dim=2).transpose(1, 2)
            for parts in zip(*per_level, strict=True)
        )
        sizes = [(level.shape[2], level.shape[3]) for level in levels[: len(STRIDES)]]
        point_L2, stride_L = locations(sizes)
        reach_BL4 = functional.softplus(distances) * stride_L[:, None] * 2.0
        boxes_BL4 = torch.cat((point_L2 - reach_BL4[..., :2], point_L2 + reach_BL4[..., 2:]), dim=2)
        return SegmenterOutput(logits, boxes_BL4, centerness[..., 0], embedding, mask_features_BMHW)

    def masks(self, output: SegmenterOutput, image_R: Tensor, location_R: Tensor, boxes_R4: Tensor) -> Tensor:
        """Predict the mask of each region in its window.

        Args:
            output: What ``forward`` returned.
            image_R: Image of each region.
            location_R: Location in [0, L) whose embedding makes the region's mask head.
            boxes_R4: Boxes whose windows are read, in pixels of the input.

        Returns:
            Mask logits, shape (R, S, S).
        """
        windows_R4 = region_windows(boxes_R4, self.window_margin)
        features_RMSS = sample_windows(
            output.mask_features_BMHW, image_R, windows_R4, size=self.window_size, stride=MASK_STRIDE
        )
        masks_RSS: Tensor = self.mask_head(output.embedding_BLC[image_R, location_R], features_RMSS)
        return masks_RSS


class DetectionHead(nn.Module):
    """The two towers of FCOS.

    Args:
        classification: Tower of the category logits.
        regression: Tower of the distances, the centre-ness and the embedding.
        width: Channels of the towers.
        num_categories: Number of categories.
        num_levels: Pyramid levels; each scales its distances by a learnt factor.
    """

    def __init__(
        self,
        *,
        classification: nn.Module,
        regression: nn.Module,
        width: int,
        num_categories: int,
        num_levels: int,
    ) -> None:
        super().__init__()
        self.classification, self.regression = classification, regression
        self.category = nn.Conv2d(width, num_categories, 3, padding=1)
        self.distances = nn.Conv2d(width, 4, 3, padding=1)
        self.centerness = nn.Conv2d(width, 1, 3, padding=1)
        self.level_scale = nn.Parameter(torch.ones(num_levels))
        start = (self.category, -math.log((1 - 0.01) / 0.01)), (self.distances, 0.5), (self.centerness, 0.0)
        for layer, bias in start:
            nn.init.normal_(layer.weight, std=0.01)
            layer.bias = nn.Parameter(torch.full((layer.out_channels,), bias))

    def forward(self, feature_BCHW: Tensor, level: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return category logits, raw distances, centre-ness logits and the embedding of each location."""
        tower = self.regression(feature_BCHW)
        category = self.category(self.classification(feature_BCHW))
        return category, self.distances(tower) * self.level_scale[level], self.centerness(tower), tower


class MaskFeatures(nn.Module):
    """Features at stride 2 from the finest pyramid level and the stem.

    Args:
        from_pyramid: Applied to the pyramid level before it is enlarged.
        from_stem: Applied to the stem.
        merge: Applied to their sum.
    """

    def __init__(self, *, from_pyramid: nn.Module, from_stem: nn.Module, merge: nn.Module) -> None:
        super().__init__()
        self.from_pyramid, self.from_stem, self.merge = from_pyramid, from_stem, merge

    def forward(self, level_BCHW: Tensor, stem_BCHW: Tensor) -> Tensor:
        """Merge both at the resolution of the stem."""
        coarse = functional.interpolate(
            self.from_pyramid(level_BCHW), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        merged: Tensor = self.merge(coarse + self.from_stem(stem_BCHW))
        return merged


def locations(sizes: list[tuple[int, int]], strides: Sequence[int] = STRIDES) -> tuple[Tensor, Tensor]:
    """List the centres of the cells of all levels, row-major, level by level.

    Args:
        sizes: ``(height, width)`` of each level.
        strides: Of the levels.

    Returns:
        Points ``(x, y)`` in pixels of the input, shape (L, 2), and the stride of each, shape (L,).
    """
    points, repeated = [], []
    for (height, width), stride in zip(sizes, strides, strict=True):
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        points.append(torch.stack((x, y), dim=-1).reshape(-1, 2) * stride)
        repeated.append(torch.full((height * width,), float(stride)))
    return torch.cat(points), torch.cat(repeated)
