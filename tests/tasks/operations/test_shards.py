import fcntl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from tasks.errors import DataError, UnavailableError
from tasks.operations import shards
from tasks.operations.shards import (
    is_finished,
    make_shards,
    missing_shards,
    part_file,
    read_part,
    read_parts,
    workshop,
)


@dataclass(frozen=True)
class Squares:
    """Two numbers a shard, squared."""

    key: str
    parts: Path
    broken: int | None = None
    schema: str = "tests.squares/1"
    num_shards: int = 3

    def open(self):
        return self

    def lines(self, shard):
        for number in (2 * shard, 2 * shard + 1):
            if number == self.broken:
                raise DataError("is odd.", obj=str(number), hint="Take another.")
            yield {"number": number, "square": number**2, "threads": torch.get_num_threads()}

    def close(self):
        pass


@pytest.fixture
def job(tmp_path):
    return Squares(key="a", parts=tmp_path)


def make(job, workers=1):
    told = []
    make_shards(job, range(job.num_shards), workers=workers, finished=told.append)
    return told


def test_lines_come_back_in_order(job):
    threads = torch.get_num_threads()
    assert make(job) == [1, 2, 3]
    assert torch.get_num_threads() == threads
    lines = list(read_parts(job))
    assert [line["square"] for line in lines] == [0, 1, 4, 9, 16, 25]
    assert {line["threads"] for line in lines} == {1}
    assert list(read_part(job, 1)) == lines[2:4]


def test_a_worker_makes_the_same_bytes(job, monkeypatch):
    make(job)
    alone = [part_file(job, shard).read_bytes() for shard in range(3)]
    for shard in range(3):
        part_file(job, shard).unlink()
    monkeypatch.setattr(shards, "_JOBS", [job])
    monkeypatch.setattr(shards, "_MAKERS", [])
    monkeypatch.setattr(Squares, "lines", _on_one_thread(Squares.lines))
    told = []
    with ThreadPoolExecutor(1) as pool:
        shards._feed(pool, range(3), 2, told.append)
    assert told == [1, 2, 3]
    assert [part_file(job, shard).read_bytes() for shard in range(3)] == alone


def _on_one_thread(lines):
    return lambda job, shard: ({**line, "threads": 1} for line in lines(job, shard))


def test_finished_means_whole_and_ours(job):
    assert is_finished(job, 0) == "is not there"
    make(job)
    assert is_finished(job, 0) is None
    assert is_finished(replace(job, key="b"), 0) == "belongs to other work"
    assert is_finished(replace(job, schema="tests.cubes/1"), 0) == "belongs to other work"
    part_file(job, 1).write_bytes(part_file(job, 0).read_bytes())
    assert is_finished(job, 1) == "belongs to other work"
    content = part_file(job, 0).read_bytes()
    part_file(job, 0).write_bytes(content[:-9])
    assert is_finished(job, 0) == "is damaged"
    part_file(job, 0).write_bytes(b"{}\n")
    assert is_finished(job, 0).startswith("cannot be read (KeyError")


def test_what_was_finished_before_an_error_stays(job):
    with pytest.raises(DataError, match="is odd"):
        make(replace(job, broken=3))
    assert [is_finished(job, shard) is None for shard in range(3)] == [True, False, False]


def test_what_is_missing_is_said(job):
    make(job)
    part_file(job, 1).write_bytes(b"bad")
    (job.parts / ".tmp-left").touch()
    (job.parts / "list.txt").touch()
    said = []
    stale = {2: "is of other images"}
    assert missing_shards(job, said.append, keep=["list.txt"], stale=stale.get) == [1, 2]
    assert said[0] == "removed .tmp-left: left over"
    assert said[1].startswith("removed part-000001.jsonl: it cannot be read")
    assert said[2:] == [
        "removed part-000002.jsonl: it is of other images",
        "going on: 1 of 3 parts are finished",
    ]
    assert (job.parts / "list.txt").exists()
    assert not part_file(job, 2).exists()


def test_one_run_at_a_time_and_no_empty_folder_stays(tmp_path):
    out = tmp_path / "out"
    with workshop(out) as parts:
        assert parts == tmp_path / ".out.parts"
        with pytest.raises(UnavailableError, match="another run is writing there"), workshop(out):
            pass
        (parts / "part-000000.jsonl").touch()
    assert parts.exists()
    with workshop(out):
        (parts / "part-000000.jsonl").unlink()
    assert not parts.exists()
    with (tmp_path / "free").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
