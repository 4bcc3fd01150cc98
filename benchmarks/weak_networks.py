"""The three heads at a size that learns on one core in a minute and a half: narrow, with a shallow backbone.

The heads are those of the product with fewer channels, queries and cells; the backbone is nine convolutions
instead of a ResNet. Masks have half the pixels of the input along each axis (CondInst) or a quarter.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from transformers import Mask2FormerConfig, SwinConfig

from models.segmentation.backbones import Pyramid
from models.segmentation.condinst import CondInstHead
from models.segmentation.instance_models import CondInstSegmenter, QuerySegmenter, SoloSegmenter
from models.segmentation.solo import SoloHead

HEADS = ("condinst", "solo", "query")
WIDTHS = (32, 64, 96, 128)
"""Channels of the backbone at strides 4, 8, 16 and 32."""


class NarrowBody(nn.Module):
    """Two convolutions a stride, with norms over groups of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _block(3, WIDTHS[0], stride=2)
        inputs, stages = WIDTHS[0], []
        for width in WIDTHS:
            stages.append(nn.Sequential(_block(inputs, width, stride=2), _block(width, width)))
            inputs = width
        self.stages = nn.ModuleList(stages)

    def forward(self, image_BCHW: Tensor) -> OrderedDict[str, Tensor]:
        """Return the features by name, finest first."""
        features, found = self.stem(image_BCHW), OrderedDict()
        for number, stage in enumerate(self.stages):
            features = stage(features)
            found[str(number)] = features
        return found


def narrow_pyramid(width: int) -> Pyramid:
    """Build five levels, strides 4 to 64, of ``width`` channels."""
    return Pyramid(
        body=NarrowBody(),
        pyramid=FeaturePyramidNetwork(list(WIDTHS), width, extra_blocks=LastLevelMaxPool()),
    )


def narrow_model(
    head: str, *, num_categories: int, num_queries: int, side: int
) -> CondInstSegmenter | SoloSegmenter | QuerySegmenter:
    """Build a network with random weights, drawn from torch's global generator.

    Args:
        head: One of ``HEADS``.
        num_categories: Number of categories.
        num_queries: Of Mask2Former.
        side: Of the input in pixels; the sizes that SOLOv2's levels answer for follow from it.
    """
    if head == "condinst":
        conditional = CondInstHead(
            channels=64,
            num_categories=num_categories,
            mask_channels=16,
            branch_width=32,
            num_convolutions=1,
            strides=(4, 8, 16, 32, 64),
        )
        return CondInstSegmenter(pyramid=narrow_pyramid(64), head=conditional)
    if head == "solo":
        cells = SoloHead(
            channels=64,
            width=64,
            num_categories=num_categories,
            mask_channels=32,
            num_convolutions=2,
            grids=(16, 12, 8, 6, 4),
        )
        # Only the two finest levels, whose masks have stride 4, answer: others would be too coarse.
        beyond = 4.0 * side
        ranges = ((1.0, 0.3 * side), (0.2 * side, beyond), *((beyond, beyond),) * 3)
        return SoloSegmenter(pyramid=narrow_pyramid(64), head=cells, ranges=ranges)
    swin = SwinConfig(  # type: ignore[call-arg]
        embed_dim=32,
        depths=[1, 1, 2, 1],
        num_heads=[1, 2, 4, 8],
        window_size=8,
        drop_path_rate=0.0,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    return QuerySegmenter(
        Mask2FormerConfig(  # type: ignore[call-arg]
            backbone_config=swin,
            hidden_dim=64,
            feature_size=64,
            mask_feature_size=64,
            encoder_layers=1,
            encoder_feedforward_dim=128,
            dim_feedforward=128,
            decoder_layers=4,
            num_attention_heads=4,
            num_queries=num_queries,
            num_labels=num_categories,
            use_auxiliary_loss=True,
        )
    )


def _block(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(16, outputs),
        nn.ReLU(),
    )
