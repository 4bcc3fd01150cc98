"""Release if data or code changed; otherwise measure the champion again on the frozen data."""

from pathlib import Path
from typing import Any

from prefect import flow

from flows.release_flow import TARGET, release_segmenter
from tasks.services import dvc
from tasks.steps.narration import say
from tasks.steps.pipeline import version_data
from tasks.steps.promotion import watch_champion


@flow(name="nightly segmenter", validate_parameters=False)
def nightly_segmenter(repository: Path, source: Path | None = None) -> dict[str, Any]:
    """Do what the night asks for.

    Args:
        repository: Root of the project.
        source: Dataset to import first; None keeps the version that is there.

    Returns:
        The result of the release, or what the champion scored and whether that is what it scored before.
    """
    if source is not None:
        version_data(source, repository)
    names = {stage.name for stage in dvc.stages(repository, TARGET)}
    changed = sorted(names & set(dvc.changed_stages(repository)))
    if changed:
        say(f"changed: {', '.join(changed)}")
        return release_segmenter(repository, None)
    say("nothing changed; measuring the champion again")
    return watch_champion(repository)
