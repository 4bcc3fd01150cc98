"""What one line of the promotion ledger says, and how lines hold together.

Each entry carries the hash of the one before it, so no entry can be changed, removed or slipped in without
breaking every later hash.
"""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, ClassVar, Literal

from tasks.errors import GroundworkError, IntegrityError, UsageError

GENESIS = "0" * 64
"""The previous hash of the first entry."""
Kind = Literal["promote", "rollback", "override"]
_LATER = ("policy_sha256", "overrules", "until")
"""Fields that entries of older releases do not have: where one says nothing it is not written either, so the
lines of then and of now have the same form and the same hash."""
_MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Conflict(GroundworkError):
    """Another promotion came first; what was judged is no longer the question."""

    code: ClassVar[str] = "conflict"
    exit_code: ClassVar[int] = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A change of champion that somebody asks for."""

    kind: Kind
    model: str
    """Name of the registered model: lower-case letters, digits, ``.``, ``_``, ``-``."""
    bundle_id: str
    """The bundle that becomes champion."""
    model_sha256: str
    """Identity of the model directory inside the bundle, in hex."""
    mlflow_version: str | None
    """Version in the MLflow registry; None where the registry was not asked."""
    decision_id: str
    """Key of idempotency: a decision is applied at most once."""
    dataset_sha256: str
    """Identity of the dataset that the bundle was evaluated on, in hex."""
    metrics: dict[str, float]
    """Name -> value at the time of the decision; finite."""
    who: str
    why: str
    restores: int | None = None
    """Of a rollback: the sequence of the promotion whose bundle is champion again."""
    policy_sha256: str | None = None
    """The rules that the bundle was judged by, in hex."""
    overrules: str | None = None
    """Of an override: the decision that did not promote the bundle."""
    until: str | None = None
    """Of an override: the last day on which it holds, UTC, as ``2026-12-31``."""

    def __post_init__(self) -> None:
        """Refuse what the history must never hold.

        Raises:
            UsageError: If who or why is missing, or an override names no decision or no day.
            IntegrityError: If a metric is no number.
        """
        check_model_name(self.model)
        self._check_override()
        if not self.who.strip() or not self.why.strip():
            raise UsageError(
                f"{_a(self.kind)} needs who and why, got who={self.who!r}, why={self.why!r}.",
                obj=self.model,
                hint='Give a reason: --why "..."',
            )
        for name, value in self.metrics.items():
            if not math.isfinite(value):
                raise IntegrityError(
                    f"metric {name} is {value}.",
                    obj=self.decision_id,
                    hint="Evaluate again: `groundwork eval`.",
                )

    def _check_override(self) -> None:
        stated = [self.overrules is not None, self.until is not None]
        if any(stated) if self.kind != "override" else not all(stated):
            raise UsageError(
                f"{_a(self.kind)} {'needs' if self.kind == 'override' else 'has no'} decision and last day, "
                f"got overrules={self.overrules!r}, until={self.until!r}.",
                obj=self.model,
                hint="Give a day: --until YYYY-MM-DD.",
            )
        if self.until is not None:
            read_day(self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change of champion that happened."""

    sequence: int
    """Position in the history of the model, from 1 without gaps."""
    kind: Kind
    model: str
    bundle_id: str
    model_sha256: str
    mlflow_version: str | None
    previous_bundle_id: str | None
    """The champion before this entry; None for the first."""
    decision_id: str
    dataset_sha256: str
    metrics: dict[str, float]
    who: str
    when: str
    """UTC in ISO 8601. For people: order is by sequence, never by clock."""
    why: str
    restores: int | None
    previous_hash: str
    entry_hash: str
    """sha256 of the canonical JSON of all other fields that say something, in hex."""
    policy_sha256: str | None = None
    overrules: str | None = None
    until: str | None = None

    @property
    def origin(self) -> int:
        """Sequence of the promotion that first made this bundle champion in this line of rollbacks."""
        return self.sequence if self.restores is None else self.restores

    def to_json(self) -> str:
        """Write the canonical line: sorted keys, no spaces, no NaN."""
        return _canonical(_written(asdict(self)))

    def is_over(self, today: date) -> bool:
        """Say whether this is an override that does not hold any more."""
        return self.until is not None and today > read_day(self.until)


def check_model_name(model: str) -> None:
    """Refuse a name that could not be part of a path or a key.

    Raises:
        UsageError: With the name.
    """
    if not _MODEL_NAME.fullmatch(model):
        raise UsageError(
            f"is no model name: expected 1 to 64 of a-z, 0-9, '.', '_', '-', got {model!r}.",
            obj="model",
            hint="For example: segmenter.",
        )


def read_day(text: str) -> date:
    """Read a day as ``2026-12-31``.

    Raises:
        UsageError: If it is written otherwise.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise UsageError(f"is no day: expected YYYY-MM-DD, got {text!r}.", obj="until", hint="Correct it.")
    return day


def override_behind(history: Sequence[Entry]) -> Entry | None:
    """Return the override by which the champion in force stands, also after a rollback to it."""
    if not history:
        return None
    origin = history[history[-1].origin - 1]
    return origin if origin.kind == "override" else None


def next_entry(proposal: Proposal, history: Sequence[Entry], when: str) -> Entry:
    """Turn a proposal into the entry that follows a history."""
    last = history[-1] if history else None
    values = asdict(proposal) | {
        "sequence": len(history) + 1,
        "previous_bundle_id": last.bundle_id if last else None,
        "previous_hash": last.entry_hash if last else GENESIS,
        "when": when,
    }
    return Entry(**values, entry_hash=_hash(_written(values)))


def read_chain(documents: Sequence[str], model: str, source: str) -> tuple[Entry, ...]:
    """Parse the lines of one model's history and check that they are one unbroken chain.

    Args:
        documents: Lines in the order of their sequence.
        model: Name that every entry must carry.
        source: The ledger, for messages.

    Raises:
        IntegrityError: If a line cannot be parsed, was changed, is missing or belongs elsewhere.
    """
    chain: list[Entry] = []
    for number, document in enumerate(documents, start=1):
        last = chain[-1] if chain else None
        try:
            values = json.loads(document)
            entry = Entry(**values)
            body = {name: value for name, value in values.items() if name != "entry_hash"}
            whole = (
                entry.entry_hash == _hash(body)
                and entry.sequence == number
                and entry.model == model
                and entry.previous_hash == (last.entry_hash if last else GENESIS)
                and entry.previous_bundle_id == (last.bundle_id if last else None)
            )
        except (ValueError, TypeError, KeyError) as error:
            raise _broken(source, model, number, f"cannot be read ({type(error).__name__})") from error
        if not whole:
            raise _broken(source, model, number, "does not continue the hash chain")
        chain.append(entry)
    return tuple(chain)


def _broken(source: str, model: str, number: int, what: str) -> IntegrityError:
    return IntegrityError(
        f"entry {number} of {model} {what}: the history was changed or damaged.",
        obj=source,
        hint="Restore the ledger from a copy, then run `groundwork doctor`.",
    )


def _written(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None or name not in _LATER}


def _a(kind: Kind) -> str:
    return f"an {kind}" if kind == "override" else f"a {kind}"


def _canonical(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _hash(values: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(values).encode()).hexdigest()
