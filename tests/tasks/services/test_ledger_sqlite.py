import os
import signal
import sqlite3
import stat

import pytest

from tasks.errors import IntegrityError, UnavailableError
from tasks.services.ledger_sqlite import SqliteEntries


@pytest.fixture
def entries(tmp_path):
    entries = SqliteEntries(tmp_path / "home" / "ledger.db")
    assert entries.create("m", 1, "d1", "first")
    assert entries.create("m", 2, "d2", "second")
    return entries


def test_a_place_is_taken_once(entries):
    assert not entries.create("m", 2, "d3", "other")
    assert not entries.create("m", 4, "d3", "a gap")
    assert not entries.create("m", 3, "d2", "the same decision")
    assert entries.create("other", 1, "d1", "another model")
    assert entries.read("m") == ["first", "second"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET document = 'forged' WHERE sequence = 1",
        "DELETE FROM entries WHERE sequence = 2",
        "INSERT OR REPLACE INTO entries VALUES ('m', 2, 'd2', 'forged')",
        "INSERT OR REPLACE INTO entries VALUES ('m', 3, 'd2', 'forged')",
    ],
)
def test_the_database_itself_forbids_changes(entries, statement):
    with sqlite3.connect(entries.path) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    connection.close()
    assert entries.read("m") == ["first", "second"]


def test_nobody_else_may_read_it(entries):
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (entries.path, entries.path.parent)]
    assert modes == [0o600, 0o700]


def test_no_file_holds_no_entries_and_is_not_made_by_reading(tmp_path):
    assert SqliteEntries(tmp_path / "none.db").read("m") == []
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_database_is_damage(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is no database, it only has the name of one" * 100)
    with pytest.raises(IntegrityError) as caught:
        SqliteEntries(path).read("m")
    assert str(caught.value) == (
        f"{path}: the promotion ledger is damaged (file is not a database). "
        "Restore it from a copy, then run `groundwork doctor`."
    )


def test_a_ledger_of_another_release_is_refused(entries):
    with sqlite3.connect(entries.path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(IntegrityError) as caught:
        entries.read("m")
    assert str(caught.value) == (
        f"{entries.path}: the promotion ledger has version 2, expected 1. "
        "Use the release of Groundwork that wrote it."
    )


def test_a_place_that_cannot_be_opened_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="the promotion ledger cannot be used"):
        SqliteEntries(tmp_path / "file" / "ledger.db").create("m", 1, "d", "x")


def test_a_writer_killed_at_any_moment_leaves_whole_entries(entries):
    for number in range(5):
        before = entries.read("m")
        child = os.fork()
        if child == 0:
            for sequence in range(len(before) + 1, 10_000):
                entries.create("m", sequence, f"k{number}-{sequence}", f"k{number}-{sequence}")
            os._exit(0)
        while len(entries.read("m")) < len(before) + 2:
            pass
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        after = entries.read("m")
        assert after[: len(before)] == before
        assert after[len(before) :] == [f"k{number}-{i}" for i in range(len(before) + 1, len(after) + 1)]
