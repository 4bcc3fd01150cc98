"""The end of a training: a committed model with its history, and no checkpoint any more."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.data.checkpoints import HISTORY, clear_checkpoints, read_history
from tasks.data.commit import commit_directory


def commit_run(
    out: Path,
    write_model: Callable[[Path], None],
    *,
    checkpoints: Path,
    schema: str,
    provenance: dict[str, Any],
) -> dict[str, Any]:
    """Commit a model with the history of its steps, less the seconds; then remove the checkpoints.

    Args:
        out: Model directory, which is replaced as a whole.
        write_model: Fills a directory.
        checkpoints: Directory of the run; its history has at least one step.
        schema: Of the model directory.
        provenance: Stands in the manifest; has ``steps``.

    Returns:
        ``model`` (its directory), ``sha256`` of its manifest, ``steps``, ``loss`` of the last step.
    """
    history = [
        {name: value for name, value in line.items() if name != "seconds"}
        for line in read_history(checkpoints)
    ]

    def write(folder: Path) -> None:
        write_model(folder)
        lines = "".join(json.dumps(line) + "\n" for line in history)
        (folder / HISTORY).write_text(lines, encoding="utf-8")

    manifest = commit_directory(out, write, schema=schema, provenance=provenance)
    clear_checkpoints(checkpoints)
    checkpoints.rmdir()
    return {
        "model": str(out),
        "sha256": manifest.sha256,
        "steps": provenance["steps"],
        "loss": history[-1]["loss"],
    }
