"""Evaluate any model on the current data: how a champion is measured again when the data changed."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from evaluation.definition import DETECTION
from tasks.data.commit import verify_directory
from tasks.data.prepared import read_about
from tasks.errors import IntegrityError, UnavailableError
from tasks.operations import layout
from tasks.services.bundles import open_bundles
from tasks.services.dvc import read_failure
from tasks.services.ledger import open_ledger
from tasks.services.settings import Settings


def evaluate_model(
    model: str, repository: Path, settings: Settings, *, say: Callable[[str], None] = lambda _: None
) -> Path:
    """Predict and evaluate on the prepared val split; done before with the same bytes, it is reused.

    Args:
        model: A segmenter directory, ``champion``, or a bundle id.
        repository: Root of the project.
        settings: Where things are kept.
        say: Told what is going on.

    Returns:
        A committed evaluation directory.

    Raises:
        UnavailableError: If there is no such model, or a stage failed.
        IntegrityError: If the model was damaged.
    """
    folder = locate_model(model, settings)
    about = repository / layout.ABOUT
    dataset = read_about(about).dataset_sha256
    parts = (verify_directory(folder).sha256, dataset, DETECTION.sha256)
    place = settings.home / "evaluations" / "-".join(part[:16] for part in parts)
    if (place / "evaluation").is_dir():
        try:
            verify_directory(place / "evaluation")
        except IntegrityError:
            say(f"the evaluation in {place} is damaged, evaluating again")
        else:
            say(f"evaluation of {model}: reused, model and data unchanged")
            return place / "evaluation"
    say(f"evaluating {model} on the current data")
    return evaluate_into(place, folder, repository)


def evaluate_into(place: Path, model: Path, repository: Path) -> Path:
    """Predict and evaluate with a model directory; returns the committed evaluation below ``place``.

    Raises:
        UnavailableError: If a stage failed.
    """
    place.mkdir(parents=True, exist_ok=True)
    common = ["--records", layout.VAL_RECORDS, "--about", layout.ABOUT]
    predictions = place / "predictions.jsonl"
    _stage(repository, "predict_masks", *common, "--model", model, "--dataset", layout.DATASET,
           "--out", predictions)  # fmt: skip
    _stage(repository, "evaluate_detection", *common, "--predictions", predictions,
           "--out", place / "evaluation")  # fmt: skip
    return place / "evaluation"


def locate_model(model: str, settings: Settings) -> Path:
    """Find the directory of a model.

    Raises:
        UnavailableError: If there is no such model.
    """
    if (Path(model) / "manifest.json").exists():
        return Path(model).resolve()
    if model == "champion":
        champion = open_ledger(settings).champion(layout.MODEL_NAME)
        if champion is None:
            raise UnavailableError(
                "there is no champion yet.", obj=layout.MODEL_NAME, hint="Run `groundwork run --first`."
            )
        model = champion.bundle_id
    return open_bundles(settings).fetch(model) / "model"


def _stage(repository: Path, name: str, *arguments: object) -> None:
    """Run a stage outside the graph, on files that are not in it."""
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
