"""Evaluate any model on the current data: how a champion is measured again when the data changed."""

from collections.abc import Callable
from pathlib import Path

from tasks.operations import layout
from tasks.operations.measuring import measure_model
from tasks.operations.stage_runs import Inputs, predict_and_evaluate
from tasks.services.settings import Settings


def evaluate_model(
    model: str, repository: Path, settings: Settings, *, say: Callable[[str], None] = lambda _: None
) -> Path:
    """Predict and evaluate on the val split of the current data.

    Args:
        model: What `tasks.operations.measuring.measure_model` takes.
        repository: Root of the project.
        settings: Where things are kept.
        say: Told what is going on.

    Returns:
        A committed evaluation directory.

    Raises:
        UnavailableError: If there is no such model, or a stage failed.
        IntegrityError: If the model was damaged.
    """
    return measure_model(model, repository, settings, say=say).evaluation


def evaluate_into(place: Path, model: Path, repository: Path) -> Path:
    """Predict and evaluate anew with a model directory; returns the committed evaluation below ``place``.

    Raises:
        UnavailableError: If a stage failed.
    """
    inputs = Inputs(
        records=repository / layout.VAL_RECORDS,
        about=repository / layout.ABOUT,
        dataset=repository / layout.DATASET,
    )
    predict_and_evaluate(place, model, inputs, repository)
    return place / "evaluation"
