"""Run one stage; while it trains, its curves appear in the tracker."""

import hashlib
import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.config import read_yaml
from tasks.data.commit import commit_file, hash_file, read_manifest
from tasks.errors import GroundworkError
from tasks.services import dvc
from tasks.services.dvc import Reproduced, Stage
from tasks.services.settings import Settings

_INTERVAL = 10.0
"""Seconds between two looks at the history file."""
_log = logging.getLogger("groundwork.tracking")


def reproduce_stage(
    stage: Stage,
    repository: Path,
    settings: Settings,
    *,
    unchanged: bool = False,
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Reproduced:
    """Bring one stage up to date, mirroring its progress file to the tracker.

    Args:
        stage: The stage; its dependencies must be up to date.
        repository: Root of the project.
        settings: Where the tracker is.
        unchanged: DVC has just said that nothing of this stage changed: do not ask again.
        force: Run it all the same.
        say: Told every line that the stage prints.

    Raises:
        GroundworkError: The failure of the stage, with its own exit code.
    """
    if unchanged and not force:
        return Reproduced(stage=stage.name, outcome="reused")
    if stage.progress is None:
        return dvc.reproduce(stage, repository, force=force, on_line=say)
    attempt = open_attempt(stage.name, repository, settings)
    with _mirrored(repository / stage.progress, attempt, settings):
        return dvc.reproduce(stage, repository, force=force, on_line=say)


def open_attempt(stage: str, repository: Path, settings: Settings) -> str:
    """Name the attempt at these inputs: the one that was cut short, or a new one.

    A resumed training thus continues its own run in the tracker, and a new one never mixes into it.
    """
    inputs = _inputs(repository)
    path = _attempt_file(stage, settings)
    try:
        document = json.loads(path.read_bytes())
        if document["inputs"] == inputs:
            return str(document["attempt"])
    except (OSError, ValueError, KeyError):
        pass  # no attempt was cut short
    attempt = uuid.uuid4().hex
    commit_file(path, json.dumps({"attempt": attempt, "inputs": inputs}).encode())
    return attempt


def current_attempt(stage: str, settings: Settings) -> str | None:
    """Return the attempt that is open, if one is."""
    try:
        return str(json.loads(_attempt_file(stage, settings).read_bytes())["attempt"])
    except (OSError, ValueError, KeyError):
        return None


def close_attempt(stage: str, settings: Settings) -> None:
    """Forget the attempt: its run is recorded whole."""
    _attempt_file(stage, settings).unlink(missing_ok=True)


def _inputs(repository: Path) -> str:
    sources = sorted([*(repository / "models").rglob("*.py"), *(repository / "tasks").rglob("*.py")])
    parts = {
        "dataset": read_manifest(repository / "data" / "dataset").sha256,
        "params": read_yaml(repository / "params.yaml"),
        "code": [hash_file(path) for path in sources],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _attempt_file(stage: str, settings: Settings) -> Path:
    return settings.home / "attempts" / f"{stage}.json"


@contextmanager
def _mirrored(history: Path, run_key: str, settings: Settings) -> Iterator[None]:
    """Copy new points to the tracker every few seconds, from a thread that can fail without consequence.

    The history file is the spool: points that the tracker missed are there for the next look and, after
    training, for the final recording.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_mirror, args=(history, run_key, settings, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=15)


def _mirror(history: Path, run_key: str, settings: Settings, stop: threading.Event) -> None:
    from tasks.services import runs, tracking

    quiet = False
    while not stop.wait(_INTERVAL):
        if not history.exists():
            continue
        try:
            runs.mirror_history(tracking.connect(settings), history, run_key)
            quiet = False
        except GroundworkError as error:
            if not quiet:
                _log.warning("%s Training goes on; the points are kept and replayed.", error)
            quiet = True
