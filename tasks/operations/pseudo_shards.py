"""Pseudo-labels shard by shard: some images at a time, each shard one file that is there whole or not at all.

A shard's bytes depend on its images, their boxes and the job, not on who computes it: every computation runs
on one thread, whichever process it is in. So any number of workers, and any number of kills, give the same.
"""

import hashlib
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.segmentation.box_carving import BoxMask
from models.segmentation.box_propagation import PropagationConfig, masks_by_propagation
from tasks.data.box_table import BoxImage, BoxTable
from tasks.data.commit import commit_file, hash_file
from tasks.data.images import Rgb, read_rgb
from tasks.data.rle import encode_mask
from tasks.errors import UnavailableError
from tasks.lifetime import end_with_parent

PART_SCHEMA = "groundwork.pseudo_labels_part/1"
CROWD = "crowd"
"""Reason of a box that stands for many objects."""
_DIGITS = 6  # of a score

Masks = Callable[[Rgb, torch.Tensor], Sequence[BoxMask | str]]
"""Image and boxes (corners in its pixels) -> a mask or a reason for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelJob:
    """Everything a worker must know."""

    key: str
    """Identity of the whole work; parts of another key are foreign."""
    database: Path
    """Made by ``tasks.data.box_table.index_boxes``."""
    images: Path
    """Folder that the file names of the images start from."""
    parts: Path
    """Folder of the finished shards."""
    model: Path | None
    """Directory of a segmenter; None: propagation alone."""
    propagation: PropagationConfig
    num_images: int
    shard_images: int

    @property
    def method(self) -> str:
        """Name how masks are made."""
        return "propagation" if self.model is None else "segmenter"

    @property
    def num_shards(self) -> int:
        """Count the shards."""
        return -(-self.num_images // self.shard_images)

    def part(self, shard: int) -> Path:
        """Return the file of a finished shard."""
        return self.parts / f"part-{shard:06d}.jsonl"


class Labeller:
    """Makes the masks of shards; loads the model once.

    Args:
        job: What to do.
    """

    def __init__(self, job: LabelJob) -> None:
        self.job, self.table = job, BoxTable(job.database)
        self.masks: Masks
        if job.model is None:
            self.masks = partial(masks_by_propagation, config=job.propagation)
        else:
            self.masks = _answers_of(job.model)

    def label(self, shard: int) -> None:
        """Make one shard and commit its file.

        Raises:
            DataError: If an image is damaged or has another size than the file says.
        """
        start = shard * self.job.shard_images
        lines = [self._line(image) for image in self.table.images(start, start + self.job.shard_images)]
        body = "".join(f"{line}\n" for line in lines).encode()
        header = {
            "schema": PART_SCHEMA,
            "key": self.job.key,
            "shard": shard,
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        commit_file(self.job.part(shard), f"{_dump(header)}\n".encode() + body)

    def _line(self, image: BoxImage) -> str:
        path = self.job.images / image.row["file_name"]
        pixels = read_rgb(path, height=image.row["height"], width=image.row["width"])
        rows = [row for row in image.annotations if not row.get("iscrowd", 0)]
        boxes = torch.tensor([image.box_xyxy(row) for row in rows], dtype=torch.float32).reshape(-1, 4)
        answers = dict(zip([row["id"] for row in rows], self.masks(pixels, boxes), strict=True))
        annotations = [
            self._annotation(image, row, answers.get(row["id"], CROWD)) for row in image.annotations
        ]
        return _dump({"image_id": image.row["id"], "sha256": hash_file(path), "annotations": annotations})

    def _annotation(self, image: BoxImage, row: dict[str, Any], answer: BoxMask | str) -> dict[str, Any]:
        if isinstance(answer, str):
            left, top, right, bottom = image.box_xyxy(row)
            return row | {"area": (right - left) * (bottom - top), "reason": answer}
        part = answer.mask_HW.numpy()
        mask = np.zeros(image.size, np.bool_)
        mask[answer.top : answer.top + part.shape[0], answer.left : answer.left + part.shape[1]] = part
        return row | {
            "segmentation": encode_mask(mask).to_json(),
            "area": float(part.sum()),
            "score": round(answer.score, _DIGITS),
            "method": self.job.method,
        }


def _answers_of(model: Path) -> Masks:
    """Load a segmenter; only who has one imports what it needs."""
    from transformers.utils.logging import disable_progress_bar

    from models.segmentation.box_masks import masks_from_model
    from models.segmentation.hub import BoxSegmenter

    disable_progress_bar()  # type: ignore[no-untyped-call]
    segmenter = BoxSegmenter.from_pretrained(model, local_files_only=True, use_safetensors=True)
    return partial(masks_from_model, segmenter.train(mode=False).to(memory_format=torch.channels_last))


def is_finished(job: LabelJob, shard: int) -> str | None:
    """Say why a shard must be made, or None if its file belongs to this job and is whole."""
    path = job.part(shard)
    try:
        with path.open("rb") as stream:
            header = json.loads(stream.readline())
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        found = header["schema"], header["key"], header["shard"]
    except FileNotFoundError:
        return "is not there"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"cannot be read ({type(error).__name__}: {error})"
    if found != (PART_SCHEMA, job.key, shard):
        return "belongs to other work"
    return None if header["sha256"] == digest else "is damaged"


def read_parts(job: LabelJob) -> Iterator[dict[str, Any]]:
    """Read the lines of all shards, in the order of the images."""
    for shard in range(job.num_shards):
        with job.part(shard).open("rb") as stream:
            stream.readline()
            for line in stream:
                yield json.loads(line)


def label_shards(
    job: LabelJob, shards: Sequence[int], *, workers: int, finished: Callable[[int], None]
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
            labeller = Labeller(job)
            for number, shard in enumerate(shards, start=1):
                labeller.label(shard)
                finished(number)
            labeller.table.close()
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


_JOBS: list[LabelJob] = []
_LABELLERS: list[Labeller] = []


def _start(job: LabelJob) -> None:
    """Prepare a worker; what can fail is left to its first shard, whose error reaches the parent."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    torch.set_num_threads(1)
    _JOBS.append(job)


def _work(shard: int) -> None:
    if not _LABELLERS:
        _LABELLERS.append(Labeller(_JOBS[0]))
    _LABELLERS[0].label(shard)


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
