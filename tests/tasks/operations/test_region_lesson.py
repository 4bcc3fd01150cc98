"""What stands at the places of a step, and a loss that rows and parts do not change."""

from dataclasses import replace

import pytest
import torch

from tasks.data.region_mix import open_mix, read_mix
from tasks.errors import UsageError
from tasks.operations.region_start import begin_model
from tasks.operations.training_steps import Training, parts_of_step
from tasks.operations.tune_request import TuneSettings, check_tuning, read_stage
from tasks.operations.tuning import _lesson, _measured
from tasks.services.workers import Alone
from tests.tasks.operations.tiny_regions import ROOT, request, write_world


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    world = write_world(tmp_path_factory.mktemp("world"))
    path = world / "mix.yaml"
    path.write_text("".join(f"- {{samples: {world / name}, images: {world / 'shapes'}}}\n"
                            for name in ("regions", "images", "text")))  # fmt: skip
    changes = ("stages.2.global_batch=12",)
    asked = request(world, world / "out", data=path, images=None, changes=changes)
    check_tuning(asked)
    staged = read_stage(asked, ROOT)
    mix = open_mix(read_mix(path, None), seed=0)
    beginning = begin_model(asked, staged.recipe, mix.samples, seed=0)
    data = _measured(mix.samples, beginning, staged, print)
    return _lesson(beginning, staged, data, 8)


def drawn(lesson, step, micro_batch):
    settings = TuneSettings(micro_batch=micro_batch).of_run()
    training = Training(lesson=lesson, settings=settings, steps=8, checkpoints=None, run_key="a run")
    return parts_of_step(training, Alone(), step)


def loss_of_step(lesson, step, micro_batch=None):
    lesson.network.train()
    parts = drawn(lesson, step, micro_batch)
    total = sum(part.counts["text"].amount for part in parts)
    found = 0.0
    for part in parts:
        with torch.no_grad():
            losses = lesson.losses(part.batch.batch, step, torch.device("cpu"), torch.contiguous_format)
        found += losses["text"].item() * part.counts["text"].amount / total
    return found


def test_a_step_is_what_it_says(lesson):
    for step in range(3):
        names, amounts = lesson.names(step), lesson.amounts(step)
        batch, counts = lesson.draw(step, range(12))
        assert len(names) == len(batch.positions) == 12
        assert counts["text"].amount == amounts["learned_tokens"] == batch.batch.num_learned
        assert sum(batch.positions) == amounts["positions"]
    assert lesson.network is lesson.model


def test_a_language_model_that_mixes_samples_is_not_packed(lesson):
    config = lesson.model.language.config
    config.sliding_window = 8
    try:
        said = (
            r"the language model \(llama\) cannot read several samples in a row: its attention sees 8 "
            r"positions .*Say `--set training\.packing=false`"
        )
        with pytest.raises(UsageError, match=said):
            replace(lesson, packing=True)
        assert not replace(lesson, packing=False).packing
    finally:
        del config.sliding_window


def test_neither_rows_nor_parts_change_the_loss(lesson):
    alone = replace(lesson, packing=False)
    packed = []
    honest = lesson.model.read_packed

    def spy(rows, **named):
        packed.append(len(rows.sample_PL))
        return honest(rows, **named)

    lesson.model.read_packed = spy
    try:
        for step in range(2):
            expected = loss_of_step(alone, step)
            assert loss_of_step(lesson, step) == pytest.approx(expected, abs=1e-5)
            assert loss_of_step(lesson, step, micro_batch=3) == pytest.approx(expected, abs=1e-5)
    finally:
        lesson.model.read_packed = honest
    assert packed
    assert max(packed) < 12
