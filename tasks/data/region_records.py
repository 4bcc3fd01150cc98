"""Conversations about regions of an image as records: what is said, and where a region stands in it.

Text is text: what looks like a tag in it means nothing. A region stands in a turn as a ``RegionMark``,
which counts from 0; names such as ``region1`` exist only in files and in what a model reads. Boxes are
``(left, top, right, bottom)`` in pixels of the original image.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tasks.data.importing import check_file_name
from tasks.data.records import MaskRle, check_box
from tasks.data.rle import mask_area, mask_box

MAX_REGIONS: Final = 100
"""Of one sample."""
MAX_CHARACTERS: Final = 100_000
"""Of one piece of text."""
MARK: Final = re.compile(r"<region([0-9]{1,9})>")
"""How files cite a region, counted from 1."""

Role: TypeAlias = Literal["user", "assistant"]
Source: TypeAlias = Literal["truth", "proposal"]
Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class RegionMark:
    """A region that stands in a turn."""

    index: int
    """Its place among the regions of the sample, from 0."""


Part: TypeAlias = str | RegionMark


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionTurn:
    """What one side says."""

    role: Role
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        """Refuse a turn that says nothing, and text that no tokenizer should meet. Raises ValueError."""
        if self.role not in ("user", "assistant"):
            raise ValueError(f"role must be 'user' or 'assistant', got {self.role!r}.")
        texts = [part for part in self.parts if isinstance(part, str)]
        if len(texts) == len(self.parts) and not any(text.strip() for text in texts):
            raise ValueError(f"a turn of the {self.role} says nothing.")
        for text in texts:
            check_words(text)

    @property
    def marks(self) -> tuple[int, ...]:
        """Indices of the regions that stand in it, in order."""
        return tuple(part.index for part in self.parts if isinstance(part, RegionMark))


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRegion:
    """One region of the image."""

    box_xyxy: Box | None = None
    mask: MaskRle | None = None
    """Has a pixel."""
    label: str | None = None
    """Its category, if known."""
    source: Source = "truth"
    """Whether people say where it is, or a model."""

    def __post_init__(self) -> None:
        """Refuse a region without a place. Raises ValueError."""
        if self.box_xyxy is None and self.mask is None:
            raise ValueError("a region must have a box, a mask, or both.")
        if self.box_xyxy is not None:
            check_box(self.box_xyxy)
        if self.mask is not None and mask_area(self.mask) == 0:
            raise ValueError("the mask is empty: no pixel belongs to it.")
        if self.label is not None:
            check_words(self.label)
        if self.source not in ("truth", "proposal"):
            raise ValueError(f"source must be 'truth' or 'proposal', got {self.source!r}.")

    def box(self) -> Box:
        """Return the box, or the tight one of the mask."""
        box = self.box_xyxy
        if box is None and self.mask is not None:
            box = mask_box(self.mask)
        assert box is not None  # a region has a box, or a mask with a pixel
        return box


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSample:
    """One conversation about at most one image."""

    dataset: str
    split: str
    """Empty where there is none."""
    sample_id: str
    """Unique in its dataset and split."""
    file: str | None
    """POSIX path of the image in its dataset; None: a conversation without an image."""
    size: tuple[int, int] | None
    """Height and width of the image in pixels; None where the source does not tell, then without regions."""
    regions: tuple[SampleRegion, ...] = ()
    turns: tuple[RegionTurn, ...]
    """User and assistant in turn, the user first. If the user has the last word, it is a question."""

    def __post_init__(self) -> None:
        """Refuse what no later code should meet. Raises ValueError."""
        if not self.dataset or not self.sample_id:
            raise ValueError("a sample must have a dataset and an id.")
        check_file(self.file, self.size)
        check_regions(self.regions, self.size)
        if not self.turns:
            raise ValueError("a sample must have a turn.")
        for number, turn in enumerate(self.turns):
            if turn.role != ("user", "assistant")[number % 2]:
                raise ValueError(f"turn {number + 1} is of the {turn.role}; user and assistant take turns.")
            for index in turn.marks:
                if not 0 <= index < len(self.regions):
                    raise ValueError(
                        f"turn {number + 1} cites <region{index + 1}>, the sample has {len(self.regions)}."
                    )


def parse_marks(text: str, num_regions: int) -> tuple[Part, ...]:
    """Split text at ``<region1>``, ``<region2>``, ...; anything else that looks like a tag stays text.

    Args:
        text: What a file says.
        num_regions: Of the sample.

    Raises:
        ValueError: If a region is cited that is not there.

    Example:
        >>> parse_marks("Is <region2> a <b>cup</b>?", 2)
        ('Is ', RegionMark(index=1), ' a <b>cup</b>?')
    """
    parts: list[Part] = []
    place = 0
    for match in MARK.finditer(text):
        if not 1 <= int(match[1]) <= num_regions:
            raise ValueError(f"cites {match[0]}, the sample has {num_regions} regions.")
        parts += [text[place : match.start()], RegionMark(int(match[1]) - 1)]
        place = match.end()
    return tuple(part for part in (*parts, text[place:]) if part != "")


def region_name(index: int) -> str:
    """Return what a region is called in words, from its place among the regions of the sample."""
    return f"region{index + 1}"


def check_words(text: str) -> None:
    """Refuse endless text and halves of characters. Raises ValueError."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"text may have {MAX_CHARACTERS} characters, got {len(text)}.")
    if any(unicodedata.category(letter) == "Cs" for letter in text):
        raise ValueError(f"text holds half a character: {text[:60]!a}.")


def check_file(file: str | None, size: tuple[int, int] | None) -> None:
    """Refuse a path that leaves the dataset, and a size without pixels. Raises ValueError."""
    if file is not None and (reason := check_file_name(file)):
        raise ValueError(f"file {file[:200]!r} {reason}.")
    if size is not None and (file is None or min(size) < 1):
        raise ValueError(f"size must be positive, and that of an image, got {size} of {file}.")


def check_regions(regions: Sequence[SampleRegion], size: tuple[int, int] | None) -> None:
    """Refuse too many regions, and regions outside the image. Raises ValueError, counting from 1."""
    if len(regions) > MAX_REGIONS:
        raise ValueError(f"a sample may have {MAX_REGIONS} regions, got {len(regions)}.")
    if regions and size is None:
        raise ValueError("a sample with regions must have an image of known size.")
    for number, region in enumerate(regions, start=1):
        if reason := outside(region, size or (0, 0)):
            raise ValueError(f"region {number}: {reason}")


def outside(region: SampleRegion, size: tuple[int, int]) -> str | None:
    """Say how a region does not lie in an image of that height and width, or None."""
    height, width = size
    mask, box = region.mask, region.box_xyxy
    if mask is not None and (mask.height, mask.width) != size:
        return f"the mask has {mask.width}x{mask.height} pixels, the image {width}x{height}."
    if box is not None and (box[2] > width or box[3] > height):
        return f"box {box} lies outside the image of {width}x{height}."
    return None
