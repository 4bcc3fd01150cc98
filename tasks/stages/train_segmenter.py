"""Stage: train the segmenter from boxes. Killed at any moment, the same command goes on where it was."""

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers.utils.logging import disable_progress_bar

import models
from models.blocks.loop import NotFiniteError, StepResult, WeightAverage, train_steps
from models.blocks.precision import has_fast_bfloat16
from models.blocks.schedule import one_cycle
from models.segmentation.config import DEFAULT_PREDICTION, SegmenterTrainingConfig
from models.segmentation.hub import BoxSegmenter, new_segmenter
from models.segmentation.objective import TrainingBatch, segmenter_losses
from tasks.data import datasets
from tasks.data.checkpoints import (
    HISTORY,
    TrainingState,
    append_history,
    clear_checkpoints,
    read_history,
    resume,
    save_checkpoint,
)
from tasks.data.commit import commit_directory, hash_file
from tasks.data.datasets import CropPolicy, TrainingImage, draw_batch, generator_of, load_training_images
from tasks.data.prepared import read_about, read_records
from tasks.data.segmenter_directory import SEGMENTER_SCHEMA
from tasks.errors import GroundworkError, InterruptedRun
from tasks.lifetime import stop_signals
from tasks.stages._command import run_stage
from tasks.stages._progress import StageProgress

_REGIONS_STREAM = 2


class TrainingDiverged(GroundworkError):  # reads like its neighbours in tasks.errors
    """The loss is no number any more; the last good checkpoint is kept."""

    code: ClassVar[str] = "diverged"
    exit_code: ClassVar[int] = 1


def run(
    config: SegmenterTrainingConfig,
    *,
    dataset: Path,
    prepared: Path,
    about: Path,
    checkpoints: Path,
    out: Path,
) -> None:
    """Train from the boxes in ``prepared`` and commit the model to ``out``.

    Raises:
        DataError: If an image or a record is damaged.
        InterruptedRun: On SIGTERM or SIGINT, after a checkpoint was written.
        TrainingDiverged: If a loss is NaN or infinite.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    described = read_about(about)
    images = load_training_images(read_records(prepared), dataset, described.categories)
    provenance = {
        "dataset_sha256": described.dataset_sha256,
        "prepared_sha256": hash_file(prepared),
        "params_sha256": _digest(asdict(config)),
        "config": asdict(config),
        "seed": config.seed,
        "steps": config.steps,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    model = _build(config, described.categories)
    average = WeightAverage(model.network, config.average_decay)
    state = _state(model, config, average)
    _train(state, config, images, checkpoints, run_key=_run_key(provenance))
    model.network.load_state_dict(average.weights)
    history = [
        {name: value for name, value in line.items() if name != "seconds"}
        for line in read_history(checkpoints)
    ]

    def write(folder: Path) -> None:
        model.save_pretrained(folder)
        lines = "".join(json.dumps(line) + "\n" for line in history)
        (folder / HISTORY).write_text(lines, encoding="utf-8")

    commit_directory(out, write, schema=SEGMENTER_SCHEMA, provenance=provenance)
    clear_checkpoints(checkpoints)


def _train(
    state: TrainingState,
    config: SegmenterTrainingConfig,
    images: list[TrainingImage],
    checkpoints: Path,
    *,
    run_key: str,
) -> None:
    """Take the steps that are left, with history, checkpoints and progress."""
    done = resume(checkpoints, state, run_key=run_key, say=_say)
    _say(
        f"training in {'bfloat16' if has_fast_bfloat16() else 'float32'} on {torch.get_num_threads()} threads"
    )
    started = time.monotonic()
    with stop_signals() as stopped, StageProgress("training", config.steps, done) as progress:
        try:
            for result in _steps(state, config, images, done):
                progress.update(result.step, f"loss {result.loss:.3f}")
                if result.step % config.log_every == 0 or result.step == config.steps:
                    append_history(checkpoints, _line(result, time.monotonic() - started))
                due = result.step % config.checkpoint_every == 0 and result.step < config.steps
                if due or stopped:
                    save_checkpoint(checkpoints, state, step=result.step, run_key=run_key)
                if stopped:
                    raise InterruptedRun(
                        f"stopped by {stopped[0]} after step {result.step} of {config.steps}.",
                        obj=str(checkpoints),
                        hint="Run the same command again: it resumes.",
                    )
        except NotFiniteError as error:
            ids = _batch(images, config, error.step).image_ids
            raise TrainingDiverged(
                f"loss at step {error.step} is not finite ({error.parts}); images {list(ids)}.",
                obj=str(checkpoints),
                hint="Lower segmenter.learning_rate, or look at these images.",
            ) from error


def _steps(
    state: TrainingState, config: SegmenterTrainingConfig, images: list[TrainingImage], done: int
) -> Iterator[StepResult]:
    bfloat16 = has_fast_bfloat16()
    return train_steps(
        state.model,
        lambda step: segmenter_losses(
            state.model,  # type: ignore[arg-type]
            _batch(images, config, step),
            config,
            step=step,
            generator=generator_of(config.seed, step, _REGIONS_STREAM),
            bfloat16=bfloat16,
        ),
        state.optimizer,
        state.average,
        first_step=done,
        num_steps=config.steps,
        learning_rate_of=lambda step: one_cycle(
            step, config.steps, peak=config.learning_rate, warmup_fraction=config.warmup_fraction
        ),
        gradient_norm=config.gradient_norm,
    )


def _batch(images: list[TrainingImage], config: SegmenterTrainingConfig, step: int) -> TrainingBatch:
    policy = CropPolicy(
        size=config.crop_size,
        image_scale=config.image_scale,
        smallest_zoom=config.smallest_zoom,
        largest_zoom=config.largest_zoom,
    )
    return draw_batch(images, policy, batch_size=config.batch_size, seed=config.seed, step=step)


def _build(config: SegmenterTrainingConfig, categories: tuple[str, ...]) -> BoxSegmenter:
    """Build the model from the seed alone, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = new_segmenter(categories, config.architecture(len(categories)), DEFAULT_PREDICTION)
    model.network.to(memory_format=torch.channels_last)
    return model


def _state(model: BoxSegmenter, config: SegmenterTrainingConfig, average: WeightAverage) -> TrainingState:
    parameters = list(model.network.parameters())
    groups = [
        {"params": [value for value in parameters if value.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [value for value in parameters if value.ndim <= 1], "weight_decay": 0.0},
    ]
    return TrainingState(
        model=model.network,
        optimizer=torch.optim.AdamW(groups, lr=config.learning_rate),
        average=average,
    )


def _line(result: StepResult, seconds: float) -> dict[str, Any]:
    """Return one line of the history."""
    parts = {f"loss_{name}": value for name, value in result.parts.items()}
    return {
        "step": result.step,
        "loss": result.loss,
        **parts,
        "learning_rate": result.learning_rate,
        "seconds": round(seconds, 3),
    }


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _run_key(provenance: dict[str, Any]) -> str:
    """Identify a run by its parameters, data, code and torch; a checkpoint of another is never resumed."""
    names = ("dataset_sha256", "prepared_sha256", "params_sha256", "torch")
    return _digest({**{name: provenance[name] for name in names}, "code": _code()})


def _code() -> str:
    """Hash the source of everything that decides the weights."""
    sources = [*Path(models.__file__).parent.rglob("*.py"), Path(datasets.__file__), Path(__file__)]
    return _digest({"sources": [hash_file(path) for path in sorted(sources)]})


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    run_stage(run, section="segmenter", config=SegmenterTrainingConfig)
