"""From a configuration to a segmenter: every choice on one screen."""

from torch import nn
from torchvision.models import resnet18
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FeaturePyramidNetwork

from models.segmentation.config import SegmenterConfig
from models.segmentation.mask_head import DynamicMaskHead
from models.segmentation.network import STRIDES, DetectionHead, MaskFeatures, Segmenter


def build_segmenter(config: SegmenterConfig) -> Segmenter:
    """Build the network with random weights, drawn from torch's global generator."""
    width = config.width
    return Segmenter(
        backbone=build_backbone(),
        pyramid=FeaturePyramidNetwork([64, 128, 256, 512], width),
        head=DetectionHead(
            classification=nn.Sequential(
                *(_convolution(width, width) for _ in range(config.num_convolutions))
            ),
            regression=nn.Sequential(*(_convolution(width, width) for _ in range(config.num_convolutions))),
            width=width,
            num_categories=config.num_categories,
            num_levels=len(STRIDES),
        ),
        mask_features=MaskFeatures(
            from_pyramid=_convolution(width, 32),
            from_stem=nn.Conv2d(64, 32, 1),
            merge=nn.Sequential(_convolution(32, 32), nn.Conv2d(32, config.mask_channels, 1)),
        ),
        mask_head=DynamicMaskHead(
            width=width,
            mask_channels=config.mask_channels,
            window_size=config.window_size,
            window_margin=config.window_margin,
        ),
        window_margin=config.window_margin,
        window_size=config.window_size,
    )


def build_backbone() -> nn.Module:
    """ResNet-18 whose norms see single images: statistics of few crops mislead, frozen ones do not exist."""
    network = resnet18(weights=None, norm_layer=lambda channels: nn.GroupNorm(32, channels))
    layers = {"relu": "stem", "layer1": "4", "layer2": "8", "layer3": "16", "layer4": "32"}
    getter: nn.Module = IntermediateLayerGetter(network, layers)
    return getter


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.GroupNorm(outputs // 4, outputs), nn.ReLU()
    )
