"""Parts of a model in bfloat16, the rest in float32."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def parts_in_bfloat16(parts: Sequence[nn.Module], *, device_type: str = "cpu") -> Iterator[None]:
    """Run parts of a model in bfloat16 until the block ends; gradients and weights stay float32.

    Args:
        parts: None lies in another. What they return is float32 again.
        device_type: Where the model is, "cpu" or "cuda".
    """
    with ExitStack() as hooks:
        for part in parts:
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
