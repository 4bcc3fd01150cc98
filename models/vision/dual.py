"""CLIP and ConvNeXt side by side: one looks at the whole, one closely.

Paper: Jiang et al., "ChatRex: Taming Multimodal LLM for Joint Perception and Understanding",
https://arxiv.org/abs/2411.18363, section 3.1. Tokens of one cell are joined on channels, CLIP first.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models.vision.clip_vit import ClipVision
from models.vision.convnext import ConvNextVision
from models.vision.features import VisionFeatures


class DualVision(nn.Module):
    """Joined tokens; the levels are ConvNeXt's.

    Args:
        clip: Gives the first channels.
        convnext: Gives the others, and the levels.

    Attributes:
        channels: Of a token.
        level_channels: Of each level.
        grid: Rows and columns of tokens.

    Raises:
        ValueError: If their tokens do not stand on one grid.
    """

    def __init__(self, clip: ClipVision, convnext: ConvNextVision) -> None:
        super().__init__()
        if clip.grid != convnext.grid:
            raise ValueError(f"clip and convnext must have one grid, got {clip.grid} and {convnext.grid}.")
        self.clip, self.convnext = clip, convnext
        self.channels = clip.channels + convnext.channels
        self.level_channels = convnext.level_channels
        self.grid = clip.grid

    def forward(self, pixels: Mapping[str, Tensor]) -> VisionFeatures:
        """Encode the canvases under "clip" and "convnext", each at its own size.

        Raises:
            TypeError: If they are not floating.
            ValueError: If one is missing or has another shape.
        """
        near, far = self.convnext(pixels), self.clip(pixels)
        tokens_TNC = torch.cat([far.tokens_TNC, near.tokens_TNC], dim=2)
        return VisionFeatures(tokens_TNC=tokens_TNC, grid=self.grid, levels=near.levels)
