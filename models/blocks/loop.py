"""The training loop: a generator of optimizer steps and their reports; it knows no file and no tracker."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Losses = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """One optimizer step."""

    step: int
    """Steps taken so far, this one included."""
    loss: float
    """The sum of the parts."""
    parts: dict[str, float]
    """Weighted losses by name."""
    learning_rate: float
    """Of this step."""


class NotFiniteError(ValueError):
    """A loss is NaN or infinite; the weights are those before the step."""

    def __init__(self, step: int, parts: dict[str, float]) -> None:
        super().__init__(f"loss at step {step} is not finite: {parts}.")
        self.step, self.parts = step, parts


def train_steps(
    model: nn.Module,
    losses_of: Callable[[int], Losses],
    optimizer: torch.optim.Optimizer,
    average: "WeightAverage | None",
    *,
    first_step: int,
    num_steps: int,
    learning_rate_of: Callable[[int], float],
    gradient_norm: float,
) -> Iterator[StepResult]:
    """Take optimizer steps one at a time; the caller decides what to record and when to stop.

    Args:
        model: What learns.
        losses_of: Computes the losses of a step from its number alone, so a resumed run repeats no state.
        optimizer: Its learning rate is set before each step.
        average: Running mean of the weights; None: none is kept.
        first_step: Number of steps already taken.
        num_steps: Number of steps in all.
        learning_rate_of: The rate of each step.
        gradient_norm: Longer gradients are shortened to this.

    Yields:
        The report of each step, after it was taken.

    Raises:
        NotFiniteError: Before the optimizer touches the weights.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for step in range(first_step, num_steps):
        learning_rate = learning_rate_of(step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        losses = losses_of(step)
        total = torch.stack(list(losses.values())).sum()
        parts = {name: value.item() for name, value in losses.items()}
        if not total.isfinite():
            raise NotFiniteError(step, parts)
        optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        if not nn.utils.clip_grad_norm_(parameters, gradient_norm).isfinite():
            raise NotFiniteError(step, parts)
        optimizer.step()
        if average is not None:
            average.update(model, step + 1)
        yield StepResult(step=step + 1, loss=total.item(), parts=parts, learning_rate=learning_rate)


class WeightAverage:
    """Exponential running mean of the weights, which predicts better than the last weights.

    Args:
        model: Its weights start the mean.
        decay: Share of the old mean that survives a step; less in the first steps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Mix the current weights in.

        Args:
            model: The model after the step.
            step: Steps taken so far, at least 1.
        """
        decay = min(self.decay, step / (step + 10.0))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1.0 - decay)
            else:  # a counter has no mean
                self.weights[name].copy_(value)
