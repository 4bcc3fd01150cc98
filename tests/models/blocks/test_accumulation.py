"""Parts of a step, in one process or many, are the step; what is no number changes no weight."""

import threading
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.blocks.accumulation import Count, Learner, NotFiniteStepError, Part, accumulate_steps
from models.blocks.loop import NotFiniteError, WeightAverage

IMAGES = 6


class Alone:
    number, count = 0, 1

    def total(self, values):
        return values


class Threads:
    """Processes that are threads: they meet at every sum."""

    def __init__(self, count):
        self.count, self.held, self.barrier = count, [None] * count, threading.Barrier(count)

    def seat(self, number):
        threads = self

        class Seat:
            count = threads.count

            def total(self, values):
                threads.held[number] = values
                threads.barrier.wait()
                found = torch.stack(threads.held).sum(dim=0)
                threads.barrier.wait()
                return found

        seat = Seat()
        seat.number = number
        return seat


def make(gradient_norm=0.5):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.Conv2d(8, 2, 3))
        model.register_parameter("unused", nn.Parameter(torch.ones(3)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.5)

    def losses(batch, step):
        """Two means over different things, as detectors have them."""
        image, weight = batch
        found = model(image).mean(dim=(2, 3))
        first = functional.smooth_l1_loss(found[:, 0] * weight, weight, reduction="sum") / max(
            1.0, float(weight.sum())
        )
        return {"region": first, "image": found[:, 1].square().mean() * (1 + step)}

    average = WeightAverage(model, 0.9)
    return Learner(
        model=model, losses=losses, optimizer=optimizer, average=average, gradient_norm=gradient_norm
    )


def parts(step, cuts, poison=None):
    generator = torch.Generator().manual_seed(step)
    image = torch.randn(IMAGES, 3, 8, 8, generator=generator)
    weight = torch.tensor([1.0, 5.0, 0.0, 2.0, 1.0, 3.0])
    if poison is not None:
        image[poison] = torch.nan
    ranges = [range(low, high) for low, high in pairwise(cuts)]
    return [
        Part(
            batch=(image[list(places)], weight[list(places)]),
            counts={"region": Count(float(weight[list(places)].sum())), "image": Count(float(len(places)))},
            places=places,
        )
        for places in ranges
    ]


def run(learner, parts_of, workers, steps=4):
    def set_rate(step):
        learner.optimizer.param_groups[0]["lr"] = 0.05 / (1 + step)
        return 0.05 / (1 + step)

    return list(
        accumulate_steps(
            learner, parts_of, workers, steps=range(steps), samples_per_step=IMAGES, set_rate=set_rate
        )
    )


@pytest.fixture(scope="module")
def whole():
    learner = make()
    return learner, run(learner, lambda step: parts(step, [0, IMAGES]), Alone())


def same(first, second, results, expected):
    for name, value in first.model.state_dict().items():
        assert torch.allclose(value, second.model.state_dict()[name], atol=1e-6, rtol=1e-6), name
        assert torch.allclose(first.average.weights[name], second.average.weights[name], atol=1e-6), name
    for one, other in zip(results, expected, strict=True):
        assert one.step == other.step
        assert one.loss == pytest.approx(other.loss, rel=1e-6, abs=1e-6)
        assert one.parts == pytest.approx(other.parts, rel=1e-6, abs=1e-6)
        assert one.learning_rate == other.learning_rate


@pytest.mark.parametrize("cuts", [[0, 3, 6], [0, 1, 2, 6], [0, 1, 2, 4, 5, 6]])
def test_micro_batches_take_the_step_of_the_whole(whole, cuts):
    learner = make()
    same(learner, whole[0], run(learner, lambda step: parts(step, cuts), Alone()), whole[1])


def test_workers_take_the_step_of_the_whole(whole):
    threads, shares = Threads(2), ([0, 1, 3], [3, 6])
    learners, results = [make(), make()], [None, None]

    def work(number):
        def share(step):
            return parts(step, shares[number])

        results[number] = run(learners[number], share, threads.seat(number))

    running = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    for learner, found in zip(learners, results, strict=True):
        same(learner, whole[0], found, whole[1])
    assert results[0] == results[1]
    states = [learner.model.state_dict() for learner in learners]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_weight_that_nothing_used_does_not_decay(whole):
    assert torch.equal(whole[0].model.unused, torch.ones(3))


def test_gradients_are_shortened():
    free, held = make(gradient_norm=None), make(gradient_norm=1e-9)
    for learner in (free, held):
        learner.optimizer.param_groups[0]["weight_decay"] = 0.0
        run(learner, lambda step: parts(step, [0, IMAGES]), Alone(), steps=1)
    norm = [sum(p.grad.square().sum() for p in x.model.parameters() if p.grad is not None).sqrt().item()
            for x in (free, held)]  # fmt: skip
    assert norm[0] > 1e-3
    assert norm[1] == pytest.approx(1e-9, rel=0.01)


def test_what_is_no_number_stops_before_the_step():
    learner = make()
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    with pytest.raises(NotFiniteStepError, match="loss at step 0 is not finite") as caught:
        run(learner, lambda step: parts(step, [0, 2, 4, 6], poison=3), Alone())
    assert isinstance(caught.value, NotFiniteError)
    assert caught.value.places == (2, 3)
    assert set(caught.value.parts) == {"image", "region"}
    assert all(torch.equal(before[name], value) for name, value in learner.model.state_dict().items())
    assert not learner.optimizer.state


def test_a_matching_that_meets_no_number_counts_as_such():
    learner = make()

    def losses(batch, step):
        raise ValueError("the cost of matching is not finite: a class or mask logit is NaN or infinite.")

    broken = Learner(model=learner.model, losses=losses, optimizer=learner.optimizer,
                     average=learner.average, gradient_norm=None)  # fmt: skip
    with pytest.raises(NotFiniteStepError) as caught:
        run(broken, lambda step: parts(step, [0, 6]), Alone())
    assert caught.value.places == tuple(range(6))


def test_an_infinite_gradient_stops_too():
    learner = make()

    def losses(batch, step):
        value = learner.model(batch[0]).sum() * 0.0
        weight = learner.model[0].weight
        return {"image": value, "region": value + (weight - weight.detach()).abs().sum().sqrt()}

    broken = Learner(model=learner.model, losses=losses, optimizer=learner.optimizer,
                     average=learner.average, gradient_norm=None)  # fmt: skip
    with pytest.raises(NotFiniteStepError) as caught:
        run(broken, lambda step: parts(step, [0, 6]), Alone())
    assert caught.value.places == ()


def test_other_errors_are_not_swallowed():
    learner = make()

    def losses(batch, step):
        raise ValueError("boxes have five corners.")

    broken = Learner(model=learner.model, losses=losses, optimizer=learner.optimizer,
                     average=learner.average, gradient_norm=None)  # fmt: skip
    with pytest.raises(ValueError, match="five corners"):
        run(broken, lambda step: parts(step, [0, 6]), Alone())
