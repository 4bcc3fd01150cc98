import multiprocessing
import shutil
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tasks.errors import IntegrityError, UsageError
from tasks.services.ledger import Ledger, open_ledger
from tasks.services.ledger_entry import Conflict, override_behind
from tasks.services.ledger_s3 import S3Entries
from tasks.services.ledger_sqlite import SqliteEntries
from tasks.services.settings import Settings
from tests.tasks.services.proposals import OLD, proposal


@pytest.fixture(params=["sqlite", "s3"])
def ledger(request, tmp_path):
    if request.param == "sqlite":
        entries = SqliteEntries(tmp_path / "ledger.db")
    else:
        entries = S3Entries(request.getfixturevalue("bucket"))
    return Ledger(entries=entries, marks=tmp_path / "marks")


def test_a_promotion_is_read_back(ledger):
    assert ledger.champion("segmenter") is None
    entry = ledger.append(proposal("a"), expected_sequence=0)
    assert (entry.sequence, entry.bundle_id, entry.previous_bundle_id) == (1, "bundle-a", None)
    assert ledger.champion("segmenter") == entry
    assert ledger.champion("another") is None


def test_a_decision_is_applied_once(ledger):
    first = ledger.append(proposal("a"), expected_sequence=0)
    ledger.append(proposal("b"), expected_sequence=1)
    assert ledger.append(proposal("a"), expected_sequence=0) == first
    assert ledger.append(proposal("a"), expected_sequence=2) == first
    assert [entry.bundle_id for entry in ledger.history("segmenter")] == ["bundle-a", "bundle-b"]


def test_a_stale_decision_loses(ledger):
    ledger.append(proposal("a"), expected_sequence=0)
    with pytest.raises(Conflict) as caught:
        ledger.append(proposal("b"), expected_sequence=0)
    assert caught.value.exit_code == 4
    assert str(caught.value) == (
        "segmenter bundle-b: the champion changed meanwhile: entry 0 was expected, the ledger is at 1. "
        "Judge again: `groundwork gate`."
    )
    assert ledger.champion("segmenter").bundle_id == "bundle-a"


def test_of_eight_racers_one_wins_each_place_and_nothing_acknowledged_is_lost(ledger):
    racers, barrier = 8, Barrier(8)

    def race(number):
        barrier.wait()
        while True:
            expected = len(ledger.history("segmenter"))
            try:
                return ledger.append(proposal(str(number)), expected_sequence=expected)
            except Conflict:
                continue

    with ThreadPoolExecutor(racers) as pool:
        acknowledged = list(pool.map(race, range(racers)))
    history = ledger.history("segmenter")
    assert sorted(entry.sequence for entry in acknowledged) == list(range(1, racers + 1))
    assert set(entry.entry_hash for entry in acknowledged) == {entry.entry_hash for entry in history}


def test_of_eight_racers_with_one_champion_seven_are_told_to_judge_again(ledger):
    ledger.append(proposal("champion"), expected_sequence=0)
    barrier = Barrier(8)

    def race(number):
        barrier.wait()
        try:
            return ledger.append(proposal(str(number)), expected_sequence=1)
        except Conflict:
            return None

    with ThreadPoolExecutor(8) as pool:
        winners = [entry for entry in pool.map(race, range(8)) if entry]
    assert len(winners) == 1
    assert ledger.champion("segmenter") == winners[0]


def test_the_same_decision_from_eight_threads_is_one_entry(ledger):
    barrier = Barrier(8)

    def race(_):
        barrier.wait()
        return ledger.append(proposal("same"), expected_sequence=0)

    with ThreadPoolExecutor(8) as pool:
        entries = set(entry.entry_hash for entry in pool.map(race, range(8)))
    assert len(entries) == 1 == len(ledger.history("segmenter"))


def _promote_twenty(path, marks, name, start):
    ledger = Ledger(entries=SqliteEntries(path), marks=marks)
    start.wait()
    done = 0
    while done < 20:
        try:
            ledger.append(proposal(f"{name}-{done}"), expected_sequence=len(ledger.history("segmenter")))
            done += 1
        except Conflict:
            continue


def test_two_processes_share_a_file(tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Event()
    arguments = (tmp_path / "ledger.db", tmp_path / "marks")
    racers = [context.Process(target=_promote_twenty, args=(*arguments, name, start)) for name in "ab"]
    for racer in racers:
        racer.start()
    start.set()
    for racer in racers:
        racer.join(timeout=120)
    assert [racer.exitcode for racer in racers] == [0, 0]
    history = Ledger(entries=SqliteEntries(arguments[0]), marks=arguments[1]).history("segmenter")
    assert {entry.decision_id for entry in history} == {f"decision-{n}-{i}" for n in "ab" for i in range(20)}


def test_a_ledger_restored_from_an_old_copy_is_noticed(tmp_path):
    ledger = Ledger(entries=SqliteEntries(tmp_path / "ledger.db"), marks=tmp_path / "marks")
    ledger.append(proposal("a"), expected_sequence=0)
    shutil.copy(tmp_path / "ledger.db", tmp_path / "old.db")
    ledger.append(proposal("b"), expected_sequence=1)
    for path in tmp_path.glob("ledger.db*"):
        path.unlink()
    shutil.copy(tmp_path / "old.db", tmp_path / "ledger.db")
    with pytest.raises(IntegrityError, match="ends at entry 1 of segmenter, but entry 2 was seen before"):
        ledger.append(proposal("c"), expected_sequence=1)
    for path in tmp_path.glob("ledger.db*"):
        path.unlink()
    with pytest.raises(IntegrityError, match="ends at entry 0"):
        ledger.champion("segmenter")


def test_a_rewritten_ledger_is_noticed(tmp_path):
    ledger = Ledger(entries=SqliteEntries(tmp_path / "ledger.db"), marks=tmp_path / "marks")
    ledger.append(proposal("a"), expected_sequence=0)
    for path in tmp_path.glob("ledger.db*"):
        path.unlink()
    Ledger(entries=ledger.entries, marks=tmp_path / "other").append(proposal("forged"), expected_sequence=0)
    with pytest.raises(IntegrityError, match="has another entry 1 of segmenter than was seen before"):
        ledger.champion("segmenter")


def test_a_damaged_mark_is_not_ignored(tmp_path):
    ledger = Ledger(entries=SqliteEntries(tmp_path / "ledger.db"), marks=tmp_path / "marks")
    ledger.append(proposal("a"), expected_sequence=0)
    (mark,) = (tmp_path / "marks").iterdir()
    mark.write_text("{")
    with pytest.raises(IntegrityError, match="cannot be read"):
        ledger.champion("segmenter")


def promoted(ledger, *names):
    for number, name in enumerate(names):
        ledger.append(proposal(name), expected_sequence=number)


def test_a_rollback_restores_the_champion_before_and_says_who_and_why(ledger):
    promoted(ledger, "a", "b", "c")
    entry = ledger.rollback("segmenter", who="grace@host", why="misses small nuclei")
    assert (entry.sequence, entry.kind, entry.bundle_id, entry.restores) == (4, "rollback", "bundle-b", 2)
    assert (entry.who, entry.why, entry.previous_bundle_id) == (
        "grace@host",
        "misses small nuclei",
        "bundle-c",
    )
    assert ledger.champion("segmenter") == entry


def test_repeated_rollbacks_go_further_back_until_there_is_nothing(ledger):
    promoted(ledger, "a", "b")
    ledger.rollback("segmenter", who="g", why="w")
    ledger.append(proposal("d"), expected_sequence=3)
    assert ledger.rollback("segmenter", who="g", why="w").bundle_id == "bundle-a"
    with pytest.raises(UsageError) as caught:
        ledger.rollback("segmenter", who="g", why="w")
    assert str(caught.value) == "segmenter: has no champion before the present one. See `groundwork history`."


def test_a_rollback_to_a_named_entry_is_done_once(ledger):
    promoted(ledger, "a", "b", "c")
    first = ledger.rollback("segmenter", who="g", why="w", to=1)
    assert (first.sequence, first.bundle_id) == (4, "bundle-a")
    assert ledger.rollback("segmenter", who="g", why="w", to=1) == first
    assert ledger.rollback("segmenter", who="g", why="w", to=4) == first


@pytest.mark.parametrize(
    ("names", "to", "text"),
    [
        ([], None, "segmenter: has no champion yet. Promote one first: `groundwork run`."),
        (["a"], 7, "segmenter: has no entry 7, only 1 to 1. See `groundwork history`."),
        (["a"], 0, "segmenter: has no entry 0, only 1 to 1. See `groundwork history`."),
    ],
)
def test_a_rollback_to_nowhere_is_refused(ledger, names, to, text):
    promoted(ledger, *names)
    with pytest.raises(UsageError) as caught:
        ledger.rollback("segmenter", who="g", why="w", to=to)
    assert str(caught.value) == text


def test_a_rollback_without_a_reason_is_refused(ledger):
    promoted(ledger, "a", "b")
    with pytest.raises(UsageError, match=r"a rollback needs who and why, got who='g', why=''\."):
        ledger.rollback("segmenter", who="g", why="")


def overriding(name, **changes):
    values = {"kind": "override", "overrules": "decision-1", "until": "2026-12-31"}
    return proposal(name, **(values | changes))


def test_an_override_is_kept_in_every_store_and_applied_once(ledger):
    promoted(ledger, "a")
    entry = ledger.append(overriding("b"), expected_sequence=1)
    assert (entry.kind, entry.overrules, entry.until) == ("override", "decision-1", "2026-12-31")
    assert ledger.append(overriding("b"), expected_sequence=1) == entry
    assert ledger.champion("segmenter") == entry
    with pytest.raises(Conflict, match=r"Judge again: `groundwork gate`\."):
        ledger.append(overriding("c"), expected_sequence=1)


def test_a_rollback_from_a_renewed_override_goes_to_another_bundle(ledger):
    promoted(ledger, "a")
    ledger.append(overriding("b"), expected_sequence=1)
    ledger.append(overriding("b", decision_id="renewed", until="2027-01-31"), expected_sequence=2)
    assert ledger.rollback("segmenter", who="g", why="w").bundle_id == "bundle-a"
    back = ledger.rollback("segmenter", who="g", why="w", to=3)
    assert (back.bundle_id, back.restores, back.until) == ("bundle-b", 3, None)
    assert override_behind(ledger.history("segmenter")).until == "2027-01-31"


def test_a_ledger_that_an_older_release_wrote_goes_on(tmp_path):
    """The line is one that it did write; new entries follow it."""
    entries = SqliteEntries(tmp_path / "ledger.db")
    assert entries.create("segmenter", 1, "decision-a", OLD)
    ledger = Ledger(entries=entries, marks=tmp_path / "marks")
    assert ledger.champion("segmenter").bundle_id == "bundle-a"
    ledger.append(overriding("b"), expected_sequence=1)
    assert [entry.kind for entry in ledger.history("segmenter")] == ["promote", "override"]


def test_a_rollback_and_a_promotion_race_and_both_are_told_the_truth(ledger):
    promoted(ledger, "a", "b")
    barrier = Barrier(2)

    def roll_back():
        barrier.wait()
        return ledger.rollback("segmenter", who="g", why="w")

    def promote():
        barrier.wait()
        return ledger.append(proposal("c"), expected_sequence=2)

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(roll_back), pool.submit(promote)]
        outcomes = [future.exception() or future.result() for future in futures]
    conflicts = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    history = ledger.history("segmenter")
    assert len(history) == 4 - len(conflicts)
    assert all(outcome in history for outcome in outcomes if outcome not in conflicts)


def test_the_settings_choose_the_ledger(tmp_path, monkeypatch):
    assert isinstance(open_ledger(Settings.load(tmp_path)).entries, SqliteEntries)
    monkeypatch.setenv("GROUNDWORK_LEDGER_URL", "s3://bucket/prefix")
    assert isinstance(open_ledger(Settings.load(tmp_path)).entries, S3Entries)
