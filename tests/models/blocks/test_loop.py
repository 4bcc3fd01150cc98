import copy
import re

import pytest
import torch
from torch import nn

from models.blocks.loop import NotFiniteError, StepResult, WeightAverage, train_steps

RATES = (0.1, 0.4, 0.2, 0.3, 0.05, 0.1)


class Scene:
    """A line, fitted to points that follow from the number of the step."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Linear(3, 1)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=99.0)
        self.average = WeightAverage(self.model, 0.5)
        self.asked = []

    def losses(self, step):
        self.asked.append(step)
        generator = torch.Generator().manual_seed(step)
        points, target = torch.rand(8, 3, generator=generator), torch.rand(8, 1, generator=generator)
        error = self.model(points) - target
        return {"square": error.square().mean(), "size": 0.01 * self.model.weight.abs().sum()}

    def steps(self, losses=None, *, first_step=0, num_steps=6, gradient_norm=1.0):
        return train_steps(
            self.model,
            losses or self.losses,
            self.optimizer,
            self.average,
            first_step=first_step,
            num_steps=num_steps,
            learning_rate_of=RATES.__getitem__,
            gradient_norm=gradient_norm,
        )

    def weights(self):
        return {name: value.clone() for name, value in self.model.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_equals_the_steps_written_out():
    ours, slow = Scene(), Scene()
    results = list(ours.steps())
    for step, result in enumerate(results):
        for group in slow.optimizer.param_groups:
            group["lr"] = RATES[step]
        parts = slow.losses(step)
        total = parts["square"] + parts["size"]
        slow.optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(slow.model.parameters(), 1.0)
        slow.optimizer.step()
        slow.average.update(slow.model, step + 1)
        numbers = {name: value.item() for name, value in parts.items()}
        expected = StepResult(step=step + 1, loss=total.item(), parts=numbers, learning_rate=RATES[step])
        assert result == expected
    assert_same(ours.weights(), slow.weights())
    assert_same(ours.average.weights, slow.average.weights)
    assert ours.asked == [0, 1, 2, 3, 4, 5]


def test_a_resumed_run_equals_one_that_never_stopped():
    whole, first, second = Scene(), Scene(), Scene()
    expected = list(whole.steps())
    results = list(first.steps(num_steps=2))
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.average.weights = {name: value.clone() for name, value in first.average.weights.items()}
    results += second.steps(first_step=2)
    assert results == expected
    assert_same(second.weights(), whole.weights())
    assert_same(second.average.weights, whole.average.weights)
    assert second.asked == [2, 3, 4, 5]


def test_a_step_is_taken_only_when_asked_for():
    scene = Scene()
    before, steps = scene.weights(), scene.steps()
    assert scene.asked == []
    assert next(steps).step == 1
    assert scene.asked == [0]
    assert not torch.equal(scene.weights()["weight"], before["weight"])


@pytest.mark.parametrize("first_step", [6, 7])
def test_a_finished_run_takes_no_step(first_step):
    scene = Scene()
    before = scene.weights()
    assert list(scene.steps(first_step=first_step)) == []
    assert_same(scene.weights(), before)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_loss_that_is_no_number_stops_before_the_weights_move(value):
    scene = Scene()

    def spoiled(step):
        return scene.losses(step) | ({"size": scene.model.weight.sum() * value} if step == 2 else {})

    steps = scene.steps(spoiled)
    next(steps)
    parts = next(steps).parts
    before, average = scene.weights(), {name: value.clone() for name, value in scene.average.weights.items()}
    with pytest.raises(NotFiniteError) as caught:
        next(steps)
    assert caught.value.step == 2
    assert caught.value.parts.keys() == parts.keys()
    assert re.match(r"^loss at step 2 is not finite: \{'square': .*, 'size': .*\}\.$", str(caught.value))
    assert_same(scene.weights(), before)
    assert_same(scene.average.weights, average)


def test_a_gradient_that_is_no_number_stops_before_the_weights_move():
    scene = Scene()
    before = scene.weights()

    def steep(_):
        weight = scene.model.weight
        return {"root": (weight - weight.detach()).sqrt().sum()}

    with pytest.raises(NotFiniteError):
        next(scene.steps(steep))
    assert_same(scene.weights(), before)


def test_long_gradients_are_shortened_and_short_ones_are_not():
    for factor, length in ((1000.0, 0.5), (0.001, 0.001 * 3.0**0.5)):
        scene = Scene()
        scene.optimizer = torch.optim.SGD(scene.model.parameters(), lr=99.0)
        before = scene.weights()["weight"]
        next(
            scene.steps(
                lambda _, by=factor, of=scene: {"pull": by * of.model.weight.sum()}, gradient_norm=0.5
            )
        )
        moved = (scene.weights()["weight"] - before).norm().item()
        assert moved == pytest.approx(RATES[0] * length, rel=1e-4)


def test_frozen_weights_stay_and_have_no_share_in_the_length():
    scene = Scene()
    scene.model.bias.requires_grad_(False)
    scene.model.bias.grad = torch.full_like(scene.model.bias, 1e6)
    scene.optimizer = torch.optim.SGD([scene.model.weight], lr=99.0)
    before = scene.weights()
    next(scene.steps(lambda _: {"pull": scene.model.weight.sum()}, gradient_norm=100.0))
    after = scene.weights()
    assert torch.equal(after["bias"], before["bias"])
    torch.testing.assert_close(after["weight"], before["weight"] - RATES[0])


def test_gradients_of_the_step_before_are_forgotten():
    scene, fresh = Scene(), Scene()
    for parameter in scene.model.parameters():
        parameter.grad = torch.full_like(parameter, 5.0)
    assert next(scene.steps()) == next(fresh.steps())
    assert_same(scene.weights(), fresh.weights())


def test_average_follows_its_formula():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average, expected = WeightAverage(model, 0.2), 1.0
    for step, weight in enumerate((2.0, -3.0, 5.0, 0.5), start=1):
        nn.init.constant_(model.weight, weight)
        average.update(model, step)
        decay = min(0.2, step / (step + 10))
        expected = decay * expected + (1.0 - decay) * weight
        assert average.weights["weight"].item() == pytest.approx(expected, rel=1e-6)
        assert model.weight.item() == weight


def test_average_starts_as_a_copy_and_follows_at_first():
    scene = Scene()
    start = copy.deepcopy(scene.average.weights)
    assert_same(start, scene.weights())
    with torch.no_grad():
        scene.model.weight.add_(1.0)
    assert_same(scene.average.weights, start)
    WeightAverage.update(scene.average, scene.model, 1)
    moved = (scene.average.weights["weight"] - start["weight"]).mean().item()
    assert moved == pytest.approx(10 / 11, rel=1e-5)
    assert not scene.average.weights["weight"].requires_grad


def test_average_of_a_model_that_stands_still_is_the_model():
    scene = Scene()
    for step in range(1, 50):
        scene.average.update(scene.model, step)
    assert_same(scene.average.weights, scene.weights())
