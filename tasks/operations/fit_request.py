"""What ``groundwork fit`` is asked for, and what it makes of it before a step is taken."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from models.segmentation.learning import Recipe
from tasks.data.commit import read_manifest
from tasks.errors import IntegrityError, UsageError
from tasks.operations.instance_lesson import InstanceLesson
from tasks.operations.semantic_lesson import SemanticLesson

INSTANCE_SCHEMA = "groundwork.instance-segmenter/1"
SEMANTIC_SCHEMA = "groundwork.semantic-segmenter/1"
"""Of model directories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """What was asked for."""

    recipe: str
    """Name of a file in ``configs/recipes``, or a path."""
    data: Path
    """For instances: directory with ``dataset.json`` and ``<split>.jsonl``. For classes: directory with
    ``records.jsonl``, ``classes.json`` and label maps."""
    images: Path
    """Directory that the records' files are relative to."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pupil:
    """A model that is to learn, and its lesson."""

    model: PreTrainedModel
    """Is saved in the end; the network of the lesson is a part of it."""
    lesson: InstanceLesson | SemanticLesson
    body: nn.Module
    """The backbone, which may get trained weights."""
    schema: str
    """Of the model directory."""
    inputs: dict[str, str]
    """Hashes of the data, by name."""


def check_request(request: FitRequest, recipe: Recipe) -> None:
    """Refuse what does not fit together, before anything is built.

    Raises:
        UsageError: With the option at fault.
    """
    resnet = recipe.backbone.startswith("resnet")
    if resnet and (recipe.norm == "frozen") != (request.backbone is not None):
        raise UsageError(
            f"norm {recipe.norm!r} {'needs' if recipe.norm == 'frozen' else 'cannot use'} trained weights.",
            obj=request.recipe,
            hint="Say `--backbone FILE` with norm 'frozen', or `--set norm=group` without a file.",
        )
    if request.backbone is not None and not request.backbone.is_file():
        raise UsageError("there is no such file.", obj=str(request.backbone), hint="Name the weights.")
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


def _is_ours(folder: Path) -> bool:
    try:
        return read_manifest(folder).schema in (INSTANCE_SCHEMA, SEMANTIC_SCHEMA)
    except IntegrityError:
        return False
