"""Boxes -> masks with scores and provenance, as a COCO file and a page that shows them.

The directory holds ``pseudo_labels.json``, ``pseudo_labels.html`` and the licences of a source folder. While
the work goes on, finished shards lie in ``.<name>.parts`` beside it; killed at any time, the same command
goes on with the shard after the last finished one and ends with the same bytes.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.blocks.precision import has_fast_bfloat16
from models.segmentation.box_carving import REASONS
from models.segmentation.box_propagation import PropagationConfig
from tasks.data.box_table import BoxTable, index_boxes
from tasks.data.commit import commit_directory, read_manifest, telling_of_disks, verify_directory
from tasks.data.importing import annotation_file
from tasks.data.pseudo_document import write_document
from tasks.data.segmenter_directory import SEGMENTER_SCHEMA
from tasks.errors import IntegrityError, UsageError
from tasks.operations.pseudo_shards import CROWD, LabelJob
from tasks.operations.shards import make_shards, missing_shards, part_file, read_parts, workshop
from tasks.report.pseudo_labels import PseudoLabelTally, render_pseudo_labels
from tasks.services.git import CodeVersion, code_version

PSEUDO_LABELS_SCHEMA = "groundwork.pseudo_labels/1"
LABELS, PAGE = "pseudo_labels.json", "pseudo_labels.html"
SCORE = (
    "mean probability inside the mask, times the share of the box's columns that the mask touches, times the "
    "share of its rows; probability is the segmenter's, or the object's share after global propagation"
)
_REASONS: Mapping[str, str] = dict(REASONS.items()) | {CROWD: "the box stands for many objects"}
_PAPERS = ("readme", "license", "licence", "notice", "attribution", "citation")


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoLabelling:
    """What to label with what."""

    source: Path
    """COCO file, or a folder with ``annotations/instances_<split>.json``."""
    out: Path
    """Directory to create, or one of this kind to replace."""
    images: Path | None = None
    """Folder that file names start from; of a source folder by default the one named like the split."""
    model: Path | None = None
    """Committed directory of a segmenter; None: propagation alone."""
    split: str = "train"
    """Of a source folder."""
    workers: int = 1
    shard_images: int = 32
    """Images between two points where a killed run goes on."""
    propagation: PropagationConfig = field(default_factory=PropagationConfig)

    def __post_init__(self) -> None:
        """Refuse what the command cannot do. Raises UsageError."""
        for name in ("workers", "shard_images"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"must be at least 1, got {getattr(self, name)}.",
                    obj=f"--{name.replace('_', '-')}",
                    hint="Say 1 or more.",
                )

    @property
    def annotations(self) -> Path:
        """The COCO file."""
        return self.source / annotation_file(self.split) if self.source.is_dir() else self.source

    def image_folder(self) -> Path:
        """Return the folder of the images.

        Raises:
            UsageError: If it is not said, or is no directory.
        """
        folder = self.images
        if folder is None and self.source.is_dir():
            folder = self.source / self.split
        if folder is None:
            raise UsageError(
                "does not say where its images are.",
                obj=str(self.source),
                hint="Name their folder: --images.",
            )
        if not folder.is_dir():
            raise UsageError("is not a directory.", obj=str(folder), hint="Name the folder of the images.")
        return folder


def label_boxes(wanted: PseudoLabelling, *, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Make the pseudo-labels of every box of a file.

    Args:
        wanted: What to label with what.
        say: Told how far it is.

    Returns:
        ``info.groundwork`` of the file, with the sha256 of the directory's manifest.

    Raises:
        DataError: If the file breaks a rule, or an image is damaged.
        IntegrityError: If the model is damaged.
        UsageError: If a place is missing or taken.
        UnavailableError: If another run writes there, a worker was killed, or the disk is full.
    """
    images = wanted.image_folder()
    _check_places(wanted, images)
    with telling_of_disks(wanted.out, resumes=True), workshop(wanted.out) as parts:
        return _label(wanted, images, parts, say)


def _label(wanted: PseudoLabelling, images: Path, parts: Path, say: Callable[[str], None]) -> dict[str, Any]:
    database = parts / "boxes.db"
    database.unlink(missing_ok=True)
    say(f"reading {wanted.annotations}")
    about = _about(wanted, index_boxes(wanted.annotations, database))
    key = hashlib.sha256(_dump(about | {"shard_images": wanted.shard_images}).encode()).hexdigest()
    table = BoxTable(database)
    if about["model"] and about["model"]["categories"] != [row["name"] for row in table.categories()]:
        say("the model learnt other categories than the file has; masks do not depend on them")
    job = LabelJob(
        key=key,
        database=database,
        images=images,
        parts=parts,
        model=wanted.model,
        propagation=wanted.propagation,
        num_images=table.count(),
        shard_images=wanted.shard_images,
    )
    missing = missing_shards(job, say, keep=[database.name])
    before = job.num_shards - len(missing)

    def finished(number: int) -> None:
        done = min(job.num_images, (before + number) * job.shard_images)
        say(f"labelling {done}/{job.num_images}, {job.method}")

    make_shards(job, missing, workers=wanted.workers, finished=finished)
    say("writing the file and the page")
    tally = PseudoLabelTally()
    digest = hashlib.sha256()
    for line in read_parts(job):
        digest.update(f"{line['image_id']} {line['sha256']}\n".encode())
        tally.add(line)
    info = about | {"images_sha256": digest.hexdigest(), "counts": tally.counts()}
    info |= {"score": SCORE, "reasons": {name: _REASONS[name] for name in sorted(tally.reasons)}}

    def write(staging: Path) -> None:
        with (staging / LABELS).open("w", encoding="utf-8") as stream:
            write_document(stream, table, read_parts(job), info)
        page = render_pseudo_labels(
            info, tally, image=table.image, categories=table.categories(), images=images
        )
        (staging / PAGE).write_text(page, encoding="utf-8")
        copy_papers(wanted.source, staging)

    manifest = commit_directory(wanted.out, write, schema=PSEUDO_LABELS_SCHEMA, provenance=info)
    table.close()
    for shard in range(job.num_shards):
        part_file(job, shard).unlink()
    return info | {"manifest_sha256": manifest.sha256}


def describe_code() -> dict[str, Any]:
    """Name the release, and the commit if this is a checkout."""
    code = CodeVersion(commit="none", dirty=True)
    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").exists():  # else installed, and a repository around it is not ours
        code = code_version(root)
    try:
        release = version("groundwork")
    except PackageNotFoundError:
        release = "none"
    return {"version": release, "commit": code.commit, "dirty": code.dirty}


def _about(wanted: PseudoLabelling, annotations_sha256: str) -> dict[str, Any]:
    """Describe the work by content alone; no path of this machine, no clock."""
    about = {
        "schema": PSEUDO_LABELS_SCHEMA,
        "from": "boxes",
        "code": describe_code(),
        "annotations_sha256": annotations_sha256,
    }
    if wanted.model is None:
        return about | {"method": "propagation", "parameters": asdict(wanted.propagation), "model": None}
    from models.segmentation.hub import BoxSegmenterConfig

    manifest = verify_directory(wanted.model, schema=SEGMENTER_SCHEMA)
    config = BoxSegmenterConfig.from_pretrained(wanted.model, local_files_only=True)
    return about | {
        "method": "segmenter",
        "parameters": {
            "mask_threshold": config.thresholds().mask_threshold,
            "bfloat16": has_fast_bfloat16(),
        },
        "model": {"sha256": manifest.sha256, "categories": list(config.category_names or ())},
    }


def _check_places(wanted: PseudoLabelling, images: Path) -> None:
    if not wanted.annotations.is_file():
        raise UsageError(
            "no such file.",
            obj=str(wanted.annotations),
            hint="Name a COCO file, or a folder with annotations/instances_<split>.json and its --split.",
        )
    out, source = wanted.out.resolve(), wanted.source.resolve()
    for taken in (images.resolve(), source):
        if taken == out or taken in out.parents or out in taken.parents:
            raise UsageError(f"overlaps {taken}.", obj=str(wanted.out), hint="Name another --out.")
    if wanted.out.is_symlink() or (wanted.out.exists() and not _is_ours(wanted.out)):
        raise UsageError(
            "exists and was not made by this command.",
            obj=str(wanted.out),
            hint="Move it away, or name another --out.",
        )


def _is_ours(folder: Path) -> bool:
    try:
        return read_manifest(folder).schema == PSEUDO_LABELS_SCHEMA
    except IntegrityError:
        return False


def copy_papers(source: Path, staging: Path) -> None:
    """Keep the licences of a source folder."""
    if source.is_dir():
        for paper in sorted(source.iterdir()):
            if paper.name.lower().startswith(_PAPERS) and paper.is_file() and not paper.is_symlink():
                (staging / paper.name).write_bytes(paper.read_bytes())


def _dump(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
