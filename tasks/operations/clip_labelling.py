"""Images and names of classes -> label maps by CLIP, with provenance, and a page that shows them.

The directory holds ``labels/*.png``, ``records.jsonl`` and ``classes.json``, the form of ``groundwork data
weaken``, so that ``groundwork fit`` trains a student from it; ``clip_labels.json`` says what it was made from
and what was found, ``clip_labels.html`` shows it. While the work goes on, finished shards lie in
``.<name>.parts`` beside it; killed at any time, the same command goes on with the shard after the last
finished one and ends with the same bytes.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from models.segmentation.mask_clip import embed_classes
from models.segmentation.prompts import TEMPLATES
from tasks.data.class_words import ClassWords, read_class_words
from tasks.data.clip_weights import PATTERNS, inspect_clip, load_clip
from tasks.data.commit import commit_directory, commit_file, hash_file, telling_of_disks
from tasks.data.images import SUFFIXES
from tasks.data.label_directory import CLASSES, RECORDS
from tasks.data.semantic_records import SemanticRecord, dump_semantic_records
from tasks.data.target_directory import check_target
from tasks.errors import DataError, UsageError
from tasks.operations.clip_shards import ClipJob, ClipParameters
from tasks.operations.label_writing import check_images, label_name, write_json
from tasks.operations.pseudo_labelling import copy_papers, describe_code
from tasks.operations.shards import make_shards, missing_shards, part_file, read_part, read_parts, workshop
from tasks.report.clip_labels import ClipTally, render_clip_labels
from tasks.services.hub import FetchedModel, find_model_folder

CLIP_LABELS_SCHEMA = "groundwork.clip_labels/1"
DOCUMENT, PAGE = "clip_labels.json", "clip_labels.html"
_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLabelling:
    """What to label with what."""

    images: Path
    """Folder of images; of a folder with ``annotations/``, those below the split."""
    classes: Path
    """As ``tasks.data.class_words`` describes it."""
    weights: str
    """Directory of a CLIP, or its name on the hub."""
    out: Path
    """Directory to create, or one of this kind to replace."""
    split: str = "train"
    """Stands in the records; of a folder with ``annotations/``, also the folder of the images."""
    parameters: ClipParameters = field(default_factory=ClipParameters)
    templates: tuple[str, ...] = TEMPLATES
    """Sentences around a word."""
    workers: int = 1
    shard_images: int = 32
    """Images between two points where a killed run goes on."""

    def __post_init__(self) -> None:
        """Refuse what the command cannot do. Raises UsageError."""
        for name in ("workers", "shard_images"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"must be at least 1, got {getattr(self, name)}.",
                    obj=f"--{name.replace('_', '-')}",
                    hint="Say 1 or more.",
                )


def label_images(wanted: ClipLabelling, *, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Make the label map of every image of a folder.

    Args:
        wanted: What to label with what.
        say: Told how far it is.

    Returns:
        What ``clip_labels.json`` says, with the sha256 of the directory's manifest.

    Raises:
        DataError: If classes, weights or an image are damaged, or no pixel gets a label.
        UsageError: If a place is missing or taken.
        UnavailableError: If the hub does not answer, another run writes there, a worker was killed, or the
            disk is full.
    """
    _check_places(wanted)
    words = read_class_words(wanted.classes)
    weights = find_model_folder(wanted.weights, patterns=PATTERNS)
    with telling_of_disks(wanted.out, resumes=True), workshop(wanted.out) as parts:
        return _label(wanted, words, weights, parts, say)


def _label(
    wanted: ClipLabelling, words: ClassWords, weights: FetchedModel, parts: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    names = _list_images(wanted, say)
    files = inspect_clip(weights.folder)
    say(
        f"CLIP {weights.name or weights.folder}, revision {weights.revision or 'none'}, sha256 "
        f"{files.manifest.sha256[:12]}, {len(files.manifest.files)} files, patches of {files.patch} pixels"
    )
    about = _about(wanted, words) | {
        "weights": {"name": weights.name, "revision": weights.revision, **files.to_json()}
    }
    listing, text = parts / "images.txt", parts / "text.safetensors"
    key = _hash(about | {"shard_images": wanted.shard_images, "images": names})
    commit_file(listing, "".join(f"{name}\n" for name in names).encode())
    job = ClipJob(
        key=key,
        images=wanted.images,
        listing=listing,
        parts=parts,
        weights=files,
        text=text,
        values=words.classes.values,
        parameters=wanted.parameters,
        num_images=len(names),
        shard_images=wanted.shard_images,
    )
    missing = missing_shards(
        job, say, keep=[listing.name, text.name], stale=lambda shard: _other_images(job, shard)
    )
    if missing:
        save_text(job, words, wanted.templates, say)
    before = job.num_shards - len(missing)

    def finished(number: int) -> None:
        say(f"labelling {min(job.num_images, (before + number) * job.shard_images)}/{job.num_images}, clip")

    make_shards(job, missing, workers=wanted.workers, finished=finished)
    say("writing the label maps and the page")
    document = _commit(wanted, words, about, job)
    for shard in range(job.num_shards):
        part_file(job, shard).unlink()
    return document


def save_text(
    job: ClipJob, words: ClassWords, templates: tuple[str, ...], say: Callable[[str], None]
) -> None:
    """Embed all words, unless it was done before, on one thread so that the bits are the same anywhere.

    Raises:
        DataError: If the weights are damaged, or a word is too long.
    """
    key = _hash({"weights": job.weights.manifest.sha256, "words": words.every_word, "templates": templates})
    try:
        with safe_open(job.text, framework="pt") as stored:
            if (stored.metadata() or {}).get("key") == key:
                return
    except (SafetensorError, OSError):
        pass  # not there, or half written
    clip = load_clip(job.weights)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows: list[Tensor] = []
    try:
        for number, word in enumerate(words.every_word, start=1):
            rows.append(embed_classes(clip.model, clip.tokenize, [word], templates))
            if number % 20 == 0 or number == len(words.every_word):
                say(f"reading {number}/{len(words.every_word)}, words of {len(words.words)} classes")
    finally:
        torch.set_num_threads(threads)
    tensors = {"words": torch.cat(rows), "owners": torch.tensor(words.owners)}
    commit_file(job.text, save(tensors, metadata={"key": key}))


def _commit(wanted: ClipLabelling, words: ClassWords, about: dict[str, Any], job: ClipJob) -> dict[str, Any]:
    """Read all parts once, write the directory, and return what it says."""
    found: dict[str, Any] = {}

    def write(staging: Path) -> None:
        tally, digest = ClipTally(len(words.words)), hashlib.sha256()
        with (staging / RECORDS).open("wb") as records:
            for line in read_parts(job):
                digest.update(f"{line['image']} {line['sha256']}\n".encode())
                tally.add(line)
                records.write(dump_semantic_records([_keep(line, wanted.split, staging)]))
        if not tally.labelled:
            raise DataError(
                f"no pixel is as sure as {wanted.parameters.confidence}.",
                obj="--confidence",
                hint="Say less; the page of a run without it shows what there is.",
            )
        found.update(about | {"images_sha256": digest.hexdigest(), **tally.counts(words.classes)})
        write_json(staging / CLASSES, words.classes.to_json())
        write_json(staging / DOCUMENT, found)
        page = render_clip_labels(found, tally, classes=words.classes, images=wanted.images)
        (staging / PAGE).write_text(page, encoding="utf-8")
        copy_papers(wanted.images, staging)

    manifest = commit_directory(wanted.out, write, schema=CLIP_LABELS_SCHEMA, provenance=about)
    return found | {"manifest_sha256": manifest.sha256}


def _keep(line: dict[str, Any], split: str, staging: Path) -> SemanticRecord:
    """Write one label map and return its record."""
    name = label_name(line["image"])
    path = staging / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(line["label"]))
    return SemanticRecord(
        image=line["image"],
        label=name,
        height=line["height"],
        width=line["width"],
        sha256=line["sha256"],
        label_sha256=hash_file(path),
        split=split,
    )


def _about(wanted: ClipLabelling, words: ClassWords) -> dict[str, Any]:
    """Describe the work by content alone; no path of this machine, no clock."""
    return {
        "schema": CLIP_LABELS_SCHEMA,
        "from": "clip",
        "code": describe_code(),
        "split": wanted.split,
        "words": {name: list(own) for name, own in zip(words.classes.names, words.words, strict=True)},
        "templates": {
            "count": len(wanted.templates),
            "sha256": hashlib.sha256("\n".join(wanted.templates).encode()).hexdigest(),
        },
        "parameters": asdict(wanted.parameters),
    }


def _list_images(wanted: ClipLabelling, say: Callable[[str], None]) -> list[str]:
    """Return the names of all images, relative to the folder, in order."""
    folder = wanted.images
    below = folder / wanted.split if (folder / "annotations").is_dir() else folder
    names, others = [], 0
    for path in below.rglob("*"):
        if not path.is_file():
            continue
        if path.suffix.lower() not in _SUFFIXES:
            others += 1
            continue
        names.append(path.relative_to(folder).as_posix())
    if not names:
        raise UsageError(
            f"holds no image: no file ends in {', '.join(sorted(_SUFFIXES))}.",
            obj=str(below),
            hint="Name the folder of the images; of a folder with annotations/, also its --split.",
        )
    names.sort()
    check_images(names, below)
    if others:
        say(f"{others} files of {below} have no name of an image and are left out")
    return names


def _other_images(job: ClipJob, shard: int) -> str | None:
    """Say whether an image of a finished shard changed meanwhile."""
    for line in read_part(job, shard):
        path = job.images / line["image"]
        if not path.is_file() or hash_file(path) != line["sha256"]:
            return f"is of another {line['image']}"
    return None


def _check_places(wanted: ClipLabelling) -> None:
    if not wanted.images.is_dir():
        raise UsageError("is not a directory.", obj=str(wanted.images), hint="Name the folder of the images.")
    out, source = wanted.out.resolve(), wanted.images.resolve()
    if source == out or source in out.parents or out in source.parents:
        raise UsageError(f"overlaps {wanted.images}.", obj=str(wanted.out), hint="Name another --out.")
    check_target(wanted.out, schema=CLIP_LABELS_SCHEMA)


def _hash(value: dict[str, Any] | Iterable[Any]) -> str:
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
