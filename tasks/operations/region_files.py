"""Recipes of region-level multimodal language models by name or path, with changes from the command line."""

from collections.abc import Sequence
from pathlib import Path

from models.region_lm.recipes import RegionRecipe
from tasks.config import build, read_yaml
from tasks.operations.changes import find_named, make_change, with_changes

FOLDER = Path("configs/region_lm")


def read_region_recipe(name: str, changes: Sequence[str], repository: Path) -> RegionRecipe:
    """Read a recipe, make the changes, and check the result as a whole.

    Args:
        name: Of a file in ``configs/region_lm``, or a path that ends with ``.yaml``.
        changes: ``key=value``, such as ``model.projector.scale=3`` or ``stages.0.epochs=2``.
        repository: Root of the project.

    Raises:
        UsageError: With the place or the change, if there is no such recipe or key, or a value is refused.
    """
    path = find_named(name, repository / FOLDER)

    def make(chosen: Sequence[str]) -> RegionRecipe:
        document = read_yaml(path)
        for change in chosen:
            make_change(document, change)
        return build(document, RegionRecipe, place=str(path))

    return with_changes(changes, make)
