"""Images of the dataset -> small pictures that a page can carry, each decoded once."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tasks.data.images import read_rgb
from tasks.data.records import ImageRecord
from tasks.errors import UnavailableError
from tasks.report.outlines import Ring

View = tuple[int, int, int, int]
"""Left, top, width and height of a part of an image, in pixels."""

_LONGEST_SIDE = 384  # pixels: sharp in a card, soft but readable when opened
_QUALITY = 78
_DIM = 110.0  # of 255: an image whose bright parts stay below is stretched for display


@dataclass(frozen=True, slots=True, kw_only=True)
class Photograph:
    """One decoded image, reduced and, if it is very dark, brightened for the eye only."""

    picture: Image.Image
    gain: float
    """Factor that all channels were multiplied by; 1.0 for an image shown as it is."""

    def data_uri(self) -> str:
        """Encode as a JPEG that needs no file and no network."""
        stream = io.BytesIO()
        self.picture.save(stream, "JPEG", quality=_QUALITY, optimize=True, subsampling="4:2:0")
        return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def load_photograph(dataset: Path, record: ImageRecord) -> Photograph:
    """Decode one image of the dataset.

    Raises:
        UnavailableError: If the file is absent.
        DataError: If it is no image of the record's size.
    """
    picture = _decode(dataset, record)
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    gain = _gain(picture)
    return Photograph(picture=_brightened(picture, gain), gain=gain)


def crop_photographs(
    dataset: Path, record: ImageRecord, views: Sequence[View], *, longest_side: int
) -> list[Photograph]:
    """Decode one image of the dataset once and cut parts out of it, all brightened alike.

    Args:
        dataset: Directory that the record's file is relative to.
        record: Of the image.
        views: Parts in whole pixels, inside the image.
        longest_side: Larger parts are reduced to it; pixels.

    Raises:
        UnavailableError: If the file is absent.
        DataError: If it is no image of the record's size.
    """
    whole = _decode(dataset, record)
    gain, parts = _gain(whole), []
    for left, top, width, height in views:
        part = whole.crop((left, top, left + width, top + height))
        part.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
        parts.append(Photograph(picture=_brightened(part, gain), gain=gain))
    return parts


def _decode(dataset: Path, record: ImageRecord) -> Image.Image:
    path = dataset / record.file
    if not path.is_file():
        raise UnavailableError("is missing.", obj=str(path), hint="Run `groundwork data pull`.")
    return Image.fromarray(read_rgb(path, height=record.height, width=record.width))


def _gain(picture: Image.Image) -> float:
    bright = float(np.percentile(np.asarray(picture.convert("L")), 99.5))
    return 1.0 if bright >= _DIM else min(12.0, 190.0 / max(bright, 1.0))


def _brightened(picture: Image.Image, gain: float) -> Image.Image:
    return picture.point(lambda value: min(255, round(value * gain))) if gain > 1.0 else picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """One outline of a painted picture."""

    rings: tuple[Ring, ...]
    colour: str


def paint_pair(
    photograph: Photograph, record: ImageRecord, sides: tuple[list[Stroke], list[Stroke]], *, size: int
) -> Image.Image:
    """Paint the true and the predicted outlines on two copies of an image, side by side.

    Returns:
        RGB picture of 2 * size + 4 by size pixels.
    """
    pair = Image.new("RGB", (2 * size + 4, size), "#101418")
    ImageDraw.Draw(pair).rectangle((size, 0, size + 3, size), fill="#ffffff")
    for side, strokes in enumerate(sides):
        scale = size / max(record.width, record.height)
        shown = (max(1, round(record.width * scale)), max(1, round(record.height * scale)))
        picture = photograph.picture.resize(shown, Image.Resampling.BILINEAR)
        pen = ImageDraw.Draw(picture)
        for stroke in strokes:
            for ring in stroke.rings:
                corners = [(x * scale / 2, y * scale / 2) for x, y in [*ring.tolist(), ring[0].tolist()]]
                pen.line(corners, fill=stroke.colour, width=2)
        pair.paste(picture, (side * (size + 4) + (size - shown[0]) // 2, (size - shown[1]) // 2))
    return pair


def contact_sheet(
    pairs: list[tuple[str, Image.Image]], *, columns: int, legend: list[tuple[str, str]]
) -> Image.Image:
    """Lay out captioned pairs on one sheet, in reading order, below a legend of (text, colour)."""
    width, height = pairs[0][1].size
    gap, caption, head = 16, 24, 44
    columns, rows = min(columns, len(pairs)), -(-len(pairs) // columns)
    sheet = Image.new(
        "RGB", (gap + columns * (width + gap), head + rows * (height + caption + gap)), "#ffffff"
    )
    pen = ImageDraw.Draw(sheet)
    left = gap
    for text, colour in legend:
        pen.ellipse((left, 16, left + 12, 28), fill=colour)
        pen.text((left + 18, 14), text, fill="#15181c", font_size=14)
        left += 42 + round(pen.textlength(text, font_size=14))
    for index, (text, pair) in enumerate(pairs):
        left = gap + (index % columns) * (width + gap)
        top = head + (index // columns) * (height + caption + gap)
        sheet.paste(pair, (left, top))
        pen.text((left, top + height + 5), text, fill="#15181c", font_size=14)
    return sheet
