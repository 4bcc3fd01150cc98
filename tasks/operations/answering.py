"""``groundwork answer``: a model answers every question of a directory of region samples.

Killed, the same command goes on. The same model, samples and options give the same bytes on one kind of
machine, whatever the number of processes.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.region_lm.processing import RegionProcessor
from tasks.data.answer_directory import ANSWERS, ANSWERS_SCHEMA, SUMMARY
from tasks.data.commit import Manifest, commit_directory, hash_file, telling_of_disks
from tasks.data.region_directory import read_region_directory
from tasks.data.region_questions import RegionQuestion, questions_of
from tasks.data.target_directory import check_target
from tasks.errors import DataError, UsageError
from tasks.operations.answer_shards import AnswerJob, History, Shown
from tasks.operations.region_model_files import check_region_model, read_region_processor
from tasks.operations.shards import make_shards, missing_shards, part_file, read_parts, workshop


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Who is asked what."""

    model: Path
    """Directory that ``groundwork convert`` or ``groundwork tune`` made."""
    data: Path
    """Directory that ``groundwork data import-regions`` made."""
    images: Path
    """Folder that ``file`` of a sample starts from."""
    out: Path
    """Directory to create, or one of this kind to replace."""
    limit: int | None = None
    """Questions that are asked, the first ones; None: all."""
    max_new_tokens: int = 64
    """Longest answer."""
    shown: Shown = "mask"
    """What stands for a region: its mask, or its box where it has none; or always the box."""
    history: History = "told"
    """Whether a question stands behind the earlier turns of its sample, with their true answers."""
    at_once: int = 16
    """Questions that are answered in one batch."""
    workers: int = 1
    """Processes; any number gives the same bytes."""
    shard_questions: int = 256
    """Questions after which the work is kept."""

    def __post_init__(self) -> None:
        """Refuse numbers that ask nothing. Raises UsageError."""
        names = {"at_once": "--batch"}
        for name in ("limit", "max_new_tokens", "at_once", "workers", "shard_questions"):
            value = getattr(self, name)
            if value is not None and value < 1:
                option = names.get(name, f"--{name.replace('_', '-')}")
                raise UsageError(f"must be at least 1, got {value}.", obj=option, hint="Say 1 or more.")


def answer_questions(wanted: Answering, *, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Ask a model every question.

    Args:
        wanted: Who is asked what.
        say: Told how far it is.

    Returns:
        What ``answers.json`` says, with the sha256 of the directory's manifest.

    Raises:
        UsageError: If a place is missing or taken, or a model that sees no regions is asked about some.
        DataError: If an image is missing, damaged or of another size, or a question cannot be asked.
        IntegrityError: If model or samples are damaged or of another kind.
        UnavailableError: If another run writes there, a worker was killed, or the disk is full.
    """
    check_target(wanted.out, schema=ANSWERS_SCHEMA)
    if not wanted.images.is_dir():
        raise UsageError("is not a directory.", obj=str(wanted.images), hint="Name the folder of the images.")
    with telling_of_disks(wanted.out, resumes=True), workshop(wanted.out) as parts:
        return _answer(wanted, parts, say)


def _answer(wanted: Answering, parts: Path, say: Callable[[str], None]) -> dict[str, Any]:
    directory = read_region_directory(wanted.data)
    model = check_region_model(wanted.model)
    every = questions_of(directory.samples)
    questions = every[: wanted.limit]
    most = _most(read_region_processor(wanted.model), questions, wanted)
    about: dict[str, Any] = {
        "schema": ANSWERS_SCHEMA,
        "model_sha256": model,
        "samples_sha256": directory.sha256,
        "images_sha256": _hash_images(questions, wanted.images),
        "questions": len(every),
        "asked": len(questions),
        "decoding": "greedy",
        "max_new_tokens": wanted.max_new_tokens,
        "shown": wanted.shown,
        "history": wanted.history,
        "at_once": wanted.at_once,
    }
    text = json.dumps(about | {"shard_questions": wanted.shard_questions}, sort_keys=True)
    job = AnswerJob(
        key=hashlib.sha256(text.encode()).hexdigest(),
        parts=parts,
        model=wanted.model,
        data=wanted.data,
        images=wanted.images,
        max_new_tokens=wanted.max_new_tokens,
        shown=wanted.shown,
        history=wanted.history,
        at_once=wanted.at_once,
        num_questions=len(questions),
        most=most,
        shard_questions=wanted.shard_questions,
    )
    missing = missing_shards(job, say, keep=[])
    before = job.num_shards - len(missing)

    def finished(number: int) -> None:
        done = min(len(questions), (before + number) * wanted.shard_questions)
        say(f"answering {done}/{len(questions)}, {wanted.model.name}")

    make_shards(job, missing, workers=wanted.workers, finished=finished)
    return _commit(wanted, job, about)


def _commit(wanted: Answering, job: AnswerJob, about: dict[str, Any]) -> dict[str, Any]:
    empty = 0

    def write(staging: Path) -> None:
        nonlocal empty
        with (staging / ANSWERS).open("w", encoding="ascii") as stream:
            for line in read_parts(job):
                empty += not line["answer"].strip()
                stream.write(json.dumps(line) + "\n")
        document = about | {"empty": empty}
        (staging / SUMMARY).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    manifest = commit_directory(wanted.out, write, schema=ANSWERS_SCHEMA, provenance=about)
    for shard in range(job.num_shards):
        part_file(job, shard).unlink()
    return about | {"empty": empty, "manifest_sha256": manifest.sha256}


def _most(processor: RegionProcessor, questions: Sequence[RegionQuestion], wanted: Answering) -> int:
    """Return how many regions of an image a model takes.

    Raises:
        UsageError: If it sees none and is asked about some.
        DataError: If a sample has more.
    """
    settings = processor.settings.regions
    samples = {id(question.sample): question.sample for question in questions}.values()
    with_regions = [sample for sample in samples if sample.regions]
    if settings is None:
        if with_regions:
            raise UsageError(
                f"sees no regions, and {len(with_regions)} of {len(samples)} samples have some.",
                obj=str(wanted.model),
                hint="Name a model whose recipe has regions, such as osprey.",
            )
        return 0
    for sample in with_regions:
        if len(sample.regions) > settings.most:
            raise DataError(
                f"has {len(sample.regions)} regions, the model takes {settings.most}.",
                obj=f"sample {sample.dataset}/{sample.split}/{sample.sample_id}",
                hint="Import the samples with a lower --most.",
            )
    return settings.most


def _hash_images(questions: Sequence[RegionQuestion], images: Path) -> str:
    """Hash every image that is asked about, which is soon found to be missing here.

    Raises:
        DataError: Naming the image and one of its samples, if it is not there.
    """
    files: dict[str, tuple[str, int]] = {}
    for question in questions:
        file = question.sample.file
        if file is None or file in files:
            continue
        path = images / file
        if not path.is_file():
            raise DataError(
                f"is missing; sample {question.sample.sample_id} of {question.sample.dataset} asks about it.",
                obj=str(path),
                hint="Name the folder that the files of the samples start from: --images.",
            )
        files[file] = hash_file(path), path.stat().st_size
    return Manifest(schema=f"{ANSWERS_SCHEMA}/images", files=dict(sorted(files.items()))).sha256
