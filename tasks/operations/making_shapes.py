"""``groundwork data shapes``: a world of known truth in the formats of real datasets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.config import build
from tasks.data.shapes_world import WorldSettings
from tasks.data.target_directory import check_target
from tasks.errors import UsageError
from tasks.operations.changes import make_change, with_changes
from tasks.operations.shapes_files import SCHEMA, write_shapes_files


def _settings(changes: Sequence[str]) -> WorldSettings:
    document: dict[str, Any] = {}
    for change in changes:
        make_change(document, change)
    return build(document, WorldSettings, place="the world of shapes")


def make_shapes(
    out: Path, *, seed: int, num_train: int, num_val: int, changes: Sequence[str] = ()
) -> dict[str, Any]:
    """Draw a world and write it in every format.

    Args:
        out: Directory to create, or one made by this function to replace.
        seed: Of the world, at least 0.
        num_train: Scenes to train on.
        num_val: Scenes held out.
        changes: ``key=value`` of ``WorldSettings``.

    Returns:
        ``out``, ``train`` and ``val`` (scenes), ``files``, ``sha256`` of the manifest.

    Raises:
        UsageError: If a number or a change is refused, or the directory holds something else.
    """
    settings = with_changes(changes, _settings)
    if min(num_train, num_val) < 1 or seed < 0:
        raise UsageError(
            f"each split needs a scene and the seed is not negative, got {num_train}, {num_val} and {seed}.",
            obj="data shapes",
            hint="Say e.g. --seed 0 --train 64 --val 16.",
        )
    check_target(out, schema=SCHEMA)
    manifest = write_shapes_files(out, seed=seed, num_train=num_train, num_val=num_val, settings=settings)
    return {
        "out": str(out),
        "train": num_train,
        "val": num_val,
        "files": len(manifest.files),
        "sha256": manifest.sha256,
    }
