"""Clicks of "What's the Point": one JSON object, image id -> list of clicks, as the authors write them.

``{"2008_004171": [{"cls": 16, "x": 253.4, "y": 322.4, "rank": 1}], ...}``: x and y in pixels, fractions
included, from the centre of the top left pixel; ``cls`` as in PASCAL VOC, 1 to 20 in the authors' file;
``rank`` N is the N-th click of the worker on that class. The clicks on the background come in a second file
of the same form without ``rank``, whose ``cls`` is 0: others sampled them from scribbles. An image may have
an empty list.

Source: Bearman et al., arXiv 1506.02106; background clicks: Obukhov et al., Gated CRF Loss, arXiv 1906.04651.

A click is drawn as a disc: every pixel whose centre is at most 1.5 pixels from it, so 3x3 pixels around a
click on a pixel centre. Differences to the drawings that are handed around: those round coordinates as their
library does, and where two classes meet the later click wins; here such a pixel has no label (``strokes``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.data.refcoco import check_types
from tasks.data.scribbles import Outside
from tasks.data.strict_json import read_json
from tasks.data.strokes import RADIUS, Drawing, Stroke, draw_strokes
from tasks.errors import DataError

_KEYS = {"cls", "x", "y", "rank"}
_FARTHEST = 1e6
"""Pixels from the image at which a click is a mistake in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """One pixel that somebody named."""

    value: int
    """Class, as it is written into a label map."""
    x: float
    """Pixels from the centre of the first column."""
    y: float
    """Pixels from the centre of the first row."""
    rank: int | None = None
    """Number of the worker's click on this class, from 1; unknown for the background."""


def read_clicks(*paths: Path, num_classes: int = 21) -> dict[str, tuple[Click, ...]]:
    """Read the clicks of every image, e.g. those on objects and those on the background.

    Args:
        paths: JSON files; the clicks of an image are put together in this order.
        num_classes: Classes are 0 to this, exclusive.

    Returns:
        Image id -> clicks, ordered by image id.

    Raises:
        DataError: With file, image and click, if a file is malformed or a class or coordinate is impossible.
            Whether a click lies in its image is known when it is drawn.
        ValueError: If no file is named.
    """
    if not paths:
        raise ValueError("read_clicks needs at least one file.")
    clicks: dict[str, list[Click]] = {}
    for path in paths:
        document = read_json(path)
        if not isinstance(document, dict) or not document:
            raise _invalid(str(path), "must be an object of image ids and their clicks, and not empty.")
        for image_id, rows in document.items():
            if not isinstance(rows, list):
                raise _invalid(f"{path} image {image_id!r}", f"must be a list, got {type(rows).__name__}.")
            for number, row in enumerate(rows, start=1):
                try:
                    clicks.setdefault(image_id, []).append(_click(row, num_classes))
                except ValueError as error:
                    raise _invalid(f"{path} image {image_id!r} click {number}", str(error)) from error
            clicks.setdefault(image_id, [])
    return {image_id: tuple(clicks[image_id]) for image_id in sorted(clicks)}


def draw_clicks(
    clicks: Sequence[Click],
    height: int,
    width: int,
    *,
    source: str,
    radius: float = RADIUS,
    outside: Outside = "refuse",
) -> Drawing:
    """Draw the clicks of one image as discs into a label map.

    Args:
        clicks: Of the image.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        source: What to name in an error, e.g. the image id.
        radius: Of a disc, in pixels.
        outside: ``refuse`` a click outside the image, or ``clip`` its disc at the border. In the published
            files some clicks do lie outside.

    Raises:
        DataError: With the click, if one lies outside and that is refused.
    """
    for number, click in enumerate(clicks, start=1):
        if outside == "refuse" and not (0 <= click.x < width and 0 <= click.y < height):
            raise _invalid(
                f"{source} click {number}",
                f"({click.x:g}, {click.y:g}) of class {click.value} lies outside "
                f"the image of {width}x{height}.",
            )
    strokes = [Stroke(value=click.value, points_xy=np.array([[click.x, click.y]])) for click in clicks]
    return draw_strokes(strokes, height, width, radius=radius)


def _click(row: Any, num_classes: int) -> Click:  # noqa: ANN401 - what a JSON text holds
    check_types(row, "a click", cls=int, x=(int, float), y=(int, float))
    return _checked(row, num_classes)


def _checked(row: Mapping[str, Any], num_classes: int) -> Click:
    if unknown := sorted(row.keys() - _KEYS):
        raise ValueError(f"a click has the keys {sorted(_KEYS)}, got {unknown[0]!r} too.")
    rank = row.get("rank")
    if rank is not None and (type(rank) is not int or rank < 1):
        raise ValueError(f"rank must be a whole number of at least 1, got {rank!r}.")
    if not 0 <= row["cls"] < num_classes:
        raise ValueError(f"cls must be 0 to {num_classes - 1}, got {row['cls']}.")
    if max(abs(row["x"]), abs(row["y"])) > _FARTHEST:
        raise ValueError(f"x and y must be pixels of an image, got ({row['x']:g}, {row['y']:g}).")
    return Click(value=row["cls"], x=float(row["x"]), y=float(row["y"]), rank=rank)


def _invalid(where: str, message: str) -> DataError:
    return DataError(message, obj=where, hint="Correct the file, or fetch it again.")
