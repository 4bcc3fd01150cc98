"""Which parts of a segmenter run in bfloat16: backbone, pyramid, towers, and the decoder of DeepLab.

What they return is float32 again, so that logits, distances to the borders of boxes, losses and propagation
never see eight bits; CondInst's controller, one wide convolution on every location, is fast all the same. The
decoders of Mask2Former stay in float32 whole: positions of deformable attention are worth less than a pixel.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, assert_never

import torch
from torch import Tensor, nn

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
    with ExitStack() as hooks:
        for part in fast_parts(model) if enabled else []:
            running: list[Any] = []
            before = part.register_forward_pre_hook(_enter(running, device_type))
            hooks.callback(before.remove)
            hooks.callback(part.register_forward_hook(_leave(running), always_call=True).remove)
        yield


def _enter(running: list[Any], device_type: str) -> Any:  # noqa: ANN401 - hooks of torch have no type
    def hook(_: nn.Module, __: Any) -> None:  # noqa: ANN401
        running.append(torch.autocast(device_type, dtype=torch.bfloat16))
        running[-1].__enter__()

    return hook


def _leave(running: list[Any]) -> Any:  # noqa: ANN401
    def hook(_: nn.Module, __: Any, output: Any) -> Any:  # noqa: ANN401
        running.pop().__exit__(None, None, None)
        return to_float32(output)

    return hook


def to_float32(value: Any) -> Any:  # noqa: ANN401 - whatever a module returns
    """Return the value with every bfloat16 tensor in it, however deep, as float32."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype == torch.bfloat16 else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):  # outputs of transformers
        return type(value)(
            **{field.name: to_float32(getattr(value, field.name)) for field in dataclasses.fields(value)}
        )
    if isinstance(value, Mapping):
        return type(value)((name, to_float32(item)) for name, item in value.items())  # type: ignore[call-arg]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(to_float32, value))
    if isinstance(value, list | tuple):
        return type(value)(map(to_float32, value))
    return value
