"""Promote in a project again and again, each time in a child that kills itself somewhere; print what is left.

The children are forked from a process that has only imported, so each is a fresh run of the real command.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from tasks.data import commit
from tasks.errors import GroundworkError
from tasks.operations import judging, overriding, promotion
from tasks.operations.circumstances import today
from tasks.services import registry, tracking
from tasks.services.ledger import open_ledger
from tasks.services.ledger_sqlite import SqliteEntries
from tasks.services.settings import Settings

WANTED = overriding.Override(why="demo", until=(today() + timedelta(days=30)).isoformat(), who="grace")


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def while_reading_the_evidence() -> None:
    judging.decide = die


def before_the_decision_is_visible() -> None:
    swap = commit._swap
    commit._swap = lambda staging, target: (
        die() if target.parent.name == "decisions" else swap(staging, target)
    )


def when_the_decision_is_kept() -> None:
    overriding.record_candidate = die


def before_the_line_of_the_ledger() -> None:
    create = SqliteEntries.create
    SqliteEntries.create = lambda self, model, *line: (
        die() if model == "segmenter" else create(self, model, *line)
    )


def inside_the_transaction_of_the_ledger() -> None:
    connection = SqliteEntries._connection

    class Dying:
        def __init__(self, real: object) -> None:
            self.real, self.inserted = real, False

        def execute(self, statement: str, values: tuple[object, ...] = ()) -> object:
            if statement == "COMMIT" and self.inserted:
                die()
            self.inserted |= statement.startswith("INSERT") and values[0] == "segmenter"
            return self.real.execute(statement, values)

    @contextmanager
    def dying(self: SqliteEntries) -> object:
        with connection(self) as real:
            yield Dying(real)

    SqliteEntries._connection = dying


def before_the_alias_follows() -> None:
    overriding.follow = die


POINTS = (
    while_reading_the_evidence,
    before_the_decision_is_visible,
    when_the_decision_is_kept,
    before_the_line_of_the_ledger,
    inside_the_transaction_of_the_ledger,
    before_the_alias_follows,
)


def in_a_child(action: Callable[[], object]) -> int:
    """Return the signal that ended the child, or minus its exit code."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)


def state(settings: Settings, decisions_before: set[str]) -> dict[str, object]:
    whole, broken = [], []
    for folder in sorted((settings.home / "decisions").iterdir()):
        if folder.name in decisions_before or folder.name.startswith(".tmp-"):
            continue
        try:
            commit.verify_directory(folder)
            whole.append(folder.name)
        except GroundworkError:
            broken.append(folder.name)
    history = open_ledger(settings).history("segmenter")
    return {"decisions": whole, "broken": broken, "kinds": [entry.kind for entry in history]}


def alias(settings: Settings) -> str | None:
    return registry.champion_alias(tracking.connect(settings), "segmenter")


def main(root: Path, *, is_short: bool) -> None:
    """Visit the points; the short way ends before anything is recorded in MLflow."""
    settings = Settings.load(root)
    before = {folder.name for folder in (settings.home / "decisions").iterdir()}
    found = {}
    for point in POINTS[:3] if is_short else POINTS:

        def act(point: Callable[[], None] = point) -> None:
            point()
            overriding.override_gate(WANTED, root, settings)

        signal_number = in_a_child(act)
        found[point.__name__] = {"signal": signal_number, **state(settings, before)}
    if is_short:
        sys.stdout.write(f"\n{json.dumps({'points': found})}\n")
        return
    left_behind = alias(settings)
    kept = promotion.promote_candidate(root, settings)
    mended = alias(settings)
    again = overriding.override_gate(WANTED, root, settings)
    end = {"alias": alias(settings), "version": again["version"], **state(settings, before)}
    document = {"points": found, "alias": [left_behind, mended], "kept": kept["verdict"], "end": end}
    sys.stdout.write(f"\n{json.dumps(document)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), is_short=sys.argv[2:] == ["short"])
