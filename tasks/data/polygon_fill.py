"""Polygons filled as OpenCV fills and outlines them: the rule of data sets that were made with it.

COCO's polygons (``tasks.data.rle``) are filled by another rule, which differs by about half a pixel all along
the border. Here the border belongs to the polygon, rows are filled between every other edge, and an edge that
leaves the image is cut at its border pixel by pixel, where OpenCV cuts the line first: masks are equal if all
corners lie inside the image.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_HALF = 16  # bits behind the point: OpenCV follows an edge in 1/65536 of a pixel


def fill_polygon(points: Sequence[tuple[float, float]], height: int, width: int) -> NDArray[np.bool_]:
    """Fill one polygon.

    Args:
        points: ``(x, y)`` in pixels, at least one; fractions are cut off.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Returns:
        Mask of shape (height, width).

    Raises:
        ValueError: If there is no point, or one is not finite or more than an image away from the image.

    Example:
        >>> fill_polygon([(1, 1), (3, 1), (3, 2)], 4, 5).astype(int).tolist()
        [[0, 0, 0, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]]
    """
    corners = np.array(points, dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or not len(corners):
        raise ValueError(f"points must be pairs, at least one, got an array of shape {corners.shape}.")
    reach = np.array([width, height], dtype=np.float64)
    # Written so that NaN says no.
    if not ((corners >= -reach) & (corners <= 2 * reach)).all():
        raise ValueError(f"a point lies far outside the image of {width}x{height}, or is not finite.")
    pixels = np.trunc(corners).astype(np.int64)
    mask = np.zeros((height, width), dtype=np.bool_)
    _fill_rows(mask, pixels)
    for start, end in zip(pixels, np.roll(pixels, -1, axis=0), strict=True):
        _draw_line(mask, start, end)
    return mask


def _fill_rows(mask: NDArray[np.bool_], pixels: NDArray[np.int64]) -> None:
    """Fill each row between its first and second edge, its third and fourth, and so on."""
    height, width = mask.shape
    start, end = pixels, np.roll(pixels, -1, axis=0)
    start, end = start[start[:, 1] != end[:, 1]], end[start[:, 1] != end[:, 1]]
    is_up = start[:, 1] > end[:, 1]
    start, end = np.where(is_up[:, None], end, start), np.where(is_up[:, None], start, end)
    if not len(start):
        return
    step = np.trunc(((end[:, 0] - start[:, 0]) << _HALF) / (end[:, 1] - start[:, 1])).astype(np.int64)
    for row in range(max(0, int(start[:, 1].min())), min(height, int(end[:, 1].max()))):
        crosses = (start[:, 1] <= row) & (row < end[:, 1])
        places = (start[crosses, 0] << _HALF) + step[crosses] * (row - start[crosses, 1])
        places.sort()
        for left, right in zip(places[::2].tolist(), places[1::2].tolist(), strict=True):
            first = max(0, (left + (1 << _HALF) - 1) >> _HALF)
            mask[row, first : max(first, min(width, (right >> _HALF) + 1))] = True


def _draw_line(mask: NDArray[np.bool_], start: NDArray[np.int64], end: NDArray[np.int64]) -> None:
    """Draw Bresenham's line from left to right, so that both directions give the same pixels."""
    (x, y), (to_x, to_y) = sorted((start.tolist(), end.tolist()), key=lambda point: int(point[0]))
    width, height, down = to_x - x, abs(to_y - y), 1 if to_y >= y else -1
    length = max(width, height)
    along = np.arange(length + 1)
    across = (2 * along * min(width, height) + length - 1) // (2 * length) if length else along
    columns, rows = (x + along, y + down * across) if width >= height else (x + across, y + down * along)
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    mask[rows[inside], columns[inside]] = True
