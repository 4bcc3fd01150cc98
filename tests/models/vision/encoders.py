"""Small encoders with random weights."""

import torch
from transformers import CLIPVisionConfig, ConvNextConfig

from models.vision.clip_vit import ClipVision
from models.vision.convnext import ConvNextVision


def clip_config(image: int = 96) -> CLIPVisionConfig:
    return CLIPVisionConfig(
        image_size=image,
        patch_size=8,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=5,
        num_attention_heads=4,
    )


def convnext_config(image: int = 128) -> ConvNextConfig:
    return ConvNextConfig(image_size=image, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1])


def clip(image: int = 96) -> ClipVision:
    torch.manual_seed(0)
    return ClipVision(clip_config(image), levels=(1, 2, 3, 4), select=-2).eval()


def convnext(image: int = 128, token_level: int = 2) -> ConvNextVision:
    torch.manual_seed(0)
    return ConvNextVision(convnext_config(image), token_level).eval()


def canvases(side: int, count: int = 2) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))
