"""Samples that teach nothing are refused, frozen weights are held as they came."""

from dataclasses import replace

import pytest
import torch

from models.region_lm.trainable import LoraSettings, TrainedPart, begin_stage
from tasks.data.region_mix import MixSample
from tasks.errors import DataError
from tasks.operations.tune_request import TuneSettings
from tasks.operations.tuned_parts import check_reach, describe_parts, prepare_parts
from tests.models.region_lm.systems import new_system, recipe
from tests.tasks.operations.tiny_regions import image_samples, region_samples, text_sample

ALIGN, REGIONS, INSTRUCT = recipe("osprey_tiny").stages


def mixed(*samples):
    return [MixSample(sample, None, "mask") for sample in samples]


SHOWN, SEEN, SAID = region_samples()[0], image_samples()[0], text_sample()


def test_what_reaches_every_part_is_taken():
    check_reach(ALIGN, mixed(SHOWN, SEEN))
    check_reach(REGIONS, mixed(SHOWN))
    check_reach(INSTRUCT, mixed(SHOWN, SEEN, SAID))
    lora = LoraSettings(rank=2, alpha=4.0, learning_rate=1e-3)
    check_reach(replace(ALIGN, train=(), lora=lora), mixed(SAID))


@pytest.mark.parametrize(
    ("stage", "samples", "message"),
    [
        (
            ALIGN,
            (SEEN, SAID),
            r"talk/train/1: 1 of 2 samples teach nothing in stage 'align': .*\(projector\)",
        ),
        (REGIONS, (SHOWN, SEEN), "1 of 2 samples teach nothing in stage 'regions'"),
        (
            ALIGN,
            (SAID,),
            "the samples have no image: nothing reaches 'projector', which stage 'align' trains",
        ),
        (INSTRUCT, (SEEN, SAID), "the samples mention no region: nothing reaches 'regions'"),
    ],
)
def test_what_teaches_nothing_is_named(stage, samples, message):
    with pytest.raises(DataError, match=message):
        check_reach(stage, mixed(*samples))


def test_parts_are_counted():
    _, model = new_system("osprey_tiny")
    begin_stage(model, REGIONS)
    said = describe_parts(model)
    assert said.startswith("16,192 of 172,944 ")
    assert said.endswith("parameters learn (regions 16,192)")


def test_what_learns_is_float32_and_blocks_are_told_to_be_computed_again():
    _, model = new_system("osprey_tiny")
    model = model.to(torch.bfloat16)
    part = TrainedPart(part="projector", learning_rate=1e-3)
    lora = LoraSettings(rank=2, alpha=4.0, learning_rate=1e-3)
    begin_stage(model, replace(ALIGN, train=(part,), lora=lora))
    prepare_parts(model, TuneSettings(bfloat16=False))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    blocks = model.language.model.layers
    assert all(block.gradient_checkpointing for block in blocks)
    _, other = new_system("osprey_tiny")
    prepare_parts(other, TuneSettings(gradient_checkpointing=False))
    assert not any(block.gradient_checkpointing for block in other.language.model.layers)


def test_frozen_bfloat16_stays_on_a_gpu(monkeypatch):
    _, model = new_system("osprey_tiny")
    model = model.to(torch.bfloat16)
    begin_stage(model, ALIGN)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    prepare_parts(model, TuneSettings())
    for name, parameter in model.named_parameters():
        assert parameter.dtype == (torch.float32 if name.startswith("projector.") else torch.bfloat16), name
