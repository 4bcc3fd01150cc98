"""Shares of a step: even, repeatable, drawn ahead."""

import threading
from types import SimpleNamespace

import pytest
import torch

from tasks.errors import DataError
from tasks.operations.training_steps import drawn_ahead, losses_of_part, parts_of_step
from tests.tasks.operations.tiny_instances import tiny_training


def worker(number, count):
    return SimpleNamespace(number=number, count=count)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [None, 1, 3])
def test_every_place_is_computed_once(tmp_path, count, size):
    training = tiny_training(tmp_path / "images", tmp_path / "c", micro_batch=size)
    places = [
        place
        for number in range(count)
        for part in parts_of_step(training, worker(number, count), 3)
        for place in part.places
    ]
    assert places == [0, 1, 2, 3]
    for part in parts_of_step(training, worker(0, 1), 3):
        assert part.batch.first == part.places.start
        assert len(part.batch.batch.image_ids) == len(part.places) <= (size or 4)
        assert set(part.counts) == {"classification", "projection", "global", "local"}


def test_what_a_network_draws_follows_from_seed_step_and_place(tmp_path):
    training = tiny_training(tmp_path / "images", tmp_path / "c")
    part = parts_of_step(training, worker(0, 1), 0)[0]
    drawn = []
    training.lesson.network.losses = lambda *_, **__: {"draw": torch.rand(())}
    outside = torch.get_rng_state()
    for batch, step in ((part.batch, 0), (part.batch, 0), (part.batch, 1), (part.batch._replace(first=1), 0)):
        drawn.append(losses_of_part(training, batch, step, torch.device("cpu"))["draw"].item())
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3
    assert torch.equal(torch.get_rng_state(), outside)


def test_the_next_step_is_drawn_while_one_is_computed():
    begun = {step: threading.Event() for step in range(3, 6)}

    def draw(step):
        begun[step].set()
        return [step]

    with drawn_ahead(draw, range(3, 6)) as take:
        assert take(3) == [3]
        assert begun[4].wait(timeout=30)
        assert (take(4), take(5)) == ([4], [5])


def test_an_error_of_the_thread_is_the_caller_s():
    def draw(step):
        raise DataError("is damaged.", obj="7.png", hint="Fetch it.")

    with drawn_ahead(draw, range(2)) as take, pytest.raises(DataError, match=r"7\.png: is damaged\."):
        take(0)
