"""Find the decision that a comment speaks of, and make sure that it is one."""

from collections.abc import Callable
from pathlib import Path

from tasks.data.commit import hash_file, read_manifest
from tasks.data.strict_json import JsonValue, read_json
from tasks.errors import IntegrityError, UnavailableError
from tasks.operations.judging import DECISION_SCHEMA, judge_candidate, require_current
from tasks.operations.workspace import exclusive
from tasks.services.settings import Settings


def standing_decision(
    repository: Path, settings: Settings, *, say: Callable[[str], None] = lambda _: None
) -> Path:
    """Return the decision about the current candidate.

    Raises:
        UnavailableError: If the candidate is not up to date, or the champion cannot be read.
        IntegrityError: If something was damaged.
    """
    with exclusive(settings):
        require_current(repository)
        return judge_candidate(repository, settings, say=say).path


def read_decision(path: Path) -> JsonValue:
    """Read a decision; one that lies in a committed directory must be what its manifest says.

    Raises:
        UnavailableError: If there is no such file.
        DataError: If it is no JSON.
        IntegrityError: If it was changed after it was made, or is something else.
    """
    if not path.is_file():
        raise UnavailableError(
            "there is no such file.",
            obj=str(path),
            hint="Make it: `groundwork eval --against champion --out DIR`.",
        )
    if (path.parent / "manifest.json").exists():
        recorded = read_manifest(path.parent).files.get(path.name)
        if recorded is not None and recorded[0] != hash_file(path):
            raise IntegrityError(
                "was changed after it was made.", obj=str(path), hint="Do not use it. Make it again."
            )
    decision = read_json(path)
    if not isinstance(decision, dict) or decision.get("schema") != DECISION_SCHEMA:
        raise IntegrityError(
            f"is no {DECISION_SCHEMA}.", obj=str(path), hint="Name the decision.json that the gate wrote."
        )
    return decision
