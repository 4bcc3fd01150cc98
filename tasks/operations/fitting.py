"""``groundwork fit``: a recipe and its data become a committed model."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from models.segmentation.learning import Recipe, schedule_steps
from models.segmentation.recipes import InstanceRecipe
from models.segmentation.semantic_recipes import SemanticRecipe
from tasks.data import datasets, instance_batches, semantic_batches, semantic_datasets
from tasks.data.backbone_weights import load_backbone
from tasks.data.commit import hash_file
from tasks.errors import UsageError
from tasks.operations import instance_lesson, segmenter_learning, semantic_lesson
from tasks.operations.finished_runs import commit_run
from tasks.operations.fit_request import FitRequest, Pupil, check_request
from tasks.operations.fitting_instances import prepare_instances
from tasks.operations.fitting_semantic import prepare_semantic
from tasks.operations.recipe_files import read_recipe
from tasks.operations.run_keys import digest, hash_code
from tasks.operations.training_recipes import train_recipe
from tasks.operations.training_steps import Training
from tasks.services.workers import DeviceWorkers, join_workers

_LESSONS = (
    datasets,
    instance_batches,
    instance_lesson,
    segmenter_learning,
    semantic_batches,
    semantic_datasets,
    semantic_lesson,
)
"""Beside the models and the trainer, what decides the weights."""


def fit(request: FitRequest, repository: Path, *, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Train a recipe and commit the model; in many processes the first one writes.

    Args:
        request: What was asked for.
        repository: Root of the project, for recipes by name.
        say: Told the progress.

    Returns:
        ``model`` (its directory), ``sha256`` of its manifest, ``steps``, ``loss`` of the last step; None in
        every process but the first.

    Raises:
        UsageError: If the request does not fit together.
        DataError: If records, images or weights are damaged.
        IntegrityError: If records or labels are not of these images.
        InterruptedRun: If it was asked to stop; ``resume`` goes on.
        TrainingDiverged: If a loss is no number.
        UnavailableError: If several processes were started without accelerate.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    recipe, settings = read_recipe(request.recipe, request.changes, repository, small=request.small)
    check_request(request, recipe)
    workers = join_workers()
    match recipe:
        case InstanceRecipe():
            pupil = prepare_instances(request, recipe, seed=settings.seed)
        case SemanticRecipe():
            pupil = prepare_semantic(request, recipe, seed=settings.seed)
    steps = _steps(request, recipe, pupil.lesson.num_images)
    if request.backbone is not None:
        say(str(load_backbone(pupil.body, request.backbone)))
    provenance: dict[str, Any] = {
        **pupil.inputs,
        "backbone_sha256": None if request.backbone is None else hash_file(request.backbone),
        "recipe": json.loads(json.dumps(asdict(recipe))),
        "training": asdict(settings),
        "steps": steps,
        "processes": workers.count,
        "torch": torch.__version__,
    }
    training: Training[Any] = Training(
        lesson=pupil.lesson,
        settings=settings,
        steps=steps,
        checkpoints=request.checkpoints,
        run_key=_run_key(provenance),
    )
    train_recipe(training, workers, say)
    return _finish(pupil, request, workers, provenance)


def _steps(request: FitRequest, recipe: Recipe, num_images: int) -> int:
    """Return the length of the run, in optimizer steps."""
    length, _ = schedule_steps(recipe, num_images)
    if request.steps is not None and not 1 <= request.steps <= length:
        raise UsageError(
            f"must be between 1 and the {length} steps of the schedule, got {request.steps}.",
            obj="--steps",
            hint="Lengthen it by `--set schedule.length=...`.",
        )
    return request.steps or length


def _finish(
    pupil: Pupil, request: FitRequest, workers: DeviceWorkers, provenance: dict[str, Any]
) -> dict[str, Any] | None:
    """Commit the model and its history, then remove the checkpoints: the first process does."""
    if workers.number > 0:
        workers.wait()
        return None
    found = commit_run(
        request.out,
        pupil.model.cpu().save_pretrained,
        checkpoints=request.checkpoints,
        schema=pupil.schema,
        provenance=provenance,
    )
    workers.wait()
    return found


def _run_key(provenance: dict[str, Any]) -> str:
    """Identify a run by recipe, settings, data, code and torch.

    Neither its length nor its processes and micro-batches belong to it: they change no step.
    """
    kept = {name: value for name, value in provenance.items() if name not in ("steps", "processes")}
    settings = {name: provenance["training"][name] for name in ("seed", "average_decay")}
    return digest({**kept, "training": settings, "code": hash_code(_LESSONS)})
