from dataclasses import replace
from pathlib import Path

import pytest

from models.region_lm.assembly import planned_model
from models.region_lm.planning import (
    Machines,
    SampleShape,
    UnfitRegionsError,
    count_stage,
    estimate_stage,
    largest_image,
)
from models.region_lm.trainable import LoraSettings, StagePlan, TrainedPart
from tasks.operations.region_files import read_region_recipe

REPOSITORY = Path(__file__).resolve().parents[3]
SAMPLE = SampleShape(text=40, answer=8, regions=2)


def recipe(name="osprey_tiny"):
    return read_region_recipe(name, (), REPOSITORY)


def stage(*parts, **changes):
    trained = tuple(TrainedPart(part=part, learning_rate=1e-3) for part in parts)
    settings = {"name": "try", "train": trained, "global_batch": 16, "epochs": 2, "max_length": 2048}
    return StagePlan(**(settings | changes))


def test_published_sizes_are_counted():
    counts = count_stage(recipe("osprey"), recipe("osprey").stage("align"), SAMPLE)
    assert counts.parameters["regions"] == 25_245_696
    assert counts.trained == {"projector": 768 * 4096 + 4096 + 4096 * 4096 + 4096}
    assert counts.image_tokens == 1024
    assert counts.sample_tokens == 1024 + 2 * 2 + 40


def test_the_largest_image_has_every_tile():
    hd = recipe("tokenpacker_hd")
    assert largest_image(planned_model(hd.model, hd.language)) == (1450, 10)


def test_memory_is_the_sum_that_the_docstring_names():
    plan = stage("projector", "language")
    counts = count_stage(recipe(), plan, SAMPLE)
    everything, learned = sum(counts.parameters.values()), sum(counts.trained.values())
    alone = estimate_stage(counts, plan, Machines(count=4, memory=2**40, sharding="ddp"), num_samples=1000)
    shared = estimate_stage(counts, plan, Machines(count=4, memory=2**40, sharding="fsdp"), num_samples=1000)
    assert alone.memory.weights == 2 * everything
    assert alone.memory.gradients == 2 * learned
    assert alone.memory.optimizer == 12 * learned
    assert alone.memory.gathered == 0
    assert shared.memory.weights == -(-2 * everything // 4)
    assert shared.memory.gathered == 2 * 2 * counts.block_parameters
    parts = ("weights", "gradients", "optimizer", "gathered", "activations", "scores")
    assert shared.memory.total == sum(getattr(shared.memory, part) for part in parts)
    assert alone.micro_batch * alone.accumulation == 16 // 4
    assert alone.steps == 2 * 63


def test_micro_batches_are_the_largest_that_fit():
    plan = stage("projector", global_batch=64)
    counts = count_stage(recipe(), plan, SAMPLE)
    machines = Machines(count=2, memory=2**40, sharding="ddp")
    roomy = estimate_stage(counts, plan, machines, num_samples=10)
    assert (roomy.micro_batch, roomy.accumulation) == (32, 1)
    one = estimate_stage(counts, replace(plan, global_batch=2), machines, num_samples=10).memory.total
    each = counts.kept_bytes + counts.block_bytes + counts.score_bytes
    tight = replace(machines, memory=one + 8 * each)
    found = estimate_stage(counts, plan, tight, num_samples=10)
    assert (found.micro_batch, found.accumulation) == (8, 4)
    assert found.memory.total <= tight.memory
    none = estimate_stage(counts, plan, replace(machines, memory=1), num_samples=10)
    assert (none.micro_batch, none.accumulation) == (0, 0)


def test_a_whole_training_multiplies_four_times_as_much_as_it_reads():
    """Forward, forward again, and twice as much backward: 8 operations a weight and position."""
    plan = stage("language", "projector")
    counts = count_stage(recipe(), plan, SAMPLE)
    language = counts.parameters["language"]
    embeddings = 2 * recipe().language.vocabulary * recipe().language.width
    least = 8 * (language - 2 * embeddings) * counts.sample_tokens
    assert counts.sample_flops > least
    frozen = count_stage(recipe(), stage("projector"), SAMPLE)
    assert frozen.sample_flops < counts.sample_flops


def test_a_frozen_language_model_keeps_less():
    whole = count_stage(recipe(), stage("language"), SAMPLE)
    frozen = count_stage(recipe(), stage("projector"), SAMPLE)
    assert frozen.block_bytes < whole.block_bytes


def test_adapters_are_counted_apart():
    plan = stage(lora=LoraSettings(rank=4, alpha=8.0, learning_rate=1e-4, targets=("q_proj", "v_proj")))
    counts = count_stage(recipe(), plan, SAMPLE)
    language = recipe().language
    values = language.width // language.heads * language.kv_heads
    expected = language.layers * 4 * ((language.width + language.width) + (language.width + values))
    assert counts.trained == {"lora": expected}


@pytest.mark.parametrize(
    ("parts", "regions", "message"),
    [
        (("projector",), 101, "at most 100 regions of an image, got samples with 101"),
        (("projector", "regions.merge"), 0, "stage 'try' trains 'regions.merge', which samples without"),
    ],
)
def test_samples_that_no_run_takes_are_not_planned(parts, regions, message):
    with pytest.raises(UnfitRegionsError, match=message):
        count_stage(recipe(), stage(*parts), replace(SAMPLE, regions=regions))
