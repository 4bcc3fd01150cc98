"""The promotion ledger: who is champion, since when, and why.

Append-only, one history per model. A change is a compare-and-swap: it names the sequence it was judged
against, and loses if another change took the next place first. The MLflow alias is derived from this ledger
and can always be rebuilt.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from tasks.data.commit import commit_file
from tasks.errors import IntegrityError, UsageError
from tasks.services.ledger_entry import Conflict, Entry, Proposal, check_model_name, next_entry, read_chain
from tasks.services.ledger_s3 import S3Entries
from tasks.services.ledger_sqlite import SqliteEntries
from tasks.services.settings import Settings, private_directory


class Entries(Protocol):
    """Where the lines are kept. One place per sequence, taken once and for ever."""

    @property
    def source(self) -> str:
        """The address, for messages."""

    def read(self, model: str) -> list[str]:
        """Return the lines of a model in the order of their sequence."""

    def create(self, model: str, sequence: int, decision_id: str, document: str) -> bool:
        """Take a place durably; False if it is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The history of every model, checked whenever it is read."""

    entries: Entries
    marks: Path
    """Folder that remembers the newest entry seen here, to notice a ledger restored from an old copy."""

    def history(self, model: str) -> tuple[Entry, ...]:
        """Return all entries of a model, oldest first; empty if there never was a champion.

        Raises:
            IntegrityError: If the hash chain is broken or the ledger knows less than was seen before.
            UnavailableError: If the ledger cannot be reached.
        """
        check_model_name(model)
        mark = self._read_mark(model)  # before the entries: what is read later can only be newer
        history = read_chain(self.entries.read(model), model, self.entries.source)
        if mark is not None:
            self._refuse_regression(model, mark, history)
        if history and (mark is None or history[-1].sequence > mark[0]):
            self._write_mark(history[-1])
        return history

    def champion(self, model: str) -> Entry | None:
        """Return the entry in force, or None if no model was ever promoted."""
        history = self.history(model)
        return history[-1] if history else None

    def append(self, proposal: Proposal, expected_sequence: int) -> Entry:
        """Apply a change that was judged against the champion ``expected_sequence`` (0: there was none).

        Returns:
            The entry. A decision that was applied before returns its entry of then and changes nothing.

        Raises:
            Conflict: If the champion is not the one that the change was judged against.
        """
        history = self.history(proposal.model)
        if applied := _applied(proposal, history):
            return applied
        if len(history) != expected_sequence:
            raise _conflict(proposal, expected_sequence, len(history))
        entry = next_entry(proposal, history, datetime.now(UTC).isoformat(timespec="seconds"))
        if self.entries.create(entry.model, entry.sequence, entry.decision_id, entry.to_json()):
            self._write_mark(entry)
            return entry
        history = self.history(proposal.model)  # the place was taken, perhaps by this very decision
        if applied := _applied(proposal, history):
            return applied
        raise _conflict(proposal, expected_sequence, len(history))

    def rollback_target(self, model: str, to: int | None = None) -> Entry:
        """Return the entry whose bundle a rollback would restore.

        Args:
            model: Name of the model.
            to: Sequence of the entry to return to. Default: the last one of another bundle before
                the present champion; of repeated rollbacks each goes one further back.

        Raises:
            UsageError: If there is no such entry.
        """
        return _rollback_target(model, self.history(model), to)

    def rollback(self, model: str, *, who: str, why: str, to: int | None = None) -> Entry:
        """Make an earlier champion champion again, by a new entry.

        Returns:
            The new entry, or the one in force if it already is the one asked for by ``to``.

        Raises:
            Conflict: If another change came first.
            UsageError: If there is nothing to return to, or no reason is given.
        """
        history = self.history(model)
        target = _rollback_target(model, history, to)
        if to is not None and history[-1].origin == target.sequence:
            return history[-1]
        proposal = Proposal(
            kind="rollback",
            model=model,
            bundle_id=target.bundle_id,
            model_sha256=target.model_sha256,
            mlflow_version=target.mlflow_version,
            decision_id=f"rollback-{len(history)}-to-{target.sequence}",
            dataset_sha256=target.dataset_sha256,
            metrics=target.metrics,
            who=who,
            why=why,
            restores=target.sequence,
            policy_sha256=target.policy_sha256,
        )
        return self.append(proposal, expected_sequence=len(history))

    def _mark_file(self, model: str) -> Path:
        address = hashlib.sha256(self.entries.source.encode()).hexdigest()[:12]
        return self.marks / f"{model}-{address}.json"

    def _read_mark(self, model: str) -> tuple[int, str] | None:
        path = self._mark_file(model)
        try:
            value = json.loads(path.read_bytes())
            return int(value["sequence"]), str(value["entry_hash"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"cannot be read ({type(error).__name__}).",
                obj=str(path),
                hint="Compare `groundwork history` with a copy of the ledger, then delete this file.",
            ) from error

    def _write_mark(self, entry: Entry) -> None:
        private_directory(self.marks)
        mark = {"sequence": entry.sequence, "entry_hash": entry.entry_hash}
        commit_file(self._mark_file(entry.model), json.dumps(mark).encode())

    def _refuse_regression(self, model: str, mark: tuple[int, str], history: tuple[Entry, ...]) -> None:
        sequence, entry_hash = mark
        if len(history) < sequence:
            what = f"ends at entry {len(history)} of {model}, but entry {sequence} was seen before"
        elif history[sequence - 1].entry_hash != entry_hash:
            what = f"has another entry {sequence} of {model} than was seen before"
        else:
            return
        raise IntegrityError(
            f"{what}: it was restored from an old copy or rewritten.",
            obj=self.entries.source,
            hint=f"Restore the newest copy. If the loss is accepted, delete {self._mark_file(model)}.",
        )


def open_ledger(settings: Settings) -> Ledger:
    """Open the ledger that the settings name; the local file is created when first written."""
    url = settings.ledger_url
    entries: Entries
    if url.startswith("s3://"):
        entries = S3Entries.open(url, settings.s3_endpoint_url)
    else:
        entries = SqliteEntries(Path(url))
    return Ledger(entries=entries, marks=settings.home / "marks")


def _rollback_target(model: str, history: tuple[Entry, ...], to: int | None) -> Entry:
    if not history:
        raise UsageError("has no champion yet.", obj=model, hint="Promote one first: `groundwork run`.")
    if to is None:
        to = history[-1].origin - 1
        while to >= 1 and history[to - 1].bundle_id == history[-1].bundle_id:
            to -= 1  # an override that was renewed
        if to < 1:
            raise UsageError(
                "has no champion before the present one.", obj=model, hint="See `groundwork history`."
            )
    if not 1 <= to <= len(history):
        raise UsageError(
            f"has no entry {to}, only 1 to {len(history)}.", obj=model, hint="See `groundwork history`."
        )
    return history[history[to - 1].origin - 1]


def _applied(proposal: Proposal, history: tuple[Entry, ...]) -> Entry | None:
    return next((entry for entry in history if entry.decision_id == proposal.decision_id), None)


def _conflict(proposal: Proposal, expected: int, found: int) -> Conflict:
    again = "See `groundwork history`." if proposal.kind == "rollback" else "Judge again: `groundwork gate`."
    return Conflict(
        f"the champion changed meanwhile: entry {expected} was expected, the ledger is at {found}.",
        obj=f"{proposal.model} {proposal.bundle_id}",
        hint=again,
    )
