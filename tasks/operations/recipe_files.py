"""Recipes by name or path, with changes from the command line."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.segmentation.learning import Recipe
from models.segmentation.recipes import InstanceRecipe, reduced
from models.segmentation.semantic_recipes import SemanticRecipe, reduced_semantic
from tasks.config import build, read_yaml
from tasks.operations.changes import find_named, parse_change, put_value, with_changes

FOLDER = Path("configs/recipes")
SEMANTIC_HEADS = ("deeplab",)
"""Heads that name the class of every pixel; the others find instances."""
TRAINING = "training"
"""Changes whose key starts with this are of the run, the others of the recipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What a recipe leaves to whoever runs it; set by ``--set training.<name>=<value>``."""

    seed: int = 0
    """Decides the first weights, the order of the images and every draw."""
    micro_batch: int | None = None
    """Images that a process computes at once; None: all of its share. The step is the same."""
    average_decay: float | None = 0.999
    """Decay a step of the running mean of the weights, which is what is saved; None: the last weights are."""
    channels_last: bool | None = None
    """Layout of weights and images; None: where it is fastest, see ``memory_layout``."""
    checkpoint_every: int = 500
    """Steps between two checkpoints."""
    log_every: int = 20
    """Steps between two lines of the history."""

    def __post_init__(self) -> None:
        """Refuse what no run can have.

        Raises:
            ValueError: With the name and the value.
        """
        for name in ("checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}.")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise ValueError(f"micro_batch must be at least 1, got {self.micro_batch}.")
        if self.average_decay is not None and not 0.0 <= self.average_decay < 1.0:
            raise ValueError(f"average_decay must be in [0, 1), got {self.average_decay}.")


def read_recipe(
    name: str, changes: Sequence[str], repository: Path, *, small: bool = False
) -> tuple[Recipe, TrainingSettings]:
    """Read a recipe, make the changes, and check the result as a whole.

    The head that the file names decides whether it is one of instances or of classes.

    Args:
        name: Of a file in ``configs/recipes``, or a path that ends with ``.yaml``.
        changes: ``key=value``; the key is dotted (``optimizer.learning_rate``), the value YAML.
        repository: Root of the project.
        small: Reduce the recipe for a dry run; the changes are made to what is left.

    Raises:
        UsageError: With the place or the change, if there is no such recipe or key, or a value is refused.
    """
    path = find_named(name, repository / FOLDER)

    def make(chosen: Sequence[str]) -> tuple[Recipe, TrainingSettings]:
        document, settings = read_yaml(path), {}
        kind: type[Recipe] = SemanticRecipe if document.get("head") in SEMANTIC_HEADS else InstanceRecipe
        if small:
            document = _plain(asdict(_reduced(build(document, kind, place=str(path)))))
        for change in chosen:
            keys, value = parse_change(change)
            if keys[0] == TRAINING and len(keys) == 2:
                settings[keys[1]] = value
            else:
                put_value(document, keys, value, change)
        recipe = build(document, kind, place=str(path))
        return recipe, build(settings, TrainingSettings, place=TRAINING)

    return with_changes(changes, make)


def _reduced(recipe: Recipe) -> Recipe:
    return reduced(recipe) if isinstance(recipe, InstanceRecipe) else reduced_semantic(recipe)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of YAML
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
