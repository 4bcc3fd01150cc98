"""Backbones with a feature pyramid: one image batch in, five levels out.

Paper: Lin et al., "Feature Pyramid Networks for Object Detection", https://arxiv.org/abs/1612.03144. P2 to
P6, where P6 is P5 subsampled, as in SOLOv2; or P3 to P7, where P6 and P7 are convolutions, as in FCOS.

Shape suffixes:
    B = images   C = channels   H = height   W = width
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torchvision.models import resnet18, resnet50, resnet101
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

Resnet = Literal["resnet18", "resnet50", "resnet101"]
Norm = Literal["group", "frozen"]

RESNETS = {"resnet18": resnet18, "resnet50": resnet50, "resnet101": resnet101}
_LAYERS = {"layer1": "4", "layer2": "8", "layer3": "16", "layer4": "32"}


class Pyramid(nn.Module):
    """A backbone and its pyramid, composed.

    Args:
        body: Maps an image batch to features of rising stride, by name.
        pyramid: Maps these to five levels of equal width.
    """

    def __init__(self, *, body: nn.Module, pyramid: nn.Module) -> None:
        super().__init__()
        self.body, self.pyramid = body, pyramid

    def forward(self, image_BCHW: Tensor) -> list[Tensor]:
        """Return the levels, finest first, each (B, C, H, W); images have values in [0, 1]."""
        features: OrderedDict[str, Tensor] = self.body((image_BCHW - 0.5) * 4.0)
        return list(self.pyramid(features).values())


def resnet_pyramid(name: Resnet, *, width: int, norm: Norm, finest: Literal[2, 3] = 2) -> Pyramid:
    """Build a ResNet with a pyramid, with random weights.

    Args:
        name: Depth.
        width: Channels of the pyramid.
        norm: "frozen" for weights that are loaded afterwards (statistics of two images mislead), "group" for
            a network that starts from nothing: frozen statistics of random weights do not exist.
        finest: 2 for P2 to P6, strides 4 to 64; 3 for P3 to P7, strides 8 to 128.

    Raises:
        ValueError: If there is no such backbone, norm or level.
    """
    if finest not in (2, 3):
        raise ValueError(f"finest must be 2 or 3, got {finest}.")
    if name not in RESNETS:
        raise ValueError(f"backbone must be one of {sorted(RESNETS)}, got {name!r}.")
    network = RESNETS[name](weights=None, norm_layer=norm_layer(norm))
    widest = network.fc.in_features
    inputs = [widest // 8, widest // 4, widest // 2, widest][finest - 2 :]
    layers = dict(list(_LAYERS.items())[finest - 2 :])
    extra = LastLevelMaxPool() if finest == 2 else LastLevelP6P7(width, width)
    return Pyramid(
        body=IntermediateLayerGetter(network, layers),
        pyramid=FeaturePyramidNetwork(inputs, width, extra_blocks=extra),
    )


def norm_layer(norm: Norm) -> Callable[[int], nn.Module]:
    """Return what builds a norm: "frozen" where trained weights follow, "group" where none do.

    Raises:
        ValueError: If there is no such norm.
    """
    layers: dict[str, Callable[[int], nn.Module]] = {
        "group": lambda channels: nn.GroupNorm(32, channels),
        "frozen": FrozenBatchNorm2d,
    }
    if norm not in layers:
        raise ValueError(f"norm must be 'group' or 'frozen', got {norm!r}.")
    return layers[norm]
