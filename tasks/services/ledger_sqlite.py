"""The lines of the promotion ledger in one SQLite file: durable, append-only, one writer at a time."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import IntegrityError, UnavailableError
from tasks.services.settings import private_directory

_WAIT = 30.0
"""Seconds that a writer waits for another one."""
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    model TEXT NOT NULL, sequence INTEGER NOT NULL, decision_id TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (model, sequence), UNIQUE (model, decision_id)
) STRICT;
CREATE TRIGGER IF NOT EXISTS entries_never_change BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_never_go BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_follow BEFORE INSERT ON entries
WHEN NEW.sequence != (SELECT COALESCE(MAX(sequence), 0) + 1 FROM entries WHERE model = NEW.model)
    OR EXISTS (SELECT 1 FROM entries WHERE model = NEW.model AND decision_id = NEW.decision_id)
BEGIN SELECT RAISE(ABORT, 'the place is taken or out of order'); END;
PRAGMA user_version = 1;
"""
# The third trigger also stops INSERT OR REPLACE, which deletes rows without firing the second.


@dataclass(frozen=True, slots=True)
class SqliteEntries:
    """A ledger for one machine. Every call opens its own connection: threads and processes may share it."""

    path: Path

    @property
    def source(self) -> str:
        """The file, for messages."""
        return str(self.path)

    def read(self, model: str) -> list[str]:
        """Return the lines of a model in the order of their sequence; a file that is not there holds none.

        Raises:
            IntegrityError: If the file is not a database or damaged.
            UnavailableError: If it cannot be opened.
        """
        if not self.path.exists():
            return []
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT document FROM entries WHERE model = ? ORDER BY sequence", (model,)
            ).fetchall()
        return [document for (document,) in rows]

    def create(self, model: str, sequence: int, decision_id: str, document: str) -> bool:
        """Take a place durably; False if it, or the decision, is already there."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute(
                    "INSERT INTO entries VALUES (?, ?, ?, ?)", (model, sequence, decision_id, document)
                )
            except sqlite3.IntegrityError:
                connection.execute("ROLLBACK")
                return False
            connection.execute("COMMIT")
            return True

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            private_directory(self.path.parent)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous=FULL")
                self._prepare(connection)
                yield connection
        except (sqlite3.OperationalError, OSError) as error:
            raise UnavailableError(
                f"the promotion ledger cannot be used ({error}).",
                obj=self.source,
                hint="Check disk space and permissions, then run the command again.",
            ) from error
        except sqlite3.DatabaseError as error:
            raise IntegrityError(
                f"the promotion ledger is damaged ({error}).",
                obj=self.source,
                hint="Restore it from a copy, then run `groundwork doctor`.",
            ) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables of a new file; one process at a time, for SQLite gives up if two try at once."""
        if _version(connection) == 0:
            with self.path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if _version(connection) == 0:
                    connection.execute("PRAGMA journal_mode=WAL")
                    connection.executescript(_SCHEMA)
        if (found := _version(connection)) != _VERSION:
            raise IntegrityError(
                f"the promotion ledger has version {found}, expected {_VERSION}.",
                obj=self.source,
                hint="Use the release of Groundwork that wrote it.",
            )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
