"""Parameters and floating point operations of projectors, beside those of a language model.

Counted on the meta device: nothing is computed, so any size will do.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from models.region_lm.projectors.abstractor import CAbstractor, LdpProjector
from models.region_lm.projectors.interface import Projector
from models.region_lm.projectors.linear import LinearProjector, MlpProjector
from models.region_lm.projectors.pooling import AveragePoolProjector, PixelShuffleProjector
from models.region_lm.projectors.resampler import ResamplerProjector
from models.region_lm.projectors.token_packer import TokenPacker
from models.vision.features import VisionFeatures, map_of

SCALES = (2, 3, 4)
LEVELS = 4
BASELINE = "mlp"
Size = Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An encoder and a language model of the Llama family."""

    channels: int
    """Of a token of the encoder."""
    grid: int
    """Tokens along a side."""
    width: int
    """Of the language model."""
    ffn: int
    layers: int
    heads: int
    vocabulary: int
    text: int
    """Text tokens of a sample."""

    def language_model(self) -> LlamaForCausalLM:
        """Build the language model with random weights."""
        return LlamaForCausalLM(
            LlamaConfig(
                hidden_size=self.width,
                intermediate_size=self.ffn,
                num_hidden_layers=self.layers,
                num_attention_heads=self.heads,
                vocab_size=self.vocabulary,
            )
        )

    def features(self, count: int = 1) -> VisionFeatures:
        """Draw features as CLIP leaves them: tokens, and maps that are views of tokens."""
        grid = (self.grid, self.grid)
        states = torch.randn(LEVELS, count, self.grid**2, self.channels)
        levels = tuple(map_of(state, grid) for state in states)
        return VisionFeatures(tokens_TNC=states[-1], grid=grid, levels=levels)


def projectors(shape: Shape) -> dict[str, Callable[[], Projector]]:
    """List what builds each projector, at every scale."""
    grid, width, channels = (shape.grid, shape.grid), shape.width, shape.channels
    fixed: dict[str, Any] = {"channels": channels, "grid": grid, "width": width}
    kinds: dict[str, Callable[..., Projector]] = {
        "token_packer": partial(TokenPacker, **fixed, level_channels=(channels,) * LEVELS),
        "average_pool": partial(AveragePoolProjector, **fixed),
        "pixel_shuffle": partial(PixelShuffleProjector, **fixed),
        "resampler": partial(ResamplerProjector, **fixed, heads=max(width // 128, 1)),
        "c_abstractor": partial(CAbstractor, **fixed),
        "ldp": partial(LdpProjector, **fixed),
    }
    compressing = {
        f"{name} x{scale}": partial(kind, scale=scale) for scale in SCALES for name, kind in kinds.items()
    }
    return {
        "linear": partial(LinearProjector, **fixed),
        BASELINE: partial(MlpProjector, **fixed),
        **compressing,
    }


def counted(shape: Shape) -> dict[str, Any]:
    """Count parameters and operations of every projector and of the language model, for one sample."""
    with torch.device("meta"):
        features = shape.features()
        parts = {name: build() for name, build in projectors(shape).items()}
        model = shape.language_model()
        lengths = sorted({part.num_tokens for part in parts.values()}, reverse=True)
        language = {tokens: _language_operations(model, shape, tokens) for tokens in lengths}
        rows = []
        for name, part in parts.items():
            with torch.no_grad():
                forward = operations(partial(part, features))
            both = operations(partial(_forward_and_backward, part, features))
            own = {"prefill": forward, "training": both, "alignment": both}
            whole = language[part.num_tokens]
            rows.append(
                {
                    "projector": name,
                    "visual_tokens": part.num_tokens,
                    "parameters": sum(weight.numel() for weight in part.parameters()),
                    "forward": forward,
                    "forward_and_backward": both,
                    "share": {step: round(own[step] / (own[step] + whole[step]), 5) for step in own},
                }
            )
    return {
        "shape": asdict(shape),
        "language_model": {
            "parameters": sum(weight.numel() for weight in model.parameters()),
            "operations": {str(tokens): steps for tokens, steps in language.items()},
        },
        "projectors": rows,
    }


def _forward_and_backward(part: Projector, features: VisionFeatures) -> None:
    part(features).sum().backward()


def operations(step: Callable[[], object]) -> int:
    """Count the floating point operations of matrix products, convolutions and attention."""
    mapping = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        step()
    return int(counter.get_total_flops())


def _convolution_backward(gradient: Size, _x: Size, weight: Size, *rest: Sequence[bool], **_: Size) -> int:
    # Each gradient costs what the way forward does; torch's own count forgets that channels come in groups.
    of_input, of_weight, _of_bias = rest[-1]
    return 2 * prod(gradient) * prod(weight[1:]) * (of_input + of_weight)


def _language_operations(model: LlamaForCausalLM, shape: Shape, visual: int) -> dict[str, int]:
    length = visual + shape.text
    embeddings = torch.zeros(1, length, shape.width, requires_grad=True)
    labels = torch.zeros(1, length, dtype=torch.long)

    def prefill() -> None:
        with torch.no_grad():
            model(inputs_embeds=embeddings, logits_to_keep=1)

    def train() -> None:
        model(inputs_embeds=embeddings, labels=labels).loss.backward()

    counts = {"prefill": operations(prefill), "training": operations(train)}
    model.requires_grad_(False)
    counts["alignment"] = operations(train)
    model.requires_grad_(True)
    return counts
