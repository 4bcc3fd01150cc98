"""Osprey's files of questions, descriptions and categories of regions, as records.

Source: Yuan et al., "Osprey" (arXiv 2312.10032) and the loaders of https://github.com/CircleRadon/Osprey. A
file is a list of images: ``file_name``, ``height``, ``width``, and ``annotation``: regions with ``bbox``
(``xywh``) and ``segmentation``. Texts cite the first region as ``<region1>``; whatever else looks like a
tag is text. Nothing is left out: an empty mask, a region outside the image, a citation of a region that is
not there each stop the reader with the file, the place and the sample.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from tasks.data.answer_files import invalid, read_json_lines
from tasks.data.refcoco import check_types
from tasks.data.region_facts import FactRegion, RegionFacts, read_place
from tasks.data.region_records import (
    RegionSample,
    RegionTurn,
    Role,
    SampleRegion,
    check_file,
    check_regions,
    parse_marks,
)
from tasks.data.region_samples import SHORT_ANSWER
from tasks.data.strict_json import JsonValue

Kind: TypeAlias = Literal["conversation", "part", "short_form", "lvis"]
"""Dialogues; questions on parts and their attributes; dialogues with short answers; yes or no."""

_SHORT: Final = ("part", "short_form")
_ROLES: Final[dict[str, Role]] = {"human": "user", "gpt": "assistant"}
_COCO_2014: Final = re.compile(r"COCO_(?:train|val)2014_([0-9]{12}\.jpg)")
_PREFIX: Final = re.compile(r"<region([0-9]{1,9})>:\s*")
_Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CategorizedImage:
    """One image of an evaluation list: regions whose labels are the categories to name."""

    file: str
    size: tuple[int, int]
    """Height and width in pixels."""
    regions: tuple[SampleRegion, ...]

    def __post_init__(self) -> None:
        """Refuse paths and regions that no later code should meet. Raises ValueError."""
        check_file(self.file, self.size)
        check_regions(self.regions, self.size)


def read_osprey_samples(
    path: Path, *, kind: Kind, dataset: str, split: str = "train", coco_2017: bool = False
) -> list[RegionSample]:
    """Read a file of conversations.

    Args:
        path: A list, or JSON lines.
        kind: Of the file. Questions of ``part`` and ``short_form`` do not ask for a short answer themselves:
            ``SHORT_ANSWER`` is added to each.
        dataset: Stands in the samples.
        split: Stands in the samples.
        coco_2017: Names of COCO 2014 become those of 2017, which are of the same images.

    Returns:
        One sample an entry, in order; its id is the place of the entry, from 1, and the entry's own.

    Raises:
        DataError: With file, place and entry, as the header of this module says, or if speakers do not take
            turns or the last word is not the assistant's.
    """
    samples: list[RegionSample] = []
    for number, (where, row) in enumerate(read_json_lines(path), start=1):
        try:
            check_types(row, "a sample", file_name=str, height=int, width=int, annotation=list)
            check_types(row, "a sample", conversations=list)
            regions = read_regions(row["annotation"], (row["height"], row["width"]))
            sample = RegionSample(
                dataset=dataset,
                split=split,
                sample_id=entry_id(row, number),
                file=_file(row["file_name"], coco_2017=coco_2017),
                size=(row["height"], row["width"]),
                regions=regions,
                turns=read_turns(
                    row["conversations"], len(regions), after_question=SHORT_ANSWER if kind in _SHORT else ""
                ),
            )
        except ValueError as error:
            raise invalid(named(where, row), str(error)) from error
        samples.append(sample)
    return samples


def read_osprey_descriptions(
    path: Path, *, dataset: str, split: str = "train", coco_2017: bool = False
) -> list[RegionFacts]:
    """Read a file of detailed descriptions, which has no questions: ``describe_samples`` asks them.

    Args:
        path: A list, or JSON lines; ``description`` has a text ``<region1>: ...`` for each region, in order.
        dataset: Stands in the facts.
        split: Stands in the facts.
        coco_2017: Names of COCO 2014 become those of 2017, which are of the same images.

    Returns:
        Facts in the order of the file, one description a region.

    Raises:
        DataError: With file, place and entry, as the header of this module says, or if there is not one
            description for each region, in order.
    """
    facts: list[RegionFacts] = []
    for number, (where, row) in enumerate(read_json_lines(path), start=1):
        try:
            check_types(row, "a sample", file_name=str, height=int, width=int, annotation=list)
            check_types(row, "a sample", description=list)
            regions = read_regions(row["annotation"], (row["height"], row["width"]))
            texts = _descriptions(row["description"], len(regions))
            facts.append(
                RegionFacts(
                    dataset=dataset,
                    split=split,
                    image_id=entry_id(row, number),
                    file=_file(row["file_name"], coco_2017=coco_2017),
                    size=(row["height"], row["width"]),
                    regions=tuple(
                        FactRegion(region=region, texts=(text,))
                        for region, text in zip(regions, texts, strict=True)
                    ),
                )
            )
        except ValueError as error:
            raise invalid(named(where, row), str(error)) from error
    return facts


def read_category_list(path: Path) -> list[CategorizedImage]:
    """Read an evaluation list, as of LVIS or PACO: ``categories``, and ``annotations`` in the same order.

    Raises:
        DataError: With file, place and image, as the header of this module says, or if there is not one
            category for each region.
    """
    images = []
    for where, row in read_json_lines(path):
        try:
            check_types(row, "an image", file_name=str, height=int, width=int, categories=list)
            check_types(row, "an image", annotations=list)
            names, size = row["categories"], (row["height"], row["width"])
            if len(names) != len(row["annotations"]) or not all(
                isinstance(name, str) and name.strip() for name in names
            ):
                raise ValueError(
                    f"'categories' must be a text for each of {len(row['annotations'])} annotations, "
                    f"got {str(names)[:80]}."
                )
            regions = read_regions(row["annotations"], size, labels=names)
            images.append(CategorizedImage(file=row["file_name"], size=size, regions=regions))
        except ValueError as error:
            raise invalid(named(where, row), str(error)) from error
    return images


def read_regions(
    rows: Sequence[JsonValue], size: tuple[int, int], *, labels: Sequence[str] | None = None
) -> tuple[SampleRegion, ...]:
    """Read annotations of one image.

    Raises:
        ValueError: Naming the region, counted from 1, if it is malformed, empty, or leaves the image.
    """
    if min(size) < 1:
        raise ValueError(f"image size must be positive, got {size[1]}x{size[0]}.")
    regions = []
    for number, row in enumerate(rows, start=1):
        try:
            box, mask = read_place(check_types(row, "an annotation"), size)
            label = None if labels is None else labels[number - 1]
            regions.append(SampleRegion(box_xyxy=box, mask=mask, label=label))
        except ValueError as error:
            raise ValueError(f"<region{number}>: {error}") from error
    return tuple(regions)


def read_turns(
    rows: Sequence[JsonValue], num_regions: int, *, after_question: str = ""
) -> tuple[RegionTurn, ...]:
    """Read ``[{"from": "human" | "gpt", "value": ...}, ...]``.

    Raises:
        ValueError: Naming the turn, counted from 1, if it is malformed or cites a region that is not there,
            or if the last word is not the assistant's.
    """
    turns = []
    for number, row in enumerate(rows, start=1):
        check_types(row, f"turn {number}", value=str)
        role = role_of(row, number)
        text = row["value"] + (after_question if role == "user" else "")
        try:
            turns.append(RegionTurn(role=role, parts=parse_marks(text, num_regions)))
        except ValueError as error:
            raise ValueError(f"turn {number}: {error}") from error
    if not turns or turns[-1].role != "assistant":
        raise ValueError(f"a conversation must end with an answer, got {len(turns)} turns.")
    return tuple(turns)


def role_of(row: _Row, number: int) -> Role:
    """Return who speaks in a turn; raises ValueError, counting from 1."""
    speaker = row.get("from")
    if type(speaker) is not str or speaker not in _ROLES:
        raise ValueError(f"turn {number} must be from 'human' or 'gpt', got {str(speaker)[:40]!r}.")
    return _ROLES[speaker]


def _descriptions(texts: Sequence[JsonValue], num_regions: int) -> list[str]:
    if len(texts) != num_regions:
        raise ValueError(f"'description' has {len(texts)} texts, the sample {num_regions} regions.")
    found = []
    for number, text in enumerate(texts, start=1):
        match = _PREFIX.match(text) if isinstance(text, str) else None
        if match is None or int(match[1]) != number:
            raise ValueError(f"description {number} must begin '<region{number}>:', got {str(text)[:40]!r}.")
        found.append(text[match.end() :].strip())
    return found


def entry_id(row: _Row, number: int) -> str:
    """Name an entry by its place, from 1, and its id if it has one: files repeat ids."""
    return f"{number}/{row['id']}" if "id" in row else str(number)


def _file(name: str, *, coco_2017: bool) -> str:
    match = _COCO_2014.fullmatch(name) if coco_2017 else None
    return match[1] if match else name


def named(where: str, row: JsonValue) -> str:
    """Say where a sample stands and what it is called."""
    name = row.get("id", row.get("file_name")) if isinstance(row, dict) else None
    return where if name is None else f"{where} ({str(name)[:80]})"
