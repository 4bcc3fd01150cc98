from pathlib import Path

import pytest
import torch

from models.region_lm.assembly import planned_model
from models.region_lm.planning import SampleShape, count_stage
from models.region_lm.trainable import StagePlan, TrainedPart
from tasks.operations.region_files import read_region_recipe

REPOSITORY = Path(__file__).resolve().parents[3]


def test_shapes_say_what_a_real_graph_keeps():
    """The same blocks, with memory: what autograd saves is what was counted."""
    settings = read_region_recipe("osprey_tiny", (), REPOSITORY)
    trained = (TrainedPart(part="language", learning_rate=1e-3),)
    plan = StagePlan(name="try", train=trained, global_batch=1, epochs=1, max_length=2048)
    counts = count_stage(settings, plan, SampleShape(text=40, answer=8, regions=2))
    real = planned_model(settings.model, settings.language).to_empty(device="cpu").to(torch.bfloat16)
    weights = {parameter.untyped_storage().data_ptr() for parameter in real.parameters()}
    kept = {}

    def note(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    length, width = counts.sample_tokens, settings.language.width
    mask = torch.zeros(1, 1, length, length, dtype=torch.bfloat16)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        real.language.model(
            inputs_embeds=torch.zeros(1, length, width, dtype=torch.bfloat16),
            attention_mask=mask,
            use_cache=False,
        )
    measured = sum(storage.nbytes() for storage in kept.values()) // settings.language.layers
    assert counts.block_bytes == pytest.approx(measured, rel=0.1)
