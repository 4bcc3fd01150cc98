"""What ``groundwork tune`` is asked for, and what is refused before anything is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from models.region_lm.recipes import RegionRecipe
from models.region_lm.trainable import StagePlan
from tasks.config import build
from tasks.data.commit import read_manifest
from tasks.data.target_directory import check_target
from tasks.errors import IntegrityError, UsageError
from tasks.operations.changes import parse_change, with_changes
from tasks.operations.converting import REGION_MODEL_SCHEMA
from tasks.operations.recipe_files import TRAINING, TrainingSettings
from tasks.operations.region_files import read_region_recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneSettings:
    """What a recipe leaves to whoever runs it; set by ``--set training.<name>=<value>``."""

    seed: int = 0
    """Decides random weights, which samples a share takes, their order and every draw."""
    micro_batch: int | None = None
    """Samples that a process computes at once; None: all of its share. The step is the same."""
    packing: bool = True
    """Whether rows hold several samples, apart from each other, where that saves. The step is the same;
    a language model that would let them see each other is refused."""
    gradient_checkpointing: bool = True
    """Whether blocks of the language model are computed again in the backward pass instead of kept."""
    gradient_norm: float | None = 1.0
    """Longer gradients are shortened to this; None: never."""
    bfloat16: bool | None = None
    """Whether products are rounded; None: on a GPU, and on processors that are fast at it."""
    too_long: Literal["refuse", "leave_out"] = "refuse"
    """What becomes of a sample of which the limits leave no answer, or cut a region off."""
    checkpoint_every: int = 500
    """Steps between two checkpoints."""
    log_every: int = 20
    """Steps between two lines of the history."""

    def __post_init__(self) -> None:
        """Refuse what no run can have.

        Raises:
            ValueError: With the name and the value.
        """
        if self.gradient_norm is not None and not self.gradient_norm > 0.0:
            raise ValueError(f"gradient_norm must be positive, got {self.gradient_norm}.")
        self.of_run()

    def of_run(self) -> TrainingSettings:
        """Return those that any training has; no running mean is kept of so many weights.

        Raises:
            ValueError: With the name and the value.
        """
        return TrainingSettings(
            seed=self.seed,
            micro_batch=self.micro_batch,
            average_decay=None,
            checkpoint_every=self.checkpoint_every,
            log_every=self.log_every,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRequest:
    """What was asked for."""

    recipe: str
    """Name of a file in ``configs/region_lm``, or a path."""
    stage: str
    """Name of one of its stages."""
    data: Path
    """Directory of samples, or a mix of several."""
    out: Path
    images: Path | None = None
    """Folder of the images of a directory of samples."""
    parent: Path | None = None
    """Model of an earlier stage, or a converted one."""
    language: Path | None = None
    """Trained language model, for a model that is put together now."""
    vision: Path | None = None
    """Trained encoder, for a model that is put together now."""
    tokenizer: Path | None = None
    """Folder of the tokenizer; None: that of ``language``."""
    random: bool = False
    """Whether parts that are not named begin with random weights."""
    sandbox: bool = False
    """Whether pickles of the encoder are looked into, by a process of their own."""
    steps: int | None = None
    """End the schedule after so many steps; None: all of it."""
    changes: tuple[str, ...] = ()
    """``key=value`` of the recipe, or of the training."""
    resume: bool = False
    """Go on from the checkpoints beside ``out``."""

    @property
    def checkpoints(self) -> Path:
        """Where the run keeps what it needs to go on."""
        return self.out.with_name(f"{self.out.name}.checkpoints")


class StagedRecipe(NamedTuple):
    """A recipe, and the stage of it that is run."""

    recipe: RegionRecipe
    plan: StagePlan
    place: int
    """Of the stage, from 0."""
    settings: TuneSettings
    changes: tuple[str, ...]
    """With which the recipe was read."""


def read_stage(request: TuneRequest, repository: Path) -> StagedRecipe:
    """Read the recipe, make the changes, and find the stage.

    Raises:
        UsageError: With the place, if there is no such recipe, stage or key, or a value is refused.
    """
    recipe = read_region_recipe(request.recipe, _of(request.changes, training=False), repository)
    settings = with_changes(_of(request.changes, training=True), _settings)
    try:
        plan = recipe.stage(request.stage)
    except ValueError as error:
        names = ", ".join(stage.name for stage in recipe.stages)
        raise UsageError(
            f"recipe {request.recipe!r} has no such stage.",
            obj=f"--stage {request.stage}",
            hint=f"Name one of {names}.",
        ) from error
    return StagedRecipe(recipe, plan, recipe.stages.index(plan), settings, request.changes)


def check_tuning(request: TuneRequest) -> None:
    """Refuse options that do not fit together, and a target that is not ours.

    Raises:
        UsageError: With the option at fault.
    """
    _check_beginning(request)
    if request.parent is not None and request.out.resolve() == request.parent.resolve():
        raise UsageError(
            "is the model that the stage begins from.",
            obj=f"--out {request.out}",
            hint="Name another directory: a run that is stopped needs both.",
        )
    check_target(request.out, schema=REGION_MODEL_SCHEMA)
    if not request.resume and any(request.checkpoints.glob("step-*")):
        raise UsageError(
            "holds the checkpoints of a run that did not end.",
            obj=str(request.checkpoints),
            hint="Say --resume to go on with it, or remove it.",
        )


def check_checkpoints(request: TuneRequest, run_key: str) -> None:
    """Refuse to go on with what another run left.

    Raises:
        UsageError: If a checkpoint is of another recipe, stage, data or beginning.
    """
    for path in sorted(request.checkpoints.glob("step-*")):
        try:
            found = read_manifest(path).provenance.get("run_key")
        except IntegrityError:  # damaged; skipped aloud by whoever resumes
            continue
        if found != run_key:
            raise UsageError(
                "is of a run with another recipe, stage, data, beginning or release of Groundwork.",
                obj=str(path),
                hint=f"Repeat that run's command with --resume, or remove {request.checkpoints}.",
            )


def _settings(changes: Sequence[str]) -> TuneSettings:
    changed = [parse_change(change) for change in changes]
    return build({".".join(keys[1:]): value for keys, value in changed}, TuneSettings, place=TRAINING)


def _of(changes: Sequence[str], *, training: bool) -> list[str]:
    return [change for change in changes if change.startswith(f"{TRAINING}.") == training]


def _check_beginning(request: TuneRequest) -> None:
    """Compare what a model is made of with what is asked for."""
    new = {"--language": request.language, "--vision": request.vision, "--tokenizer": request.tokenizer}
    named = [f"{name} {path}" for name, path in new.items() if path is not None]
    if request.parent is not None and (named or request.random):
        raise UsageError(
            "belongs to a model that is put together now, and --from names a whole one.",
            obj=named[0] if named else "--random",
            hint="Leave out one of both.",
        )
    whole = request.language is not None and request.vision is not None
    if request.random and whole:
        raise UsageError(
            "nothing is random: language model and encoder are named, and the rest is always new.",
            obj="--random",
            hint="Leave it out.",
        )
    if request.parent is None and not request.random and not whole:
        raise UsageError(
            "a stage begins with trained weights, and none are named.",
            obj=request.recipe,
            hint="Say --from MODEL (of `groundwork convert` or an earlier stage), or --language DIR and "
            "--vision DIR; --random for an experiment that begins from nothing.",
        )
