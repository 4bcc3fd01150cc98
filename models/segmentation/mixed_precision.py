"""Which parts of a segmenter run in bfloat16: backbone, pyramid, towers, and the decoder of DeepLab.

What they return is float32 again, so that logits, distances to the borders of boxes, losses and propagation
never see eight bits; CondInst's controller, one wide convolution on every location, is fast all the same. The
decoders of Mask2Former stay in float32 whole: positions of deformable attention are worth less than a pixel.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import assert_never

from torch import nn

from models.blocks.mixed_precision import parts_in_bfloat16
from models.segmentation.deeplab import DeepLabV3Plus
from models.segmentation.instance_models import CondInstSegmenter, QuerySegmenter, SoloSegmenter

Segmenter = CondInstSegmenter | SoloSegmenter | QuerySegmenter | DeepLabV3Plus


def fast_parts(model: Segmenter) -> list[nn.Module]:
    """Return the parts whose products may be rounded to bfloat16; none lies in another."""
    match model:
        case CondInstSegmenter(pyramid=pyramid, head=head):
            towers = [head.classification.conv, head.regression.conv]
            return [pyramid, *towers, head.controller, *head.refine, *head.branch[:-1]]
        case SoloSegmenter(pyramid=pyramid, head=head):
            return [pyramid, head.category_tower, head.kernel_tower, *head.mask_levels]
        case QuerySegmenter(network=network):
            return [network.model.pixel_level_module.encoder]
        case DeepLabV3Plus(body=body, pooling=pooling, skip=skip, decoder=decoder):
            return [body, pooling, skip, decoder]
        case _:
            assert_never(model)


@contextmanager
def in_bfloat16(model: Segmenter, *, enabled: bool, device_type: str = "cpu") -> Iterator[None]:
    """Run the fast parts of a model in bfloat16 until the block ends; gradients and weights stay float32.

    Args:
        model: Is left as it was.
        enabled: False: nothing changes.
        device_type: Where the model is, "cpu" or "cuda".
    """
    with parts_in_bfloat16(fast_parts(model) if enabled else [], device_type=device_type):
        yield
