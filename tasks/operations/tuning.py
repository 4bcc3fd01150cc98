"""``groundwork tune``: one stage of a recipe and its data become a committed model that sees regions."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from models.blocks.stored_values import to_stored
from models.region_lm.hub import RegionMLLM
from models.region_lm.lengths import LengthLimits
from models.region_lm.trainable import begin_stage, merge_adapters
from tasks.data import region_batches, region_examples, region_mix, region_prompts
from tasks.data.region_batches import BatchOrder, LessonSamples, Measure, measure_samples
from tasks.data.region_mix import open_mix, read_mix
from tasks.errors import UsageError
from tasks.operations import region_learning, region_lesson
from tasks.operations.changes import name_changes
from tasks.operations.converting import REGION_MODEL_SCHEMA
from tasks.operations.finished_runs import commit_run
from tasks.operations.region_learning import RegionLearning
from tasks.operations.region_lesson import RegionLesson
from tasks.operations.region_model_files import region_model_writer
from tasks.operations.region_start import Beginning, begin_model
from tasks.operations.run_keys import digest, hash_code
from tasks.operations.training_recipes import train_recipe
from tasks.operations.training_steps import Training
from tasks.operations.tune_request import (
    StagedRecipe,
    TuneRequest,
    check_checkpoints,
    check_tuning,
    read_stage,
)
from tasks.operations.tuned_parts import check_reach, describe_parts, prepare_parts
from tasks.services.workers import DeviceWorkers, join_workers

_LESSONS = (region_batches, region_examples, region_mix, region_prompts, region_learning, region_lesson)
"""Beside the models and the trainer, what decides the weights."""
_DECISIVE = ("seed", "gradient_norm", "bfloat16", "too_long")
"""Settings that decide the weights; the others change no step."""


def tune(request: TuneRequest, repository: Path, *, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Run a stage and commit the model; in many processes the first one writes.

    Args:
        request: What was asked for.
        repository: Root of the project, for recipes by name.
        say: Told the progress.

    Returns:
        ``model`` (its directory), ``sha256`` of its manifest, ``recipe``, ``stage``, ``samples`` of an epoch,
        ``left_out`` (names of others), ``cut`` (how many lost their end), ``steps``, ``loss`` of the last
        step; None in every process but the first.

    Raises:
        UsageError: If the request does not fit together.
        DataError: If samples, images or weights cannot be used.
        IntegrityError: If a directory is damaged.
        InterruptedRun: If it was asked to stop; ``resume`` goes on.
        TrainingDiverged: If a loss is no number.
        UnavailableError: If several processes were started without accelerate.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    staged = read_stage(request, repository)
    check_tuning(request)
    workers = join_workers()
    tell = say if workers.number == 0 else _say_nothing
    mix = open_mix(read_mix(request.data, request.images), seed=staged.settings.seed)
    beginning = begin_model(request, staged.recipe, mix.samples, seed=staged.settings.seed)
    data = _measured(mix.samples, beginning, staged, tell)
    length = -(-len(data.samples) // staged.plan.global_batch) * staged.plan.epochs
    provenance = {
        **beginning.inputs,
        "recipe": request.recipe,
        "model": to_stored(staged.recipe.model),
        "stage": to_stored(staged.plan),
        "data": list(mix.sources),
        "left_out": list(data.left_out),
        "training": asdict(staged.settings),
        "steps": _steps(request, length),
        "processes": workers.count,
        "torch": torch.__version__,
    }
    lesson = _lesson(beginning, staged, data, length)
    check_reach(staged.plan, data.samples)
    training = Training(
        lesson=lesson,
        settings=staged.settings.of_run(),
        steps=provenance["steps"],
        checkpoints=request.checkpoints,
        run_key=_run_key(provenance),
        bfloat16=staged.settings.bfloat16,
    )
    check_checkpoints(request, training.run_key)
    tell(f"stage {staged.plan.name}: {len(data.samples)} samples, {describe_parts(beginning.model)}")
    train_recipe(training, workers, say)
    return _finish(beginning, request, workers, provenance, data)


def _measured(
    samples: tuple[region_mix.MixSample, ...],
    beginning: Beginning,
    staged: StagedRecipe,
    tell: Callable[[str], None],
) -> LessonSamples:
    """Measure every sample, and say what will not be read."""
    plan, model = staged.plan, beginning.model
    measure = Measure(
        processor=beginning.processor,
        num_tokens=model.projector.num_tokens,
        limits=LengthLimits(
            ids=plan.max_length, positions=int(model.config.get_text_config().max_position_embeddings)
        ),
        leave_out=staged.settings.too_long == "leave_out",
    )
    data = measure_samples(samples, measure)
    if data.left_out:
        tell(f"left out {len(data.left_out)} samples that do not fit, such as {data.left_out[0]}")
    cut = _num_cut(data)
    if cut:
        lost = sum(length.lost for length in data.lengths)
        tell(f"cut {cut} of {len(data.lengths)} samples, which lose {lost} tokens at their end")
    if len(data.samples) < plan.global_batch:
        raise UsageError(
            f"a step takes {plan.global_batch} samples, and the data has {len(data.samples)}.",
            obj=f"stages.{staged.place}.global_batch",
            hint=f"Say `--set stages.{staged.place}.global_batch=...`, or add data.",
        )
    return data


def _lesson(beginning: Beginning, staged: StagedRecipe, data: LessonSamples, length: int) -> RegionLesson:
    """Let the parts of the stage learn."""
    plan, settings, model = staged.plan, staged.settings, beginning.model
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            begin_stage(model, plan)
    except ValueError as error:
        section = f"stages.{staged.place}"
        said = name_changes([change for change in staged.changes if change.startswith(f"{section}.")])
        raise UsageError(
            str(error),
            obj=said or section,
            hint=f"Correct {f'`{said}`' if said else 'the stage'}, or name another recipe.",
        ) from error
    prepare_parts(model, settings)
    positions = [sample.positions for sample in data.lengths]
    return RegionLesson(
        model=model,
        processor=beginning.processor,
        data=data,
        order=BatchOrder(positions, batch=plan.global_batch, seed=settings.seed),
        learning=RegionLearning(
            model=model,
            plan=plan,
            place=staged.place,
            steps=length,
            gradient_norm=settings.gradient_norm,
        ),
        packing=settings.packing,
    )


def _steps(request: TuneRequest, length: int) -> int:
    """Return the length of the run, in optimizer steps."""
    if request.steps is not None and not 1 <= request.steps <= length:
        raise UsageError(
            f"must be between 1 and the {length} steps of the schedule, got {request.steps}.",
            obj="--steps",
            hint="Lengthen it by `--set stages.<number>.epochs=...`.",
        )
    return request.steps or length


def _finish(
    beginning: Beginning,
    request: TuneRequest,
    workers: DeviceWorkers,
    provenance: dict[str, Any],
    data: LessonSamples,
) -> dict[str, Any] | None:
    """Commit the model and its history, then remove the checkpoints: the first process does."""
    if workers.number > 0:
        workers.wait()
        return None
    found = commit_run(
        request.out,
        region_model_writer(_stored(beginning), beginning.processor),
        checkpoints=request.checkpoints,
        schema=REGION_MODEL_SCHEMA,
        provenance=provenance,
    )
    workers.wait()
    return {
        **found,
        "recipe": request.recipe,
        "stage": request.stage,
        "samples": len(data.samples),
        "left_out": list(data.left_out),
        "cut": _num_cut(data),
    }


def _stored(beginning: Beginning) -> RegionMLLM:
    """Merge what adapters learned, and return to the type of number that the model came in."""
    merge_adapters(beginning.model)
    model: RegionMLLM = beginning.model.to("cpu", beginning.dtype)  # type: ignore[arg-type]
    return model


def _num_cut(data: LessonSamples) -> int:
    return sum(length.lost > 0 for length in data.lengths)


def _run_key(provenance: dict[str, Any]) -> str:
    """Identify a run by recipe, stage, settings, beginning, data, code and torch.

    Neither its length nor its processes, micro-batches and rows belong to it: they change no step.
    """
    kept = {name: value for name, value in provenance.items() if name not in ("steps", "processes", "recipe")}
    settings = {name: provenance["training"][name] for name in _DECISIVE}
    return digest({**kept, "training": settings, "code": hash_code(_LESSONS)})


def _say_nothing(_: str) -> None:
    """Be one of the processes that only compute."""
