"""CLIP's vision transformer, read at several depths.

Paper: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
https://arxiv.org/abs/2103.00020. Hidden state 0 is the sequence before the first block, hidden state i what
block i returns; no norm follows. The class token is dropped.

Shape suffixes:
    T = canvases   N = tokens of a canvas   C = channels
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

from models.vision.features import VisionFeatures, map_of, one_side, pixels_of


class ClipVision(nn.Module):
    """Tokens from one hidden state, levels from several.

    Args:
        config: Shape of the transformer; its weights are random.
        levels: Hidden states that are levels; negative ones count from the end.
        select: Hidden state that gives the tokens.

    Attributes:
        channels: Of a token.
        level_channels: Of each level.
        grid: Rows and columns of tokens.

    Raises:
        ValueError: If there is no such hidden state, or patches do not fill the canvas.
    """

    def __init__(self, config: CLIPVisionConfig, levels: Sequence[int], select: int = -2) -> None:
        super().__init__()
        states = config.num_hidden_layers + 1
        for layer in (*levels, select):
            if not -states <= layer < states:
                raise ValueError(
                    f"levels and select must name hidden states -{states} to {states - 1}, got {layer}."
                )
        self.side, patch = one_side(config.image_size), one_side(config.patch_size)
        if self.side % patch:
            raise ValueError(f"patches of {patch} pixels must fill a canvas of {self.side} pixels.")
        self.model = CLIPVisionModel(config)
        self.levels, self.select = tuple(levels), select
        self.channels: int = config.hidden_size
        self.level_channels = (config.hidden_size,) * len(self.levels)
        self.grid = (self.side // patch, self.side // patch)

    @classmethod
    def from_pretrained(cls, folder: Path, levels: Sequence[int], select: int = -2) -> Self:
        """Read weights that transformers saved in a local folder."""
        config = CLIPVisionConfig.from_pretrained(folder, local_files_only=True)
        encoder = cls(config, levels, select)
        encoder.model = CLIPVisionModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        return encoder

    def forward(self, pixels: Mapping[str, Tensor]) -> VisionFeatures:
        """Encode the canvases under "clip", (T, 3, side, side), normalised.

        Raises:
            TypeError: If they are not floating.
            ValueError: If there are none, or they have another shape.
        """
        canvas = pixels_of(pixels, "clip", self.side)
        states = self.model(pixel_values=canvas, output_hidden_states=True).hidden_states
        tokens_TNC = states[self.select][:, 1:]
        maps = tuple(map_of(states[level][:, 1:], self.grid) for level in self.levels)
        return VisionFeatures(tokens_TNC=tokens_TNC, grid=self.grid, levels=maps)
