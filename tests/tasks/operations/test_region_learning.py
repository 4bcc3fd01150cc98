"""Rates of several parts, and what the common trainer is told of a stage."""

from dataclasses import replace

import pytest
import torch

from models.region_lm.trainable import LoraSettings, TrainedPart, begin_stage
from tasks.operations.region_learning import RegionLearning
from tests.models.region_lm.systems import mixed, new_system, recipe

NAME = "osprey_tiny"


@pytest.fixture(scope="module")
def learning():
    _, model = new_system(NAME)
    parts = (
        TrainedPart(part="projector", learning_rate=4e-3),
        TrainedPart(part="language", learning_rate=1e-3),
    )
    plan = replace(recipe(NAME).stages[2], train=parts, warmup_ratio=0.2, weight_decay=0.1)
    begin_stage(model, plan)
    return RegionLearning(model=model, plan=plan, place=2, steps=10, gradient_norm=1.0)


def test_every_group_has_its_rate_and_the_highest_is_reported(learning):
    optimizer = learning.optimizer()
    assert isinstance(optimizer, torch.optim.AdamW)
    reported = [learning.set_rates(optimizer, step) for step in (0, 1, 2, 6, 9)]
    assert reported[:3] == pytest.approx([2e-3, 4e-3, 4e-3])
    assert reported[2:] == sorted(reported[2:], reverse=True)
    learning.set_rates(optimizer, 0)
    assert {(group["lr"], group["weight_decay"]) for group in optimizer.param_groups} == {
        (2e-3, 0.0), (2e-3, 0.1), (5e-4, 0.0), (5e-4, 0.1),
    }  # fmt: skip


def test_its_settings_have_the_names_of_the_recipe(learning):
    assert learning.words == ("sample", "stages.2.global_batch", "stages.2.train.0.learning_rate")
    assert learning.samples_per_step == learning.plan.global_batch
    lora = LoraSettings(rank=2, alpha=4.0, learning_rate=1e-3)
    alone = replace(learning, plan=replace(learning.plan, train=(), lora=lora))
    assert alone.words.rate == "stages.2.lora.learning_rate"


def test_parts_round_and_the_loss_does_not(learning):
    processor, model = new_system(NAME)
    model.eval()
    batch = processor(mixed(NAME))
    learning = replace(learning, model=model)
    exact = model(batch, logits="labels").loss
    with learning.in_bfloat16(enabled=False, device_type="cpu"):
        assert model(batch, logits="labels").loss == exact
    with learning.in_bfloat16(enabled=True, device_type="cpu"):
        rounded = model(batch, logits="labels").loss
    assert rounded.dtype == torch.float32
    assert rounded != exact
    assert rounded.item() == pytest.approx(exact.item(), rel=0.02)
    assert learning.layout("cpu") == torch.contiguous_format
