"""Training a recipe: the same update in parts, the same bits after a stop, the images of a NaN."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from models.segmentation import instance_models
from tasks.data.checkpoints import read_history
from tasks.errors import InterruptedRun, UsageError
from tasks.operations import training_recipes
from tasks.operations.training_recipes import TrainingDiverged, train_recipe
from tasks.services.workers import Alone
from tests.tasks.operations.tiny_instances import tiny_training

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(folder, **given):
    folder.mkdir(exist_ok=True)
    training = tiny_training(folder / "images", folder / "checkpoints", **given)
    train_recipe(training, Alone(), lambda _: None)
    return training


def weights(training):
    return {name: value.clone() for name, value in training.lesson.network.state_dict().items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    return weights(train(folder)), read_history(folder / "checkpoints")


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def close(first, second, tolerance):
    return max((first[name] - second[name]).abs().max().item() for name in first) <= tolerance


def test_it_learns_and_says_so(whole):
    history = whole[1]
    assert [line["step"] for line in history] == [2, 4, 6]
    assert {"loss", "loss_classification", "loss_global", "learning_rate", "seconds"} <= history[0].keys()
    assert history[-1]["loss"] < history[0]["loss"]
    assert [line["learning_rate"] for line in history] == pytest.approx([0.0055, 0.01, 0.001])


def test_micro_batches_change_no_update(whole, tmp_path):
    assert close(weights(train(tmp_path, micro_batch=1)), whole[0], 1e-6)


def test_channels_last_changes_no_update_and_a_longer_run_goes_on_to_the_same_bits(whole, tmp_path):
    straight = weights(train(tmp_path / "straight", channels_last=True))
    assert straight["network.model.pixel_level_module.decoder.mask_projection.weight"].is_contiguous(
        memory_format=torch.channels_last
    )
    assert close(straight, whole[0], 1e-5)
    train(tmp_path / "cut", steps=4, channels_last=True)
    assert (tmp_path / "cut" / "checkpoints" / "step-2").exists()
    assert equal(weights(train(tmp_path / "cut", channels_last=True)), straight)


def test_a_stopped_run_goes_on_to_the_same_bits(whole, tmp_path, monkeypatch):
    honest = instance_models.QuerySegmenter.losses

    def stop(self, batch, supervision, *, step):
        if step == 2:
            signal.raise_signal(signal.SIGTERM)
        return honest(self, batch, supervision, step=step)

    monkeypatch.setattr(instance_models.QuerySegmenter, "losses", stop)
    with pytest.raises(InterruptedRun, match=r"stopped by SIGTERM after step 3 of 6\. Run .* --resume"):
        train(tmp_path)
    monkeypatch.undo()
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*"))
    assert kept == ["step-2", "step-3"]
    said = []
    training = tiny_training(tmp_path / "images", tmp_path / "checkpoints", micro_batch=None)
    train_recipe(training, Alone(), said.append)
    assert said[0] == "resumed from step-3"
    assert "training QuerySegmenter in float32 on cpu, 1 process, 1 threads" in said[1]
    assert equal(weights(training), whole[0])
    lines = read_history(tmp_path / "checkpoints")
    assert [line["loss"] for line in lines] == [line["loss"] for line in whole[1]]


def test_bfloat16_learns_nearly_the_same(whole, tmp_path):
    found = train(tmp_path, bfloat16=True)
    assert not equal(weights(found), whole[0])
    assert {value.dtype for value in weights(found).values() if value.is_floating_point()} == {torch.float32}
    losses = [
        [line["loss"] for line in lines] for lines in (read_history(tmp_path / "checkpoints"), whole[1])
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_a_loss_that_is_no_number_stops_before_the_step(tmp_path, monkeypatch):
    honest = training_recipes.losses_of_part

    def spoil(training, placed, step, device):
        losses = honest(training, placed, step, device)
        bad = step == 3 and placed.first == 2
        return losses | {"projection": losses["projection"] * (torch.nan if bad else 1.0)}

    monkeypatch.setattr(training_recipes, "losses_of_part", spoil)
    training = tiny_training(tmp_path / "images", tmp_path / "checkpoints", micro_batch=2)
    with pytest.raises(
        TrainingDiverged, match=r"diverged\.json: the loss after 3 steps is not finite"
    ) as caught:
        train_recipe(training, Alone(), lambda _: None)
    document = json.loads((tmp_path / "checkpoints" / "diverged.json").read_text())
    assert document["schema"] == "groundwork.diverged/1"
    assert document["step"] == 3
    assert len(document["image_ids"]) == 4
    assert document["suspect_image_ids"] == list(dict.fromkeys(document["image_ids"][2:]))
    assert document["losses"]["projection"] == "nan"
    assert isinstance(document["losses"]["classification"], float)
    assert str(document["suspect_image_ids"]) in str(caught.value)
    monkeypatch.undo()
    other = tmp_path / "other"
    other.mkdir()
    train_three = tiny_training(other / "images", other / "checkpoints", micro_batch=2, steps=3)
    model = train_three.lesson.network
    last = {}
    average_update = training_recipes.WeightAverage.update

    def remember(self, learner, step):
        average_update(self, learner, step)
        last.update({name: value.clone() for name, value in learner.state_dict().items()})

    monkeypatch.setattr(training_recipes.WeightAverage, "update", remember)
    train_recipe(train_three, Alone(), lambda _: None)
    assert model is train_three.lesson.network
    assert equal(weights(training), last)


def test_weights_that_are_no_numbers_are_named_although_matching_fails_first(tmp_path):
    training = tiny_training(tmp_path / "images", tmp_path / "checkpoints", steps=1)
    with torch.no_grad():
        next(training.lesson.network.parameters()).fill_(torch.nan)
    with pytest.raises(TrainingDiverged, match="not finite, in micro-batches of images"):
        train_recipe(training, Alone(), lambda _: None)


def test_more_processes_than_images_are_refused(tmp_path):
    many = Alone()
    many.count = 5
    with pytest.raises(UsageError, match=r"images_per_step: 5 processes cannot share 4 images\."):
        train_recipe(tiny_training(tmp_path / "images", tmp_path / "c"), many, lambda _: None)


def test_an_older_divergence_is_forgotten(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "diverged.json").write_text("{}")
    train(tmp_path, steps=1)
    assert not (tmp_path / "checkpoints" / "diverged.json").exists()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("accelerate") is None, reason="accelerate is not installed")
def test_two_processes_take_the_steps_of_one(whole, tmp_path):
    """Over gloo, each with half of the images, one asked to stop on the way: the same losses and weights."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29611",
         "-m", "tests.tasks.operations.two_processes", str(tmp_path), "2"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = [torch.load(tmp_path / f"{number}.pt", weights_only=True) for number in range(2)]
    assert equal(found[0], found[1])
    assert close(found[0], whole[0], 1e-5)
    lines = read_history(tmp_path / "checkpoints")
    assert [line["loss"] for line in lines] == pytest.approx([line["loss"] for line in whole[1]], rel=1e-5)
    assert sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*")) == ["step-3", "step-4"]
