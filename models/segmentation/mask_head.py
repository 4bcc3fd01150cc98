"""Mask heads whose weights are predicted, one per region.

Paper: Tian et al., "Conditional Convolutions for Instance Segmentation" (CondInst),
https://arxiv.org/abs/2003.05664.
Differences: the controller is linear and is applied only to the locations in use; positions are relative to
the box instead of the location; what the head says is added to a box with round corners, so that training
starts from the box and carves the background out (from nothing, it finds a few samples on a diagonal).

Shape suffixes:
    R = regions   C = embedding width   M = mask feature channels   S = samples of a window
"""

import torch
from torch import Tensor, nn

from models.segmentation.windows import window_positions

HIDDEN = 8
"""Channels between the dynamic layers, as in the paper."""
START = 3.0
"""Logit at the centre of a box before training, and its negative far outside."""


class DynamicMaskHead(nn.Module):
    """Controller and three 1x1 convolutions with the weights it predicts.

    Args:
        width: Width of the embedding.
        mask_channels: Channels of the mask features.
        window_size: Samples along a side of a window.
        window_margin: See ``SegmenterConfig``.
    """

    def __init__(self, *, width: int, mask_channels: int, window_size: int, window_margin: float) -> None:
        super().__init__()
        self.sizes = [HIDDEN * (mask_channels + 2), HIDDEN, HIDDEN * HIDDEN, HIDDEN, HIDDEN, 1]
        self.controller = nn.Linear(width, sum(self.sizes))
        nn.init.normal_(self.controller.weight, std=0.01)
        nn.init.normal_(self.controller.bias, std=0.3)
        self.window_size, self.window_margin = window_size, window_margin

    def forward(self, embedding_RC: Tensor, features_RMSS: Tensor) -> Tensor:
        """Apply each region's own head to its window.

        Returns:
            Mask logits, shape (R, S, S).
        """
        regions, _, side, _ = features_RMSS.shape
        position = window_positions(self.window_size, self.window_margin).expand(regions, -1, -1, -1)
        hidden = torch.cat((features_RMSS, position), dim=1).flatten(2)
        weights = self.controller(embedding_RC).split(self.sizes, dim=1)
        for layer in range(3):
            kernel, bias = weights[2 * layer], weights[2 * layer + 1]
            hidden = torch.baddbmm(
                bias[:, :, None], kernel.reshape(regions, bias.shape[1], hidden.shape[1]), hidden
            )
            hidden = hidden.relu() if layer < 2 else hidden
        return hidden.reshape(regions, side, side) + round_box(position)


def round_box(position_R2SS: Tensor) -> Tensor:
    """Return logits that are positive in a box with round corners, shape (R, S, S)."""
    return (START * (1.0 - position_R2SS.pow(4).sum(dim=1))).clamp(min=-START)
