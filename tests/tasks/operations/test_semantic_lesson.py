"""Classes of pixels in the common trainer: equal in parts and after a stop, and the images of a NaN."""

import json

import pytest
import torch

from tasks.data.checkpoints import read_history
from tasks.data.images import read_rgb
from tasks.operations import semantic_lesson
from tasks.operations.training_recipes import TrainingDiverged, train_recipe
from tasks.operations.training_steps import parts_of_step
from tasks.services.workers import Alone
from tests.tasks.operations.tiny_semantic import scribbled_world, tiny_training


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scribbled")
    scribbled_world(folder)
    return folder


def train(world, folder, **given):
    folder.mkdir(exist_ok=True)
    training = tiny_training(world, folder / "checkpoints", **given)
    train_recipe(training, Alone(), lambda _: None)
    return training.lesson.network.state_dict()


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """The weights and losses of an uninterrupted run."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("whole")
    return train(world, folder), read_history(folder / "checkpoints")


def test_it_says_every_loss(whole):
    names = {"loss", "loss_labels", "loss_tree_energy", "loss_global", "loss_local"}
    assert names <= whole[1][0].keys()
    assert [line["step"] for line in whole[1]] == [1, 2, 3, 4]
    rates = [line["learning_rate"] for line in whole[1]]
    assert rates[0] == 0.01
    assert rates == sorted(rates, reverse=True)


def test_micro_batches_change_no_update(world, whole, tmp_path):
    found = [train(world, tmp_path / str(size), micro_batch=size, steps=2) for size in (None, 1, 3)]
    for other in found[1:]:
        assert max((other[name] - found[0][name]).abs().max().item() for name in other) <= 1e-6
    for size in ("1", "3"):
        losses = [line["loss"] for line in read_history(tmp_path / size / "checkpoints")]
        assert losses == pytest.approx([line["loss"] for line in whole[1][:2]], rel=1e-5)


def test_a_cut_run_goes_on_to_the_same_bits(world, whole, tmp_path):
    train(world, tmp_path, steps=3)
    found = train(world, tmp_path)
    assert all(torch.equal(found[name], whole[0][name]) for name in found)


def test_bfloat16_learns_nearly_the_same(world, whole, tmp_path):
    found = train(world, tmp_path, bfloat16=True)
    assert {value.dtype for value in found.values() if value.is_floating_point()} == {torch.float32}
    losses = [line["loss"] for line in read_history(tmp_path / "checkpoints")]
    assert losses == pytest.approx([line["loss"] for line in whole[1]], rel=0.1)
    assert losses != [line["loss"] for line in whole[1]]


def test_the_images_of_a_nan_are_named(world, tmp_path, monkeypatch):
    honest = semantic_lesson.semantic_losses
    calls = []

    def spoil(network, batch, supervision, *, step):
        losses = honest(network, batch, supervision, step=step)
        calls.append(step)
        return losses | {"global": losses["global"] * (torch.nan if len(calls) == 2 else 1.0)}

    monkeypatch.setattr(semantic_lesson, "semantic_losses", spoil)
    training = tiny_training(world, tmp_path / "checkpoints", micro_batch=2)
    before = {name: value.clone() for name, value in training.lesson.network.state_dict().items()}
    with pytest.raises(TrainingDiverged, match=r"diverged\.json: the loss after 0 steps is not finite"):
        train_recipe(training, Alone(), lambda _: None)
    document = json.loads((tmp_path / "checkpoints" / "diverged.json").read_text())
    assert document["image_ids"] == list(training.lesson.names(0))
    assert document["suspect_image_ids"] == list(dict.fromkeys(document["image_ids"][2:]))
    assert all(read_rgb(world / "world" / name).size for name in document["image_ids"])
    after = training.lesson.network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_places_of_a_step_are_its_images(world, tmp_path):
    training = tiny_training(world, tmp_path / "checkpoints")
    lesson = training.lesson
    assert lesson.num_images == 3
    assert len(set(lesson.names(0)[:3])) == 3
    parts = parts_of_step(training, Alone(), 1)
    assert parts[0].batch.batch.image_BCHW.shape == (4, 3, 48, 48)
    assert set(parts[0].counts) == {"labels", "tree_energy", "global", "local"}
    again = lesson.draw(1, range(2, 3))[0]
    assert torch.equal(again.label_BHW[0], parts[0].batch.batch.label_BHW[2])
