"""Weak labels painted on their images, many on one sheet, to be seen before anything learns from them.

Marks are painted two pixels wider on each side than they are, because a point of three pixels vanishes on a
thumbnail.
"""

import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from tasks.data.images import Rgb
from tasks.data.label_maps import PADDING, Labels

_TILE = 300  # pixels: longest side of a picture on the sheet
_GAP, _CAPTION = 8, 18  # pixels between tiles; height of a caption
_FADED = 0.55  # how much of the image is left under the marks
_DENSE, _THIN = 0.6, 0.5  # share of labelled pixels above which colours cover only this much
_QUALITY = 82
_GOLDEN = 0.618033988749895  # steps on the colour circle that never come close to each other soon


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One image with its marks."""

    pixels: Rgb
    labels: Labels
    caption: str


def paint_marks(pixels: Rgb, labels: Labels) -> Rgb:
    """Fade an image towards white and paint its labelled pixels in the colours of their classes.

    Where most pixels are labelled the image shines through the colours.

    Args:
        pixels: RGB of shape (height, width, 3).
        labels: Label map of shape (height, width); padding and unlabelled pixels show the image.

    Raises:
        ValueError: If image and labels do not have one size.
    """
    if pixels.shape[:2] != labels.shape:
        raise ValueError(f"the image has shape {pixels.shape[:2]}, its labels have {labels.shape}.")
    picture = 255.0 - _FADED * (255.0 - pixels.astype(np.float64))
    values = np.where(labels < PADDING, labels.astype(np.int64) + 1, 0)
    wide = ndimage.grey_dilation(values, size=(5, 5))
    marks = np.where(values > 0, values, wide)
    painted = _colours()[np.maximum(marks - 1, 0)]
    cover = _THIN if (values > 0).mean() > _DENSE else 1.0
    picture[marks > 0] += cover * (painted[marks > 0] - picture[marks > 0])
    return np.rint(picture).astype(np.uint8)


def contact_sheet(tiles: Sequence[Tile], *, columns: int = 3) -> bytes:
    """Lay painted images out in rows and return the sheet as JPEG.

    Args:
        tiles: At least one, in reading order.
        columns: Images side by side, at least 1.

    Raises:
        ValueError: If there is no tile, or no column.
    """
    if not tiles or columns < 1:
        raise ValueError(f"a sheet needs a tile and a column, got {len(tiles)} tiles and {columns} columns.")
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    pictures = [[_thumbnail(tile) for tile in row] for row in rows]
    heights = [max(picture.height for picture in row) + _CAPTION for row in pictures]
    wide = min(columns, len(tiles))
    sheet = Image.new("RGB", (wide * (_TILE + _GAP) + _GAP, sum(heights) + _GAP * (len(rows) + 1)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    top = _GAP
    for row, painted, height in zip(rows, pictures, heights, strict=True):
        for place, (tile, picture) in enumerate(zip(row, painted, strict=True)):
            left = _GAP + place * (_TILE + _GAP)
            pen.text((left, top), tile.caption[:48], fill=(60, 60, 60), font=font)
            sheet.paste(picture, (left, top + _CAPTION))
        top += height + _GAP
    stream = io.BytesIO()
    sheet.save(stream, "JPEG", quality=_QUALITY, optimize=True, subsampling="4:2:0")
    return stream.getvalue()


def _thumbnail(tile: Tile) -> Image.Image:
    picture = Image.fromarray(paint_marks(tile.pixels, tile.labels))
    picture.thumbnail((_TILE, _TILE), Image.Resampling.LANCZOS)
    return picture


def _colours() -> NDArray[np.float64]:
    """Give each byte a saturated colour, shape (256, 3); neighbours in number are far apart in hue."""
    hues = (np.arange(256) * _GOLDEN) % 1.0
    return (
        np.array(
            [colorsys.hsv_to_rgb(hue, 1.0, 0.85 if number % 2 else 0.6) for number, hue in enumerate(hues)]
        )
        * 255.0
    )
