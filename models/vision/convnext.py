"""ConvNeXt, read after each of its four stages.

Paper: Liu et al., "A ConvNet for the 2020s", https://arxiv.org/abs/2201.03545. The levels res2 to res5 are
what the stages return, at strides 4, 8, 16 and 32; no norm follows. Osprey (Yuan et al.,
https://arxiv.org/abs/2312.10032) takes its tokens from res4.

Shape suffixes:
    T = canvases   C = channels   H, W = cells
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from torch import Tensor, nn
from transformers import ConvNextConfig, ConvNextModel

from models.vision.features import VisionFeatures, one_side, pixels_of, rows_of


class ConvNextVision(nn.Module):
    """Tokens from one stage, levels from all four.

    Args:
        config: Shape of the network and side of its canvas (``image_size``); its weights are random.
        token_level: 0 to 3: the stage, res2 to res5, that gives the tokens.

    Attributes:
        channels: Of a token.
        level_channels: Of each level.
        grid: Rows and columns of tokens.

    Raises:
        ValueError: If there is no such stage, or the canvas is not a multiple of the last stride.
    """

    def __init__(self, config: ConvNextConfig, token_level: int) -> None:
        super().__init__()
        self.side, stem = one_side(config.image_size), one_side(config.patch_size)
        self.level_channels = tuple(config.hidden_sizes or ())
        strides = [stem * 2**stage for stage in range(len(self.level_channels))]
        if not 0 <= token_level < len(strides):
            raise ValueError(f"token_level must be 0 to {len(strides) - 1}, got {token_level}.")
        if self.side % strides[-1]:
            raise ValueError(f"image_size must be a multiple of {strides[-1]} pixels, got {self.side}.")
        self.model = ConvNextModel(config)
        self.token_level = token_level
        self.channels = self.level_channels[token_level]
        self.grid = (self.side // strides[token_level], self.side // strides[token_level])

    @classmethod
    def from_pretrained(cls, folder: Path, token_level: int, *, side: int | None = None) -> Self:
        """Read weights that transformers saved in a local folder.

        Args:
            folder: With configuration and safetensors.
            token_level: See the class.
            side: Of the canvas, in pixels; by default the one that the network was trained with.
        """
        config = ConvNextConfig.from_pretrained(folder, local_files_only=True)
        if side is not None:
            config.image_size = side
        encoder = cls(config, token_level)
        encoder.model = ConvNextModel.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True
        )
        return encoder

    def forward(self, pixels: Mapping[str, Tensor]) -> VisionFeatures:
        """Encode the canvases under "convnext", (T, 3, side, side), normalised.

        Raises:
            TypeError: If they are not floating.
            ValueError: If there are none, or they have another shape.
        """
        canvas = pixels_of(pixels, "convnext", self.side)
        # The weights decide the precision: transformers converts for CLIP but not here.
        canvas = canvas.to(self.model.embeddings.patch_embeddings.weight.dtype)
        states = self.model(pixel_values=canvas, output_hidden_states=True).hidden_states
        levels = tuple(states[1:])  # the first is the stem
        return VisionFeatures(tokens_TNC=rows_of(levels[self.token_level]), grid=self.grid, levels=levels)
