"""Stages outside the graph: the very modules that ``dvc repro`` runs, on files that are not in dvc.yaml."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.config import read_yaml
from tasks.data.commit import hash_file
from tasks.errors import UnavailableError
from tasks.services.dvc import read_failure

_CODE = ("configs", "evaluation", "models", "tasks")
"""Folders whose files say how a stage works; what else a stage depends on is data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a model is measured on."""

    records: Path
    """Prepared records of the val split."""
    about: Path
    """``dataset.json`` beside them."""
    dataset: Path
    """Directory of the images."""


def predict_and_evaluate(place: Path, model: Path, inputs: Inputs, repository: Path) -> None:
    """Write ``predictions.jsonl`` and the committed directory ``evaluation`` below ``place``.

    Raises:
        GroundworkError: What a stage refused, as it said it.
        UnavailableError: If a stage failed otherwise.
    """
    place.mkdir(parents=True, exist_ok=True)
    common = ["--records", inputs.records, "--about", inputs.about]
    predictions = place / "predictions.jsonl"
    run_stage(repository, "predict_masks", *common, "--model", model, "--dataset", inputs.dataset,
              "--out", predictions)  # fmt: skip
    run_stage(repository, "evaluate_detection", *common, "--predictions", predictions,
              "--out", place / "evaluation")  # fmt: skip


def run_stage(repository: Path, name: str, *arguments: object) -> None:
    """Run the module of one stage with other paths than those of dvc.yaml.

    Raises:
        GroundworkError: What the stage refused, as it said it.
        UnavailableError: If it failed otherwise.
    """
    with tempfile.TemporaryDirectory(prefix="groundwork-") as folder:
        failure = Path(folder) / "error.json"
        done = subprocess.run(
            [sys.executable, "-m", f"tasks.stages.{name}", *map(str, arguments)],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "STAGE_ERROR_FILE": str(failure)},
        )
        if failure.exists():
            raise read_failure(failure)
    if done.returncode != 0:
        raise UnavailableError(
            f"the stage failed: {done.stderr.strip()[-600:]}",
            obj=name,
            hint="Cure the cause and run the same command again.",
        )


def code_identity(repository: Path, stages: Sequence[str]) -> str:
    """Hash the code and configuration that dvc.yaml says the stages depend on.

    A result that is kept outside the graph is found again under this: after a change of the code it is made
    anew, as ``dvc repro`` would.

    Returns:
        64 hex digits.

    Raises:
        UnavailableError: If dvc.yaml lacks a stage or one of its files is missing.
    """
    graph = read_yaml(repository / "dvc.yaml").get("stages", {})
    digest = hashlib.sha256()
    for stage in stages:
        if stage not in graph:
            raise UnavailableError(
                f"there is no stage {stage!r}.",
                obj=str(repository / "dvc.yaml"),
                hint="Restore dvc.yaml: `git checkout dvc.yaml`.",
            )
        for path in _code_files(repository, graph[stage].get("deps", [])):
            digest.update(f"{path.relative_to(repository)}\0{hash_file(path)}\n".encode())
    return digest.hexdigest()


def _code_files(repository: Path, dependencies: Sequence[str]) -> Iterator[Path]:
    for name in sorted(map(str, dependencies)):
        if Path(name).parts[0] not in _CODE:
            continue
        path = repository / name
        if not path.exists():
            raise UnavailableError(
                "is named by dvc.yaml and is missing.", obj=name, hint=f"Restore it: `git checkout {name}`."
            )
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]
