"""From settings to parts: every choice on one screen."""

from typing import NamedTuple

from transformers import CLIPVisionConfig, ConvNextConfig

from models.region_lm.config import (
    ClipSettings,
    ConvNextSettings,
    ModelSettings,
    ProjectorSettings,
    RegionSettings,
    VisionSettings,
)
from models.region_lm.conversation import CHATML, VICUNA, ChatTemplate
from models.region_lm.projectors.abstractor import CAbstractor, LdpProjector
from models.region_lm.projectors.interface import Projector
from models.region_lm.projectors.linear import LinearProjector, MlpProjector
from models.region_lm.projectors.pooling import AveragePoolProjector, PixelShuffleProjector
from models.region_lm.projectors.resampler import ResamplerProjector
from models.region_lm.projectors.token_packer import TokenPacker
from models.region_lm.regions.mask_pooling import MaskRegionEncoder
from models.vision.clip_vit import ClipVision
from models.vision.convnext import ConvNextVision
from models.vision.dual import DualVision

Vision = ClipVision | ConvNextVision | DualVision


class Parts(NamedTuple):
    """Everything in front of the language model."""

    vision: Vision
    projector: Projector
    regions: MaskRegionEncoder | None


def build_parts(settings: ModelSettings, width: int, vision: Vision | None = None) -> Parts:
    """Build the parts with random weights, drawn from torch's global generator.

    Args:
        settings: Of the model.
        width: Of the language model.
        vision: A trained encoder of the shape that the settings say; None: a new one.
    """
    vision = vision or build_vision(settings.vision)
    return Parts(
        vision,
        build_projector(settings.projector, vision, width),
        build_regions(settings.regions, vision, width) if settings.regions else None,
    )


def build_vision(settings: VisionSettings) -> Vision:
    """Build one encoder, or both side by side."""
    match settings.clip, settings.convnext:
        case ClipSettings() as clip, None:
            return _clip(clip)
        case None, ConvNextSettings() as convnext:
            return _convnext(convnext)
        case ClipSettings() as clip, ConvNextSettings() as convnext:
            return DualVision(_clip(clip), _convnext(convnext))
    raise ValueError("vision needs clip, convnext or both.")


def build_projector(  # noqa: PLR0911 - one for each kind
    settings: ProjectorSettings, vision: Vision, width: int
) -> Projector:
    """Build what turns the tokens of a canvas into vectors of the language model."""
    channels, grid, scale, heads = vision.channels, vision.grid, settings.scale, settings.heads or 1
    match settings.kind:
        case "token_packer":
            return TokenPacker(
                channels=channels,
                level_channels=vision.level_channels,
                grid=grid,
                scale=scale,
                width=width,
                heads=heads,
                level_mode=settings.level_mode,
                residual=settings.residual,
            )
        case "linear":
            return LinearProjector(channels=channels, grid=grid, width=width)
        case "mlp":
            return MlpProjector(channels=channels, grid=grid, width=width)
        case "average_pool":
            return AveragePoolProjector(channels=channels, grid=grid, scale=scale, width=width)
        case "pixel_shuffle":
            return PixelShuffleProjector(channels=channels, grid=grid, scale=scale, width=width)
        case "resampler":
            return ResamplerProjector(channels=channels, grid=grid, scale=scale, width=width, heads=heads)
        case "c_abstractor":
            return CAbstractor(channels=channels, grid=grid, scale=scale, width=width)
        case "ldp":
            return LdpProjector(channels=channels, grid=grid, scale=scale, width=width)


def build_regions(settings: RegionSettings, vision: Vision, width: int) -> MaskRegionEncoder:
    """Build what turns masks into tokens."""
    return MaskRegionEncoder(
        vision.level_channels,
        settings.hidden,
        width,
        position_side=settings.position_side,
        mode=settings.mode,
    )


def chat_template(settings: ModelSettings) -> ChatTemplate:
    """Return what stands around the turns."""
    match settings.template:
        case "vicuna":
            return VICUNA
        case "chatml":
            return CHATML


def _clip(settings: ClipSettings) -> ClipVision:
    config = CLIPVisionConfig(
        image_size=settings.image,
        patch_size=settings.patch,
        hidden_size=settings.hidden,
        intermediate_size=settings.ffn,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
    )
    return ClipVision(config, settings.levels, settings.select)


def _convnext(settings: ConvNextSettings) -> ConvNextVision:
    config = ConvNextConfig(
        image_size=settings.image,
        hidden_sizes=list(settings.dims),
        depths=list(settings.depths),
        num_stages=len(settings.dims),
        layer_scale_init_value=settings.layer_scale,
    )
    return ConvNextVision(config, settings.token_level)
