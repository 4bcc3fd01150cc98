"""``groundwork fit``: a recipe and prepared records become a committed model."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

import models
from models.segmentation.instance_hub import InstanceSegmenter, new_instance_segmenter
from models.segmentation.instance_models import QuerySegmenter
from models.segmentation.learning import schedule_steps
from models.segmentation.recipes import InstanceRecipe
from tasks.data import datasets, instance_batches
from tasks.data.backbone_weights import load_backbone
from tasks.data.checkpoints import HISTORY, clear_checkpoints, read_history
from tasks.data.commit import commit_directory, hash_file, read_manifest
from tasks.data.instance_batches import ImageStore
from tasks.data.prepared import AboutDataset, read_about, read_records
from tasks.errors import IntegrityError, UsageError
from tasks.operations import instance_steps, training_instances
from tasks.operations.instance_steps import Training
from tasks.operations.recipe_files import TrainingSettings, read_recipe
from tasks.operations.training_instances import train_instances
from tasks.services.workers import DeviceWorkers, join_workers

INSTANCE_SCHEMA = "groundwork.instance-segmenter/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """What was asked for."""

    recipe: str
    """Name of a file in ``configs/recipes``, or a path."""
    prepared: Path
    """Directory with ``dataset.json`` and ``<split>.jsonl``."""
    images: Path
    """Dataset directory that the records' files are relative to."""
    out: Path
    split: str = "train"
    steps: int | None = None
    """End the schedule after so many steps; None: all of it."""
    changes: tuple[str, ...] = ()
    """``key=value`` of the recipe, or of the training."""
    backbone: Path | None = None
    """Safetensors file with trained weights."""
    small: bool = False
    """Reduce the recipe for a dry run."""
    resume: bool = False
    """Go on from the checkpoints beside ``out``."""

    @property
    def checkpoints(self) -> Path:
        """Where the run keeps what it needs to go on."""
        return self.out.with_name(f"{self.out.name}.checkpoints")


def fit(request: FitRequest, repository: Path, *, say: Callable[[str], None]) -> dict[str, Any] | None:
    """Train a recipe from boxes and commit the model; in many processes the first one writes.

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
        IntegrityError: If the records are of another dataset than the images.
        InterruptedRun: If it was asked to stop; ``resume`` goes on.
        TrainingDiverged: If a loss is no number.
        UnavailableError: If several processes were started without accelerate.
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    recipe, settings = read_recipe(request.recipe, request.changes, repository, small=request.small)
    about = read_about(request.prepared / "dataset.json")
    _check(request, recipe, about)
    workers = join_workers()
    records = request.prepared / f"{request.split}.jsonl"
    store = ImageStore(read_records(records), request.images, about.categories)
    length, _ = schedule_steps(recipe, len(store))
    if request.steps is not None and not 1 <= request.steps <= length:
        raise UsageError(
            f"must be between 1 and the {length} steps of the schedule, got {request.steps}.",
            obj="--steps",
            hint="Lengthen it by `--set schedule.length=...`.",
        )
    provenance: dict[str, Any] = {
        "dataset_sha256": about.dataset_sha256,
        "prepared_sha256": hash_file(records),
        "backbone_sha256": None if request.backbone is None else hash_file(request.backbone),
        "recipe": json.loads(json.dumps(asdict(recipe))),
        "training": asdict(settings),
        "steps": request.steps or length,
        "processes": workers.count,
        "torch": torch.__version__,
    }
    training = Training(
        model=_build(recipe, settings, about.categories, request.backbone, say),
        store=store,
        settings=settings,
        steps=request.steps or length,
        checkpoints=request.checkpoints,
        run_key=_run_key(provenance),
    )
    train_instances(training, workers, say)
    return _finish(training, request, workers, provenance)


def _check(request: FitRequest, recipe: InstanceRecipe, about: AboutDataset) -> None:
    """Refuse what does not fit together, before anything is built."""
    if recipe.num_categories != len(about.categories):
        raise UsageError(
            f"the recipe has {recipe.num_categories} categories, the data has {len(about.categories)}.",
            obj=str(request.prepared),
            hint=f"Say `--set num_categories={len(about.categories)}`.",
        )
    resnet = recipe.backbone.startswith("resnet")
    if resnet and (recipe.norm == "frozen") != (request.backbone is not None):
        raise UsageError(
            f"norm {recipe.norm!r} {'needs' if recipe.norm == 'frozen' else 'cannot use'} trained weights.",
            obj=request.recipe,
            hint="Say `--backbone FILE` with norm 'frozen', or `--set norm=group` without a file.",
        )
    if request.backbone is not None and not request.backbone.is_file():
        raise UsageError("there is no such file.", obj=str(request.backbone), hint="Name the weights.")
    found = read_manifest(request.images).sha256
    if found != about.dataset_sha256:
        raise IntegrityError(
            f"is version {found[:12]}, the records are of {about.dataset_sha256[:12]}.",
            obj=str(request.images),
            hint="Prepare the records again, or name their dataset with --images.",
        )
    if request.out.is_symlink() or (request.out.exists() and not _is_ours(request.out)):
        raise UsageError(
            "exists and was not made by this command.",
            obj=str(request.out),
            hint="Move it away, or name another --out.",
        )
    if not request.resume and any(request.checkpoints.glob("step-*")):
        raise UsageError(
            "holds the checkpoints of a run that did not end.",
            obj=str(request.checkpoints),
            hint="Say --resume to go on with it, or remove it.",
        )


def _build(
    recipe: InstanceRecipe,
    settings: TrainingSettings,
    categories: tuple[str, ...],
    backbone: Path | None,
    say: Callable[[str], None],
) -> InstanceSegmenter:
    """Build the model from the seed alone, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = new_instance_segmenter(categories, recipe)
    if backbone is not None:
        segmenter = model.segmenter
        part = (
            segmenter.network.model.pixel_level_module.encoder
            if isinstance(segmenter, QuerySegmenter)
            else segmenter.pyramid.body
        )
        say(str(load_backbone(part, backbone)))
    return model


def _finish(
    training: Training, request: FitRequest, workers: DeviceWorkers, provenance: dict[str, Any]
) -> dict[str, Any] | None:
    """Commit the model and its history, then remove the checkpoints: the first process does."""
    if workers.number > 0:
        workers.wait()
        return None
    history = [
        {name: value for name, value in line.items() if name != "seconds"}
        for line in read_history(request.checkpoints)
    ]

    def write(folder: Path) -> None:
        training.model.cpu().save_pretrained(folder)
        lines = "".join(json.dumps(line) + "\n" for line in history)
        (folder / HISTORY).write_text(lines, encoding="utf-8")

    manifest = commit_directory(request.out, write, schema=INSTANCE_SCHEMA, provenance=provenance)
    clear_checkpoints(request.checkpoints)
    request.checkpoints.rmdir()
    workers.wait()
    return {
        "model": str(request.out),
        "sha256": manifest.sha256,
        "steps": training.steps,
        "loss": history[-1]["loss"],
    }


def _is_ours(folder: Path) -> bool:
    try:
        return read_manifest(folder).schema == INSTANCE_SCHEMA
    except IntegrityError:
        return False


def _run_key(provenance: dict[str, Any]) -> str:
    """Identify a run by recipe, settings, data, code and torch.

    Neither its length nor its processes and micro-batches belong to it: they change no step.
    """
    names = ("dataset_sha256", "prepared_sha256", "backbone_sha256", "recipe", "torch")
    settings = {name: provenance["training"][name] for name in ("seed", "average_decay")}
    return _digest({**{name: provenance[name] for name in names}, "training": settings, "code": _code()})


def _code() -> str:
    """Hash the source of everything that decides the weights."""
    folder = Path(models.__file__).parent
    others = (datasets, instance_batches, instance_steps, training_instances)
    sources = [*folder.rglob("*.py"), *(Path(str(module.__file__)) for module in others)]
    return _digest({"sources": [hash_file(path) for path in sorted(sources)]})


def _digest(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
