"""Release if data or code changed; otherwise measure the champion again on the frozen data."""

from pathlib import Path
from typing import Any

from prefect import flow

from flows.release_flow import release_segmenter
from tasks.operations.watching import refuse_ended_override
from tasks.services.settings import Settings
from tasks.steps.narration import say
from tasks.steps.promotion import watch_champion


@flow(name="nightly segmenter", validate_parameters=False)
def nightly_segmenter(repository: Path, source: Path | None = None) -> dict[str, Any]:
    """Do what the night asks for.

    The release always runs: it reuses what is unchanged, and it ends what an earlier night had to leave
    undone, such as a candidate that was trained but never judged. Only a night in which every step was
    reused has time to measure the champion again.

    Args:
        repository: Root of the project.
        source: Dataset to import; None: the one that params.yaml names.

    Returns:
        The result of the release, or what the champion scored and whether that is what it scored before.

    Raises:
        GateRejected: If the champion stands by an override whose last day is over; said at the end.
    """
    result = release_segmenter(repository, source)
    if any(step["outcome"] not in {"reused", "kept"} for step in result["steps"]):
        refuse_ended_override(Settings.load(Path(repository)))
        return result
    say("nothing changed; measuring the champion again")
    return watch_champion(Path(repository))
