"""DeepLabV3+: what class is every pixel of?

Paper: Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
https://arxiv.org/abs/1802.02611.
Differences: plain 3x3 convolutions in the decoder; an optional embedding for losses that want features.

Shape suffixes:
    B = images   C = channels   K = classes   F = channels of the embedding   H = height   W = width
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18, resnet50, resnet101
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation.deeplabv3 import ASPP

from models.segmentation.backbones import Norm, Resnet, norm_layer

_SKIP = 48  # channels of the fine features, as in the paper


class SemanticOutput(NamedTuple):
    """What the network says about a batch, at a quarter of the input's size."""

    logit_BKHW: Tensor
    embedding_BFHW: Tensor | None
    """For losses that compare features; None where none was asked for."""


class DeepLabV3Plus(nn.Module):
    """Backbone, atrous pooling and decoder, composed.

    Args:
        body: Maps an image batch to ``fine`` at stride 4 and ``coarse`` at stride 8 or 16.
        pooling: Maps the coarse features to the width of the decoder.
        skip: Maps the fine features to 48 channels.
        decoder: Maps both, joined, to features of one width.
        classifier: Maps these to class logits.
        embedding: Maps these to an embedding; None: there is none.
    """

    def __init__(
        self,
        *,
        body: nn.Module,
        pooling: nn.Module,
        skip: nn.Module,
        decoder: nn.Module,
        classifier: nn.Module,
        embedding: nn.Module | None,
    ) -> None:
        super().__init__()
        self.body, self.pooling, self.skip = body, pooling, skip
        self.decoder, self.classifier, self.embedding = decoder, classifier, embedding

    def forward(self, image_BCHW: Tensor) -> SemanticOutput:
        """Read images with values in [0, 1], of any size."""
        features = self.body((image_BCHW - 0.5) * 4.0)
        fine = self.skip(features["fine"])
        coarse = functional.interpolate(
            self.pooling(features["coarse"]), size=fine.shape[2:], mode="bilinear"
        )
        decoded = self.decoder(torch.cat((coarse, fine), dim=1))
        embedding = None if self.embedding is None else self.embedding(decoded)
        return SemanticOutput(self.classifier(decoded), embedding)

    @torch.no_grad()
    def classify(self, image_BCHW: Tensor) -> Tensor:
        """Return the class of every pixel, int64, shape (B, H, W)."""
        logit_BKHW = self(image_BCHW).logit_BKHW
        full = functional.interpolate(logit_BKHW, size=image_BCHW.shape[2:], mode="bilinear")
        classes: Tensor = full.argmax(dim=1)
        return classes


def build_deeplab(
    name: Resnet,
    *,
    num_classes: int,
    norm: Norm,
    width: int = 256,
    rates: tuple[int, ...] = (6, 12, 18),
    embedding: int | None = None,
) -> DeepLabV3Plus:
    """Build the network with random weights.

    Args:
        name: Backbone. ResNet-50 and -101 run at output stride 16; ResNet-18, whose blocks cannot be dilated
            in torchvision, at 32.
        num_classes: Number of classes, at least 2.
        norm: See ``norm_layer``.
        width: Channels of the decoder, a multiple of 32.
        rates: Dilations of the atrous pooling.
        embedding: Channels of the embedding; None: none.

    Raises:
        ValueError: If there is no such backbone or norm, or fewer than two classes.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2, got {num_classes}.")
    make_norm = norm_layer(norm)
    if name == "resnet18":
        network = resnet18(weights=None, norm_layer=make_norm)
    elif name in ("resnet50", "resnet101"):
        build = resnet50 if name == "resnet50" else resnet101
        network = build(weights=None, norm_layer=make_norm, replace_stride_with_dilation=[False, False, True])
    else:
        raise ValueError(f"backbone must be resnet18, resnet50 or resnet101, got {name!r}.")
    widest = network.fc.in_features

    def block(inputs: int, outputs: int, size: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False),
            nn.GroupNorm(16, outputs),
            nn.ReLU(),
        )

    return DeepLabV3Plus(
        body=IntermediateLayerGetter(network, {"layer1": "fine", "layer4": "coarse"}),
        pooling=_with_group_norms(ASPP(widest, list(rates), width)),
        skip=block(widest // 8, _SKIP, 1),
        decoder=nn.Sequential(block(width + _SKIP, width, 3), block(width, width, 3)),
        classifier=nn.Conv2d(width, num_classes, 1),
        embedding=None if embedding is None else block(width, embedding, 1),
    )


def _with_group_norms(module: nn.Module) -> nn.Module:
    """Replace norms over the batch: the pooled branch of a batch of one has a single value a channel."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.GroupNorm(16, child.num_features))
        else:
            _with_group_norms(child)
    return module
