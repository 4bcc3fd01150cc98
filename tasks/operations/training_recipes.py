"""Take the steps of a lesson: micro-batches, processes, checkpoints, a stop by signal, what is left of a NaN.

Killed at any moment, the same training goes on where it was; on one thread to the same bits.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import torch

from models.blocks.accumulation import Learner, NotFiniteStepError, accumulate_steps
from models.blocks.loop import StepResult, WeightAverage
from models.blocks.precision import has_fast_bfloat16
from tasks.data.checkpoints import TrainingState, append_history, resume, save_checkpoint
from tasks.data.commit import commit_file
from tasks.errors import GroundworkError, InterruptedRun, UsageError
from tasks.lifetime import stop_signals
from tasks.operations.training_steps import (
    Batch,
    PlacedBatch,
    Training,
    drawn_ahead,
    losses_of_part,
    parts_of_step,
)
from tasks.services.workers import DeviceWorkers

DIVERGED = "diverged.json"
DIVERGED_SCHEMA = "groundwork.diverged/1"
_SECONDS_BETWEEN_LINES = 5.0


class TrainingDiverged(GroundworkError):
    """The loss is no number any more; the last good checkpoint is kept."""

    code: ClassVar[str] = "diverged"
    exit_code: ClassVar[int] = 1


def train_recipe(training: Training[Batch], workers: DeviceWorkers, say: Callable[[str], None]) -> None:
    """Take the steps that are left; afterwards the model holds the mean of its weights, if one is kept.

    Args:
        training: Equal in every process; its model is trained in place.
        workers: Who takes the steps.
        say: Told the progress; only the first process speaks.

    Raises:
        UsageError: If there are more processes than samples in a step.
        DataError: If an image is missing or damaged.
        InterruptedRun: On SIGTERM or SIGINT of any process, after a checkpoint was written.
        TrainingDiverged: If a loss or gradient is NaN or infinite; ``diverged.json`` beside the checkpoints
            names the samples. The weights are not touched.
    """
    _check(training, workers)
    device = workers.device
    network, learning = training.lesson.network, training.lesson.learning
    network.to(device)
    network.to(memory_format=training.layout(device.type))
    network.train()
    decay = training.settings.average_decay
    state = TrainingState(
        model=network,
        optimizer=learning.optimizer(),
        average=None if decay is None else WeightAverage(network, decay),
    )
    tell = say if workers.number == 0 else _say_nothing
    done = _resume(training, state, workers, tell)
    fast = has_fast_bfloat16() or device.type == "cuda" if training.bfloat16 is None else training.bfloat16
    tell(
        f"training {type(network).__name__} in {'bfloat16' if fast else 'float32'} on {device.type}, "
        f"{workers.count} process{'es' if workers.count > 1 else ''}, {torch.get_num_threads()} threads"
    )
    with learning.in_bfloat16(enabled=fast, device_type=device.type), stop_signals() as stopped:
        _take_steps(training, state, workers, done, stopped, tell)
    if state.average is not None:
        network.load_state_dict(state.average.weights)


def _check(training: Training[Batch], workers: DeviceWorkers) -> None:
    learning = training.lesson.learning
    if workers.count > learning.samples_per_step:
        raise UsageError(
            f"{workers.count} processes cannot share {learning.samples_per_step} {learning.words.sample}s.",
            obj=learning.words.per_step,
            hint=f"Start fewer processes, or say `--set {learning.words.per_step}=...`.",
        )


def _resume(
    training: Training[Batch], state: TrainingState, workers: DeviceWorkers, tell: Callable[[str], None]
) -> int:
    """Let one process after the other read the checkpoint: the first one clears what is foreign."""
    done = 0
    for number in range(workers.count):
        if number == workers.number:
            done = resume(training.checkpoints, state, run_key=training.run_key, say=tell)
            (training.checkpoints / DIVERGED).unlink(missing_ok=True)
        workers.wait()
    return done


def _take_steps(
    training: Training[Batch],
    state: TrainingState,
    workers: DeviceWorkers,
    done: int,
    stopped: list[str],
    tell: Callable[[str], None],
) -> None:
    """Take steps with history, checkpoints and progress."""
    settings, started, spoken = training.settings, time.monotonic(), -math.inf
    first, positions = workers.number == 0, 0
    try:
        for result in _steps(training, state, workers, done):
            now, last = time.monotonic(), result.step == training.steps
            amounts = training.lesson.amounts(result.step - 1)
            positions += amounts.get("positions", 0)
            if now - spoken >= _SECONDS_BETWEEN_LINES or last:
                left = (now - started) / (result.step - done) * (training.steps - result.step)
                speed = f", {positions / (now - started):.0f} tokens/s" if positions else ""
                said = f"training {result.step}/{training.steps}, {left:.0f} s left, loss {result.loss:.3f}"
                tell(f"{said}{speed}")
                spoken = now
            if first and (result.step % settings.log_every == 0 or last):
                append_history(training.checkpoints, _line(result, amounts, now - started))
            asked = workers.total(torch.tensor(float(bool(stopped)), device=workers.device)).item() > 0
            if first and not last and (asked or result.step % settings.checkpoint_every == 0):
                save_checkpoint(training.checkpoints, state, step=result.step, run_key=training.run_key)
            if asked and not last:
                workers.wait()
                raise InterruptedRun(
                    f"stopped by {(stopped or ['another process'])[0]} after step {result.step} "
                    f"of {training.steps}.",
                    obj=str(training.checkpoints),
                    hint="Run the same command with --resume.",
                )
    except NotFiniteStepError as error:
        raise _diverged(training, error, first=first) from error


def _steps(
    training: Training[Batch], state: TrainingState, workers: DeviceWorkers, done: int
) -> Iterator[StepResult]:
    learning = training.lesson.learning
    learner: Learner[PlacedBatch[Batch]] = Learner(
        model=training.lesson.network,
        losses=lambda placed, step: losses_of_part(training, placed, step, workers.device),
        optimizer=state.optimizer,
        average=state.average,
        gradient_norm=learning.gradient_norm,
    )
    steps = range(done, training.steps)
    with drawn_ahead(lambda step: parts_of_step(training, workers, step), steps) as parts_of:
        yield from accumulate_steps(
            learner,
            parts_of,
            workers,
            steps=steps,
            samples_per_step=learning.samples_per_step,
            set_rate=lambda step: learning.set_rates(state.optimizer, step),
        )


def _diverged(training: Training[Batch], error: NotFiniteStepError, *, first: bool) -> TrainingDiverged:
    """Write what is known of a step that gave no number, and say where it is."""
    names, words = training.lesson.names(error.step), training.lesson.learning.words
    suspects = list(dict.fromkeys(names[place] for place in sorted(error.places)))
    path = training.checkpoints / DIVERGED
    document = {
        "schema": DIVERGED_SCHEMA,
        "step": error.step,
        f"{words.sample}_ids": list(names),
        f"suspect_{words.sample}_ids": suspects,
        "losses": {name: _as_json(value) for name, value in error.parts.items()},
        "run_key": training.run_key,
    }
    if first:
        commit_file(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
    where = f"in micro-batches of {words.sample}s {suspects}" if suspects else "in the gradient"
    return TrainingDiverged(
        f"the loss after {error.step} steps is not finite, {where}: {document['losses']}.",
        obj=str(path),
        hint=f"Look at these {words.sample}s, or lower it by `--set {words.rate}=...`.",
    )


def _as_json(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _line(result: StepResult, amounts: Mapping[str, int], seconds: float) -> dict[str, Any]:
    """Return one line of the history."""
    parts = {f"loss_{name}": value for name, value in result.parts.items()}
    return {
        "step": result.step,
        "loss": result.loss,
        **parts,
        **amounts,
        "learning_rate": result.learning_rate,
        "seconds": round(seconds, 3),
    }


def _say_nothing(_: str) -> None:
    """Be one of the processes that only compute."""
