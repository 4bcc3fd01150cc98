"""What the graph of one sample keeps and multiplies, counted on tensors that have shapes and no memory."""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from models.region_lm.hub import RegionMLLM
from models.region_lm.trainable import StagePlan, declared_rates


class GraphCounts(NamedTuple):
    """Of one sample."""

    kept_bytes: int
    """Between the passes, weights not counted."""
    block_bytes: int
    """Of one block while it is computed again."""
    flops: int
    """Forward, backward, and forward again; the head is not among them."""


def count_graph(model: RegionMLLM, plan: StagePlan, length: int, canvases: int) -> GraphCounts:
    """Run one sample through the shapes of a model, with a checkpoint before every block.

    Args:
        model: In bfloat16, on the meta device, at the beginning of the stage.
        plan: The stage.
        length: Positions of the sample.
        canvases: Of its image.
    """
    # Shapes on a processor rather than on the meta device: there, attention is not fused.
    with FakeTensorMode(allow_non_fake_inputs=True):
        return _count(model.to_empty(device="cpu"), plan, length, canvases)


def _count(model: RegionMLLM, plan: StagePlan, length: int, canvases: int) -> GraphCounts:
    width = model.config.get_text_config().hidden_size
    weights = {_storage(parameter) for parameter in model.parameters()}
    learns = declared_rates(model, plan)
    sees = any(name.startswith("vision.") for name in learns)
    # The first part that learns is in front of the language model or in it: its input has a gradient unless
    # only the language model learns.
    before = any(not name.startswith("language.") for name in learns)
    embedding = torch.empty(1, length, width, dtype=torch.bfloat16, requires_grad=before)
    mask = torch.empty(1, 1, length, length, dtype=torch.bfloat16)
    sides = model.settings.vision.sides
    pixels = {
        name: torch.empty(canvases, 3, side, side, dtype=torch.bfloat16) for name, side in sides.items()
    }

    def look() -> Tensor:
        with torch.set_grad_enabled(sees):
            features = model.vision(pixels)
        return cast(Tensor, model.projector(features))

    def speak() -> Tensor:
        found = model.language.model(inputs_embeds=embedding, attention_mask=mask, use_cache=False)
        return cast(Tensor, found.last_hidden_state)

    layers = len(model.language.model.layers)
    seen, seen_flops = _run(look, weights, backward=any(not name.startswith("language.") for name in learns))
    spoken, spoken_flops = _run(speak, weights, backward=True)
    # With checkpointing a block keeps its input alone, and one block at a time is computed again.
    inputs = layers * length * width * 2  # bfloat16
    forward = _run(speak, weights, backward=False)[1]
    return GraphCounts(seen + inputs, spoken // layers, seen_flops + spoken_flops + forward)


def _run(step: Callable[[], Tensor], weights: set[int], *, backward: bool) -> tuple[int, int]:
    """Return the bytes that a computation keeps for its backward pass, weights not counted, and its flops."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in weights:
            kept[_storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter, saved_tensors_hooks(note, lambda tensor: tensor):
        result = step()
        if backward and result.requires_grad:
            result.backward(torch.empty_like(result))  # type: ignore[no-untyped-call]
    return sum(kept.values()) if result.requires_grad else 0, counter.get_total_flops()


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
