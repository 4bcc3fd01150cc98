"""The training loop in parts: a step is taken from micro-batches, one after the other and in many processes.

A step is that of its whole batch, whatever the parts: losses are means, and each part weighs as much as what
it is a mean of. The loop knows no file, no tracker and no network; processes come in as ``Workers``.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from models.blocks.loop import Losses, NotFiniteError, StepResult, WeightAverage

Batch = TypeVar("Batch")


class Workers(Protocol):
    """The processes that take a step together."""

    @property
    def number(self) -> int:
        """Place of this process, from 0."""

    @property
    def count(self) -> int:
        """How many there are."""

    def total(self, values: Tensor) -> Tensor:
        """Add up a tensor of equal shape over all processes; all get the same bits."""


class Count(NamedTuple):
    """What a loss is a mean of: its sum is divided by ``max(least, amount + extra)``."""

    amount: float
    """Adds up over parts; may be 0."""
    least: float = 1.0
    """Equal in all parts of a step, as is ``extra``."""
    extra: float = 0.0

    def divisor(self, amount: float) -> float:
        """Return by what a sum over an amount is divided."""
        return max(self.least, amount + self.extra)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[Batch]):
    """A micro-batch of this process."""

    batch: Batch
    counts: Mapping[str, Count]
    """What each loss is a mean of, by name; the names are those of the losses."""
    places: range
    """Of its samples in the batch of the step."""


class NotFiniteStepError(NotFiniteError):
    """A loss or gradient is NaN or infinite; the weights are those before the step, in every process."""

    def __init__(self, step: int, parts: dict[str, float], places: Sequence[int]) -> None:
        super().__init__(step, parts)
        self.places = tuple(places)
        """Places in the batch of the step that lie in micro-batches whose own loss is not finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner(Generic[Batch]):
    """What learns, and how."""

    model: nn.Module
    losses: Callable[[Batch, int], Losses]
    """Weighted losses of a micro-batch, by name, from the number of steps taken."""
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    """Running mean of the weights; None: none is kept."""
    gradient_norm: float | None
    """Longer gradients are shortened to this; None: never."""


def accumulate_steps(
    learner: Learner[Batch],
    parts_of: Callable[[int], Sequence[Part[Batch]]],
    workers: Workers,
    *,
    steps: range,
    samples_per_step: int,
    set_rate: Callable[[int], float],
) -> Iterator[StepResult]:
    """Take optimizer steps one at a time; the caller decides what to record and when to stop.

    Args:
        learner: Equal in every process.
        parts_of: This process's micro-batches of a step, at least one, from the step's number alone.
        workers: Who takes the steps.
        steps: Numbers of steps already taken before each.
        samples_per_step: Of all parts of all processes.
        set_rate: Sets the learning rates of a step, and returns the one to report.

    Yields:
        The report of each step, after it was taken; the same in every process.

    Raises:
        NotFiniteStepError: Before the optimizer touches the weights.
    """
    parameters = [parameter for parameter in learner.model.parameters() if parameter.requires_grad]
    for step in steps:
        rate = set_rate(step)
        learner.optimizer.zero_grad(set_to_none=True)
        found, bad = _backward(learner, parts_of(step), workers, step, samples_per_step)
        if bad or not all(map(math.isfinite, found.values())):
            raise NotFiniteStepError(step, found, bad)
        _share_gradients(parameters, workers)
        longest = math.inf if learner.gradient_norm is None else learner.gradient_norm
        if not nn.utils.clip_grad_norm_(parameters, longest).isfinite():
            raise NotFiniteStepError(step, found, ())
        learner.optimizer.step()
        if learner.average is not None:
            learner.average.update(learner.model, step + 1)
        yield StepResult(step=step + 1, loss=sum(found.values()), parts=found, learning_rate=rate)


def _backward(
    learner: Learner[Batch],
    parts: Sequence[Part[Batch]],
    workers: Workers,
    step: int,
    samples_per_step: int,
) -> tuple[dict[str, float], list[int]]:
    """Add up the gradients of this process; return the losses of the step and the places of bad parts."""
    names = sorted(parts[0].counts)
    device = next(learner.model.parameters()).device
    amount_PN = torch.tensor(
        [[part.counts[name].amount for name in names] for part in parts], dtype=torch.float64
    )
    total_N = workers.total(amount_PN.sum(dim=0).to(device)).tolist()
    report = torch.zeros(len(names) + samples_per_step, dtype=torch.float64)
    for part in parts:
        losses = _attempt(learner, part.batch, step)
        if losses is None:
            report[: len(names)] = torch.nan
            report[len(names) + part.places.start : len(names) + part.places.stop] = 1.0
            continue
        shares = [_share(part.counts[name], total) for name, total in zip(names, total_N, strict=True)]
        weighted = torch.stack([losses[name] * share for name, share in zip(names, shares, strict=True)])
        report[: len(names)] += weighted.detach().double().cpu()
        if weighted.detach().isfinite().all():
            weighted.sum().backward()  # type: ignore[no-untyped-call]
        else:
            report[len(names) + part.places.start : len(names) + part.places.stop] = 1.0
    report = workers.total(report.to(device)).cpu()
    found = dict(zip(names, report[: len(names)].tolist(), strict=True))
    return found, torch.nonzero(report[len(names) :])[:, 0].tolist()


def _share(count: Count, total: float) -> float:
    """Return by what the mean of a part is multiplied to add up to that of the step."""
    return count.divisor(count.amount) / count.divisor(total)


def _attempt(learner: Learner[Batch], batch: Batch, step: int) -> Losses | None:
    """Compute losses; None where a NaN was met before there was a loss: it matches no box."""
    try:
        return learner.losses(batch, step)
    except ValueError as error:
        if "not finite" not in str(error):
            raise
        return None


def _share_gradients(parameters: Sequence[nn.Parameter], workers: Workers) -> None:
    """Give every process the sum of the gradients; a weight that no process used keeps none."""
    if workers.count == 1:
        return
    used = torch.tensor([float(parameter.grad is not None) for parameter in parameters])
    flat = torch.cat(
        [
            (torch.zeros_like(parameter) if parameter.grad is None else parameter.grad).flatten()
            for parameter in parameters
        ]
    )
    total = workers.total(torch.cat((flat, used.to(flat))))
    used_anywhere = (total[len(flat) :] > 0).tolist()
    sums = torch.split(total[: len(flat)], [parameter.numel() for parameter in parameters])
    for parameter, gradient, used_here in zip(parameters, sums, used_anywhere, strict=True):
        parameter.grad = (
            gradient.view_as(parameter).clone(memory_format=torch.preserve_format) if used_here else None
        )
