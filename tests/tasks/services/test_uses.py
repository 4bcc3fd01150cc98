import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from tasks.errors import IntegrityError, UnavailableError
from tasks.services.ledger import Ledger
from tasks.services.ledger_s3 import S3Entries
from tasks.services.ledger_sqlite import SqliteEntries
from tasks.services.uses import Use, count_uses, note_use
from tests.tasks.services.proposals import proposal


def use(model, **changes):
    values = {"dataset_sha256": "d" * 64, "split": "val", "model_sha256": model * 64}
    return Use(**(values | changes))


@pytest.fixture(params=["sqlite", "s3"])
def ledger(request, tmp_path):
    if request.param == "sqlite":
        entries = SqliteEntries(tmp_path / "ledger.db")
    else:
        entries = S3Entries(request.getfixturevalue("bucket"))
    return Ledger(entries=entries, marks=tmp_path / "marks")


def test_each_model_counts_once_per_version_of_a_split(ledger):
    assert count_uses(ledger, use("a")) == 0
    assert [note_use(ledger, use(model)) for model in "abacb"] == [1, 2, 1, 3, 2]
    assert (count_uses(ledger, use("c")), count_uses(ledger, use("x"))) == (3, 0)
    assert note_use(ledger, use("a", split="testA")) == 1
    assert note_use(ledger, use("a", dataset_sha256="e" * 64)) == 1


def test_the_count_stands_beside_the_history_and_never_in_it(ledger):
    ledger.append(proposal("a"), expected_sequence=0)
    note_use(ledger, use("a"))
    ledger.append(proposal("b"), expected_sequence=1)
    assert [entry.bundle_id for entry in ledger.history("segmenter")] == ["bundle-a", "bundle-b"]
    assert note_use(ledger, use("b")) == 2


def test_of_eight_who_count_at_once_each_gets_a_place_of_its_own(ledger):
    barrier = Barrier(8)

    def race(model):
        barrier.wait()
        return note_use(ledger, use(model))

    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(race, "abcdabcd"))
    assert sorted(set(places)) == [1, 2, 3, 4]
    assert places[:4] == places[4:]


def _count_ten(path, marks, start):
    start.wait()
    ledger = Ledger(entries=SqliteEntries(path), marks=marks)
    for model in "0123456789":
        note_use(ledger, use(model))


def test_two_processes_count_each_pair_once(tmp_path):
    context = multiprocessing.get_context("fork")
    start = context.Event()
    arguments = (tmp_path / "ledger.db", tmp_path / "marks", start)
    racers = [context.Process(target=_count_ten, args=arguments) for _ in range(2)]
    for racer in racers:
        racer.start()
    start.set()
    for racer in racers:
        racer.join(timeout=60)
    assert [racer.exitcode for racer in racers] == [0, 0]
    ledger = Ledger(entries=SqliteEntries(tmp_path / "ledger.db"), marks=tmp_path / "marks")
    assert sorted(count_uses(ledger, use(model)) for model in "0123456789") == list(range(1, 11))


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"schema": "groundwork.use/2"}',
        json.dumps({"schema": "groundwork.use/1", "split": "val"}),
        json.dumps(
            {"schema": "groundwork.use/1", "dataset_sha256": "e" * 64, "split": "val", "model_sha256": "m"}
        ),
    ],
)
def test_a_damaged_line_is_never_counted_past(tmp_path, line):
    ledger = Ledger(entries=SqliteEntries(tmp_path / "ledger.db"), marks=tmp_path / "marks")
    note_use(ledger, use("a"))
    assert ledger.entries.create(use("a").name, 2, "x", line)
    with pytest.raises(IntegrityError) as caught:
        note_use(ledger, use("b"))
    assert str(caught.value) == (
        f"{tmp_path}/ledger.db: use 2 of split 'val' of dataset dddddddddddd was changed or damaged. "
        "Restore the ledger from a copy, then run `groundwork doctor`."
    )


def test_a_store_that_cannot_be_reached_is_no_first_look(tmp_path):
    (tmp_path / "file").write_text("")
    entries = SqliteEntries(tmp_path / "file" / "ledger.db")
    with pytest.raises(UnavailableError):
        note_use(Ledger(entries=entries, marks=tmp_path / "marks"), use("a"))
