"""Draw points, scribbles or blocks out of a fully labelled folder and commit them as a directory.

The directory holds ``labels/*.png``, ``records.jsonl`` and ``classes.json`` for training,
``weak_labels.json`` with what was drawn and out of what, ``sheet.jpg`` to look at, and the licences of the
source. The same source and seed give the same labels; the labels of one image do not depend on the others.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.data.commit import Manifest, commit_directory, hash_file, read_manifest, telling_of_disks
from tasks.data.full_labels import FullImage, FullLabels, RegionKind
from tasks.data.images import read_rgb
from tasks.data.importing import annotation_file
from tasks.data.instance_folder import read_instance_split
from tasks.data.label_maps import encode_label_map
from tasks.data.panoptic_folder import annotation_path, read_panoptic_split
from tasks.data.semantic_records import SemanticClasses, SemanticRecord, dump_semantic_records
from tasks.data.weak_blocks import BlockPolicy
from tasks.data.weak_labels import (
    FullPolicy,
    Kind,
    Policy,
    WeakCounts,
    count_weak,
    generator_for,
    weaken_regions,
)
from tasks.data.weak_points import PointPolicy
from tasks.data.weak_scribbles import ScribblePolicy
from tasks.errors import DataError, IntegrityError, UsageError
from tasks.report.weak_sheet import Tile, contact_sheet

WEAK_SCHEMA = "groundwork.weak_labels/1"
_SHEET = 12  # images on the sheet
_SMALLEST_REGION = 64  # pixels
_PAPERS = ("readme", "license", "licence", "notice", "attribution", "citation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weakening:
    """What to draw out of what."""

    source: Path
    """Folder as ``tasks.data.panoptic_folder`` or ``tasks.data.instance_folder`` describes it."""
    out: Path
    """Directory to create, or one of this kind to replace."""
    kind: Kind
    seed: int
    split: str = "train"
    regions: RegionKind = "objects"
    share: float | None = None
    """Of blocks alone: labelled pixels among those with a class; a tenth if it is not said."""

    def __post_init__(self) -> None:
        """Refuse what the command cannot do. Raises UsageError."""
        if self.seed < 0:
            raise UsageError(f"{self.seed} is negative.", obj="--seed", hint="Say a number of at least 0.")
        if self.share is not None and self.kind != "blocks":
            raise UsageError(
                f"{self.kind} have no share.", obj="--share", hint="Leave it out, or say --kind blocks."
            )
        if self.share is not None and not 0 < self.share <= 1:
            raise UsageError(
                f"{self.share} is no share.", obj="--share", hint="Say more than 0 and at most 1, e.g. 0.1."
            )

    def policy(self, classes: SemanticClasses) -> Policy:
        """Choose how to draw."""
        match self.kind:
            case "points":
                background = frozenset(classes.background)
                return PointPolicy(background=background, smallest_region=_SMALLEST_REGION)
            case "scribbles":
                return ScribblePolicy(smallest_region=_SMALLEST_REGION)
            case "full":
                return FullPolicy()
            case "blocks":
                share = 0.1 if self.share is None else self.share
                return BlockPolicy(share=share, smallest_region=max(_SMALLEST_REGION, math.ceil(1 / share)))


def weaken_folder(wanted: Weakening, *, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Draw the weak labels of one split.

    Args:
        wanted: What to draw.
        say: Told how far it is.

    Returns:
        What ``weak_labels.json`` says, with the sha256 of the directory's manifest.

    Raises:
        DataError: If the source is malformed or damaged.
        UsageError: If the source is no directory, overlaps the target, or the target holds something else.
        UnavailableError: If a file cannot be read or written, e.g. because the disk is full.
    """
    _check_places(wanted)
    split = open_source(wanted.source, wanted.split, wanted.regions)
    drawer = _Drawer(wanted, split, say)
    with telling_of_disks(wanted.out):
        drawer.hash_source()
        manifest = commit_directory(
            wanted.out, drawer.write, schema=WEAK_SCHEMA, provenance=drawer.provenance()
        )
    return drawer.document() | {"manifest_sha256": manifest.sha256}


class _Drawer:
    """Fills the directory image by image and keeps the sums."""

    def __init__(self, wanted: Weakening, split: FullLabels, say: Callable[[str], None]) -> None:
        self.wanted, self.split, self.say = wanted, split, say
        self.policy = wanted.policy(split.classes)
        self.counts = WeakCounts(labelled=0, with_class=0, pixels=0, regions=0, regions_marked=0)
        self.labelled = np.zeros(256, dtype=np.int64)
        self.images_with = np.zeros(256, dtype=np.int64)
        self.tiles: list[Tile] = []
        self.files: dict[str, tuple[str, int]] = {}

    def hash_source(self) -> None:
        """Hash every file that the labels depend on, and the images that they are for."""
        names = {self.split.annotations}
        for image in self.split.images:
            names |= {image.image, *image.files}
        for name in sorted(names):
            path = self.wanted.source / name
            self.files[name] = (hash_file(path), path.stat().st_size)

    def provenance(self) -> dict[str, Any]:
        """Return what the labels were drawn out of and how; no path of this machine."""
        source = Manifest(schema=f"{WEAK_SCHEMA}/source", files=self.files)
        policy = asdict(self.policy)
        return {
            "kind": self.wanted.kind,
            "seed": self.wanted.seed,
            "split": self.wanted.split,
            "regions": self.wanted.regions,
            "policy": {name: sorted(v) if isinstance(v, frozenset) else v for name, v in policy.items()},
            "source_sha256": source.sha256,
        }

    def document(self) -> dict[str, Any]:
        """Return what was drawn."""
        classes = self.split.classes
        per_class = [
            {
                "value": value,
                "name": name,
                "labelled": int(self.labelled[value]),
                "images": int(self.images_with[value]),
            }
            for value, name in zip(classes.values, classes.names, strict=True)
            if self.labelled[value]
        ]
        return {
            "schema": WEAK_SCHEMA,
            **self.provenance(),
            "images": len(self.split.images),
            "counts": self.counts.to_json(),
            "classes": per_class,
        }

    def write(self, staging: Path) -> None:
        """Fill the staging directory."""
        records = []
        for number, image in enumerate(self.split.images, start=1):
            records.append(self._draw(image, staging))
            if number % 50 == 0 or number == len(self.split.images):
                self.say(f"weakening {number}/{len(self.split.images)}, {self.wanted.kind}")
        if not self.counts.labelled:
            raise DataError(
                f"no region has {_SMALLEST_REGION} pixels: there is nothing to draw on.",
                obj=str(self.wanted.source / self.split.annotations),
                hint="Check that these are the annotations of the images.",
            )
        (staging / "records.jsonl").write_bytes(dump_semantic_records(records))
        _write_json(staging / "classes.json", self.split.classes.to_json())
        _write_json(staging / "weak_labels.json", self.document())
        (staging / "sheet.jpg").write_bytes(contact_sheet(self.tiles))
        for paper in sorted(self.wanted.source.iterdir()):
            if paper.name.lower().startswith(_PAPERS) and paper.is_file() and not paper.is_symlink():
                (staging / paper.name).write_bytes(paper.read_bytes())

    def _draw(self, image: FullImage, staging: Path) -> SemanticRecord:
        regions = self.split.regions(image)
        labels = weaken_regions(regions, self.policy, generator_for(self.wanted.seed, image.image))
        name = f"labels/{image.name}"
        path = staging / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_label_map(labels))
        self.counts += count_weak(labels, regions)
        found = np.bincount(labels.ravel(), minlength=256)
        self.labelled += found
        self.images_with += found > 0
        if len(self.tiles) < _SHEET:
            pixels = read_rgb(self.wanted.source / image.image, height=image.height, width=image.width)
            self.tiles.append(Tile(pixels=pixels, labels=labels, caption=Path(image.image).stem))
        return SemanticRecord(
            image=image.image,
            label=name,
            height=image.height,
            width=image.width,
            sha256=self.files[image.image][0],
            label_sha256=hash_file(path),
            split=self.wanted.split,
        )


def open_source(folder: Path, split: str, regions: RegionKind) -> FullLabels:
    """Read the annotations of a split, whichever of the two forms they have.

    Raises:
        DataError: If there are none, or they are malformed.
    """
    panoptic, instances = annotation_path(split), annotation_file(split)
    if (folder / panoptic).exists():
        return read_panoptic_split(folder, split, regions)
    if (folder / instances).exists():
        return read_instance_split(folder, split, regions)
    raise DataError(
        f"holds neither {panoptic} nor {instances}.",
        obj=str(folder),
        hint="Name a folder with one of them, or another --split.",
    )


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _check_places(wanted: Weakening) -> None:
    source, out = wanted.source, wanted.out
    if not source.is_dir():
        raise UsageError("is not a directory.", obj=str(source), hint="Name the folder above annotations/.")
    inner, outer = source.resolve(), out.resolve()
    if inner == outer or inner in outer.parents or outer in inner.parents:
        raise UsageError(f"overlaps the source {source}.", obj=str(out), hint="Name another --out.")
    if out.is_symlink() or (out.exists() and not _is_ours(out)):
        raise UsageError(
            "exists and was not made by this command.",
            obj=str(out),
            hint="Move it away, or name another --out.",
        )


def _is_ours(folder: Path) -> bool:
    try:
        return read_manifest(folder).schema == WEAK_SCHEMA
    except IntegrityError:
        return False
