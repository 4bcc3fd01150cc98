"""Strokes and dots drawn into a label map by one exact rule, the same on every machine.

A pixel belongs to a stroke if its centre is at most ``radius`` away from the polyline; the centre of pixel
(row, column) is the point x = column, y = row. Joints and ends are therefore round, and a polyline of one
point is a disc. With radius 1.5 a level line is three pixels wide and a dot on a pixel centre is 3x3. Drawing
libraries round in other ways, and differently from version to version.

A pixel that strokes of two classes reach has no label: one of them must be wrong.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.data.label_maps import UNLABELLED, Labels

RADIUS = 1.5
"""Half the width, in pixels, with which published scribbles and clicks are drawn."""
_SLACK = 1e-9  # a distance of exactly the radius belongs to the stroke, whatever the rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """One open polyline, or a dot, of one class."""

    value: int
    """Class, 0 to 253, as it is written into a label map."""
    points_xy: NDArray[np.float64]
    """Shape (points, 2), x and y in pixels from the centre of the first pixel; at least one point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Strokes as a label map."""

    labels: Labels
    """Shape (height, width): class, or UNLABELLED."""
    contested: int
    """Pixels that strokes of two classes reach; they are unlabelled."""


def stroke_pixels(
    points_xy: NDArray[np.float64], height: int, width: int, *, radius: float = RADIUS
) -> NDArray[np.bool_]:
    """Find the pixels of one stroke; what lies outside the image is cut off.

    Args:
        points_xy: Shape (points, 2), finite.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        radius: Half the width of the stroke, in pixels.

    Returns:
        Mask of shape (height, width).

    Raises:
        ValueError: If the points do not have that shape or are not finite, or the radius is not positive.
    """
    points = np.asarray(points_xy, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise ValueError(
            f"points_xy must be finite and have the shape (points, 2), got shape {points.shape}."
        )
    if not 0.0 < radius < np.inf:
        raise ValueError(f"radius must be positive, got {radius}.")
    mask = np.zeros((height, width), dtype=np.bool_)
    ends = points[1:] if len(points) > 1 else points
    for start, end in zip(points, ends, strict=False):
        _add_segment(mask, start, end, radius)
    return mask


def _add_segment(
    mask: NDArray[np.bool_], start: NDArray[np.float64], end: NDArray[np.float64], radius: float
) -> None:
    """Mark the pixels within ``radius`` of the segment, looking at its surroundings alone."""
    height, width = mask.shape
    left, top = np.floor(np.minimum(start, end) - radius)
    right, bottom = np.ceil(np.maximum(start, end) + radius)
    rows = np.arange(max(top, 0), min(bottom, height - 1) + 1)
    columns = np.arange(max(left, 0), min(right, width - 1) + 1)
    if not rows.size or not columns.size:
        return
    (x, y), (run, rise) = start, end - start
    away_x, away_y = columns[None, :] - x, rows[:, None] - y
    length = run * run + rise * rise
    along = np.clip((away_x * run + away_y * rise) / length, 0.0, 1.0) if length > 0 else 0.0
    distance = np.hypot(away_x - along * run, away_y - along * rise)
    window = mask[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
    window |= distance <= radius + _SLACK


def draw_strokes(strokes: Iterable[Stroke], height: int, width: int, *, radius: float = RADIUS) -> Drawing:
    """Draw strokes of several classes; their order does not matter.

    Args:
        strokes: At any place; what lies outside is cut off.
        height: Of the image, in pixels.
        width: Of the image, in pixels.
        radius: Half the width of every stroke, in pixels.

    Raises:
        ValueError: If a class is not 0 to 253, or a stroke is malformed.
    """
    by_value: dict[int, NDArray[np.bool_]] = {}
    for stroke in strokes:
        if not 0 <= stroke.value < 254:
            raise ValueError(f"the class of a stroke must be 0 to 253, got {stroke.value}.")
        pixels = stroke_pixels(stroke.points_xy, height, width, radius=radius)
        by_value[stroke.value] = by_value.get(stroke.value, False) | pixels
    labels = np.full((height, width), UNLABELLED, dtype=np.uint8)
    claims = np.zeros((height, width), dtype=np.uint8)
    for value, pixels in by_value.items():
        labels[pixels] = value
        claims += pixels
    contested = claims > 1
    labels[contested] = UNLABELLED
    return Drawing(labels=labels, contested=int(contested.sum()))
