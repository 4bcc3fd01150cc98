"""Long work shard by shard: some images at a time, each shard one file that is there whole or not at all.

A shard's bytes depend on its images and the job, not on who computes it: all computation runs on one thread,
whichever process it is in. So any number of workers, and any number of kills, give the same.
"""

import fcntl
import hashlib
import json
import shutil
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import torch

from tasks.data.commit import commit_file
from tasks.errors import UnavailableError
from tasks.lifetime import end_with_parent


class ShardMaker(Protocol):
    """Computes shards; what it takes to do so is loaded once."""

    def lines(self, shard: int) -> Iterable[Mapping[str, Any]]:
        """Compute the lines of one shard, in the order of its images."""

    def close(self) -> None:
        """Let go of files."""


class ShardJob(Protocol):
    """Everything that a worker must know; travels to other processes."""

    @property
    def schema(self) -> str:
        """Name and version of what a line holds."""

    @property
    def key(self) -> str:
        """Identity of the whole work; parts of another key are foreign."""

    @property
    def parts(self) -> Path:
        """Folder of the finished shards."""

    @property
    def num_shards(self) -> int:
        """Count the shards."""

    def open(self) -> ShardMaker:
        """Load what it takes to compute."""


def part_file(job: ShardJob, shard: int) -> Path:
    """Return the file of a finished shard."""
    return job.parts / f"part-{shard:06d}.jsonl"


def make_shard(job: ShardJob, maker: ShardMaker, shard: int) -> None:
    """Compute one shard and commit its file; raises what the maker raises."""
    body = "".join(f"{_dump(line)}\n" for line in maker.lines(shard)).encode()
    header = {
        "schema": job.schema,
        "key": job.key,
        "shard": shard,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    commit_file(part_file(job, shard), f"{_dump(header)}\n".encode() + body)


def is_finished(job: ShardJob, shard: int) -> str | None:
    """Say why a shard must be made, or None if its file belongs to this job and is whole."""
    path = part_file(job, shard)
    try:
        with path.open("rb") as stream:
            header = json.loads(stream.readline())
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        found = header["schema"], header["key"], header["shard"]
    except FileNotFoundError:
        return "is not there"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"cannot be read ({type(error).__name__}: {error})"
    if found != (job.schema, job.key, shard):
        return "belongs to other work"
    return None if header["sha256"] == digest else "is damaged"


def read_part(job: ShardJob, shard: int) -> Iterator[dict[str, Any]]:
    """Read the lines of one shard."""
    with part_file(job, shard).open("rb") as stream:
        stream.readline()
        for line in stream:
            yield json.loads(line)


def read_parts(job: ShardJob) -> Iterator[dict[str, Any]]:
    """Read the lines of all shards, in the order of the images."""
    for shard in range(job.num_shards):
        yield from read_part(job, shard)


def missing_shards(
    job: ShardJob,
    say: Callable[[str], None],
    *,
    keep: Collection[str],
    stale: Callable[[int], str | None] = lambda _: None,
) -> list[int]:
    """Return the shards to make; files that are damaged, foreign or half written are removed, aloud.

    Args:
        job: The work.
        say: Told what is removed, and how much is finished.
        keep: Names of other files that belong into the folder.
        stale: Says why a whole shard of this job must be made all the same, or None.
    """
    expected = {part_file(job, shard).name for shard in range(job.num_shards)}
    for path in sorted(job.parts.iterdir()):
        if path.name not in expected | {"lock", *keep}:
            say(f"removed {path.name}: left over")
            path.unlink()
    missing = []
    for shard in range(job.num_shards):
        reason = is_finished(job, shard) or stale(shard)
        if reason is not None:
            missing.append(shard)
            path = part_file(job, shard)
            if path.exists():
                say(f"removed {path.name}: it {reason}")
                path.unlink()
    if len(missing) < job.num_shards:
        say(f"going on: {job.num_shards - len(missing)} of {job.num_shards} parts are finished")
    return missing


@contextmanager
def workshop(out: Path) -> Iterator[Path]:
    """Hold the folder of the unfinished work; the kernel lets go of it however this process ends.

    Raises:
        UnavailableError: If another run holds it.
    """
    parts = out.parent / f".{out.name}.parts"
    parts.mkdir(parents=True, exist_ok=True)
    with (parts / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnavailableError(
                "another run is writing there.", obj=str(out), hint="Wait for it, or name another --out."
            ) from None
        try:
            yield parts
        finally:
            if not any(parts.glob("part-*.jsonl")):  # nothing to go on with
                shutil.rmtree(parts)


def make_shards(
    job: ShardJob, shards: Sequence[int], *, workers: int, finished: Callable[[int], None]
) -> None:
    """Make shards, in this process or in several.

    Args:
        job: What to do.
        shards: Which ones are missing.
        workers: Processes; 1 is this one.
        finished: Told the number of shards made so far.

    Raises:
        DataError: If an image is damaged; what was finished stays.
        UnavailableError: If a worker was killed.
    """
    if workers == 1 or len(shards) < 2:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            maker = job.open()
            for number, shard in enumerate(shards, start=1):
                make_shard(job, maker, shard)
                finished(number)
            maker.close()
        finally:
            torch.set_num_threads(threads)
        return
    with ProcessPoolExecutor(
        min(workers, len(shards)), mp_context=get_context("spawn"), initializer=_start, initargs=(job,)
    ) as pool:
        try:
            _feed(pool, shards, 2 * workers, finished)
        except BrokenProcessPool as error:
            raise UnavailableError(
                "a worker was killed, most likely for want of memory.",
                obj=str(job.parts),
                hint="Run the same command with fewer --workers: it goes on where it stopped.",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _feed(
    pool: ProcessPoolExecutor, shards: Sequence[int], ahead: int, finished: Callable[[int], None]
) -> None:
    """Keep a few shards waiting, not all of them."""
    waiting: set[Future[None]] = set()
    number, rest = 0, iter(shards)
    while number < len(shards):
        while len(waiting) < ahead and (shard := next(rest, None)) is not None:
            waiting.add(pool.submit(_work, shard))
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
            number += 1
            finished(number)


_JOBS: list[ShardJob] = []
_MAKERS: list[ShardMaker] = []


def _start(job: ShardJob) -> None:
    """Prepare a worker; what can fail is left to its first shard, whose error reaches the parent."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    torch.set_num_threads(1)
    _JOBS.append(job)


def _work(shard: int) -> None:
    if not _MAKERS:
        _MAKERS.append(_JOBS[0].open())
    make_shard(_JOBS[0], _MAKERS[0], shard)


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
