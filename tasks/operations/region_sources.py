"""Files of regions as others published them: conversations are taken as they are, facts are asked about."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from tasks.data.answer_files import read_json_lines
from tasks.data.coco_facts import read_coco_facts
from tasks.data.llava_files import read_llava_samples
from tasks.data.lvis import read_lvis
from tasks.data.osprey_annotations import read_captioned_images, read_captioned_regions
from tasks.data.osprey_files import Kind as Conversations
from tasks.data.osprey_files import read_category_list, read_osprey_descriptions, read_osprey_samples
from tasks.data.refcoco import read_references
from tasks.data.referring import ReferringRecord
from tasks.data.referring_json import read_expression_document, read_expression_lines
from tasks.data.region_facts import (
    FactRegion,
    RegionFacts,
    facts_of_expressions,
    facts_of_lvis,
    lvis_files,
)
from tasks.data.region_records import RegionSample
from tasks.data.strict_json import JsonValue, read_json
from tasks.data.vcr import read_vcr
from tasks.data.visual_genome import read_visual_genome
from tasks.errors import DataError, UsageError

Form: TypeAlias = Literal["osprey", "llava", "visual-genome", "vcr", "coco", "lvis", "refcoco"]
Kind: TypeAlias = Literal[
    "conversation", "part", "short_form", "lvis", "description", "categories", "captioned", "expressions"
]
"""Of a file of Osprey: four kinds of conversations; descriptions; an evaluation list; Visual Genome's phrases
and RefCOCO's expressions with masks, both in COCO form."""

_NUM_FILES: Final[dict[Form, tuple[int, str]]] = {
    "visual-genome": (2, "region_descriptions.json and image_data.json"),
    "vcr": (1, "train.jsonl or val.jsonl"),
    "coco": (1, "a file in COCO form"),
    "lvis": (1, "a file in LVIS form"),
}
_BY_NAME: Final[tuple[tuple[str, Conversations], ...]] = (
    ("part", "part"),
    ("short", "short_form"),
    ("positive_negative", "lvis"),
    ("lvis", "lvis"),
    ("conversations?", "conversation"),
)
"""What the names of the published files hold, as whole words; the first that fits counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSource:
    """Files and how to read them."""

    form: Form
    files: tuple[Path, ...]
    kind: Kind | None = None
    """osprey: of the files; None: as each file says."""
    dataset: str | None = None
    """Name in the records; None: the form."""
    split: str | None = None
    """Name in the records; None: ``train``. refcoco: which split to take; None: all."""
    images: Path | None = None
    """vcr: the folder ``vcr1images``, which has outlines beside the images."""
    cut: bool = False
    """visual-genome: whether boxes are cut at the border of their image."""
    coco_2017: bool = False
    """osprey: whether names of COCO 2014 become those of 2017."""

    def __post_init__(self) -> None:
        """Refuse what does not fit together. Raises UsageError."""
        count, names = _NUM_FILES.get(self.form, (len(self.files), ""))
        if not self.files or len(self.files) != count:
            raise UsageError(
                f"--from {self.form} reads {names or 'at least one file'}, got {len(self.files)} files.",
                obj="FILE",
                hint="See `groundwork data import-regions --help`.",
            )
        if self.form == "vcr" and self.images is None:
            raise UsageError(
                "outlines of VCR lie beside its images.", obj="--images", hint="Name the folder vcr1images."
            )
        for option, given, form in (
            ("--kind", self.kind is not None, "osprey"),
            ("--coco-2017", self.coco_2017, "osprey"),
            ("--cut", self.cut, "visual-genome"),
            ("--images", self.images is not None, "vcr"),
        ):
            if given and self.form != form:
                raise UsageError(f"belongs to --from {form}.", obj=option, hint="Leave it out.")

    @property
    def name(self) -> str:
        """What the records call the dataset."""
        return self.dataset or self.form


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What files hold."""

    samples: tuple[RegionSample, ...] = ()
    """Conversations."""
    facts: tuple[RegionFacts, ...] = ()
    """What questions are to be made of."""
    detailed: bool = False
    """Whether the texts of the facts are long descriptions."""


def read_source(source: RegionSource) -> Read:
    """Read all files.

    Raises:
        DataError: With file, place and cause, if one is malformed.
        UsageError: If a file does not tell what it is.
    """
    name, split, first = source.name, source.split or "train", source.files[0]
    facts: list[RegionFacts] = []
    samples: list[RegionSample] = []
    match source.form:
        case "osprey":
            return _united([_osprey(path, source) for path in source.files], source)
        case "llava":
            for path in source.files:
                samples += read_llava_samples(path, dataset=name, split=split)
        case "vcr":
            samples = read_vcr(first, source.images or Path(), dataset=name, split=split)
        case "visual-genome":
            facts = read_visual_genome(first, source.files[1], dataset=name, split=split, cut=source.cut)
        case "coco":
            facts = read_coco_facts(first, dataset=name, split=split)
        case "lvis":
            facts = facts_of_lvis(read_lvis(first), lvis_files(first), dataset=name, split=split)
        case "refcoco":
            facts = facts_of_expressions(_expressions(source))
    return Read(samples=tuple(samples), facts=tuple(facts))


def _osprey(path: Path, source: RegionSource) -> Read:
    name, split = source.name, source.split or "train"
    kind = source.kind or detect_kind(path)
    match kind:
        case "description":
            images = read_osprey_descriptions(path, dataset=name, split=split, coco_2017=source.coco_2017)
            return Read(facts=tuple(images), detailed=True)
        case "captioned":
            return Read(facts=tuple(read_captioned_regions(path, dataset=name, split=split)))
        case "expressions":
            return Read(facts=tuple(read_captioned_images(path, dataset=name, split=split)))
        case "categories":
            return Read(facts=_categorized(path, name, split))
        case _:
            # Ids count from 1 in every file, so files of one set are told apart by their kind.
            samples = read_osprey_samples(
                path, kind=kind, dataset=f"{name}-{kind}", split=split, coco_2017=source.coco_2017
            )
            return Read(samples=tuple(samples))


def _united(found: Sequence[Read], source: RegionSource) -> Read:
    with_facts = [read for read in found if read.facts]
    if len(with_facts) > 1:
        raise UsageError(
            f"{len(with_facts)} of the files have no questions of their own.",
            obj=", ".join(map(str, source.files)),
            hint="Import each of them for itself: what is asked depends on the kind.",
        )
    return Read(
        samples=tuple(sample for read in found for sample in read.samples),
        facts=with_facts[0].facts if with_facts else (),
        detailed=bool(with_facts) and with_facts[0].detailed,
    )


def detect_kind(path: Path) -> Kind:
    """Tell which kind of Osprey's files one is: by its content, and conversations by its name.

    Raises:
        DataError: If it is none of them.
        UsageError: If it has conversations and its name does not tell of which kind.
    """
    row = _first_entry(path)
    keys = set(row) if isinstance(row, dict) else set()
    if {"images", "annotations"} <= keys:
        in_images = any("caption" in image for image in row["images"][:1] if isinstance(image, dict))
        return "expressions" if in_images else "captioned"
    if "description" in keys:
        return "description"
    if "categories" in keys:
        return "categories"
    if "conversations" not in keys:
        raise DataError(
            f"is none of Osprey's files: its first entry has {sorted(map(str, keys))[:10]}.",
            obj=str(path),
            hint="Check --from, or name its --kind.",
        )
    for part, kind in _BY_NAME:
        if re.search(rf"(?<![a-z])(?:{part})(?![a-z])", path.name.lower()):
            return kind
    raise UsageError(
        "has conversations, and whether short answers are to be asked for is not in the file.",
        obj=str(path),
        hint="Say --kind conversation, part, short_form or lvis.",
    )


def _first_entry(path: Path) -> JsonValue:
    """Return the first entry of a list or of lines, or a document that is written over several lines."""
    try:
        return next(iter(read_json_lines(path)))[1]
    except DataError:
        return read_json(path)  # its error names the byte of the file, not of a line


def _categorized(path: Path, dataset: str, split: str) -> tuple[RegionFacts, ...]:
    return tuple(
        RegionFacts(
            dataset=dataset,
            split=split,
            image_id=str(number),
            file=image.file,
            size=image.size,
            regions=tuple(FactRegion(region=region) for region in image.regions),
        )
        for number, image in enumerate(read_category_list(path), start=1)
    )


def _expressions(source: RegionSource) -> list[ReferringRecord]:
    """Read expressions with ``instances.json``, in one document, or as lines; keep those of the split."""
    path, *instances = source.files
    if len(instances) == 1:
        records = read_references(path, instances[0], source=source.name)
    elif instances:
        raise UsageError(
            f"--from refcoco reads refs(...).p and instances.json, or one file, got {len(source.files)}.",
            obj="FILE",
            hint="Import each dataset for itself.",
        )
    elif path.suffix == ".jsonl":
        return read_expression_lines(path, source=source.name, split=_said(source.split, path))
    else:
        records = read_expression_document(path, source=source.name)
    return records if source.split is None else _of_split(records, source.split, path)


def _of_split(records: Sequence[ReferringRecord], split: str, path: Path) -> list[ReferringRecord]:
    kept = [record for record in records if record.split == split]
    if not kept:
        known = sorted({record.split for record in records})
        raise UsageError(
            f"has no split {split!r}; it has {', '.join(known)}.",
            obj=str(path),
            hint="Name one with --split.",
        )
    return kept


def _said(split: str | None, path: Path) -> str:
    if split is None:
        raise UsageError("does not say of which split it is.", obj=str(path), hint="Say e.g. --split val.")
    return split
