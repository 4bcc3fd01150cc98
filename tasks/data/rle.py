"""Masks <-> COCO run lengths. Every count is checked in Python before an array or C code sees it.

COCO writes run lengths column by column, background first, as characters: six bits each from ``"0"``, five
of them digits (least significant first), one saying "more follows"; from the fourth number on, the
difference to the number two places before.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from tasks.data.records import MaskRle

MAX_PIXELS = 1 << 28
"""Largest mask that is decoded. A size of 10^6 x 10^6 would ask for 931 GiB."""
_MAX_CHARACTERS = 7  # of one number: 35 bits, more than any run in MAX_PIXELS
_MARGIN = 1.0  # pixels that a polygon may lie outside its image


def encode_mask(mask: NDArray[np.bool_]) -> MaskRle:
    """Encode a bool mask of shape (height, width).

    Raises:
        TypeError: If the mask is not bool.
        ValueError: If it does not have two dimensions, or one is 0.
    """
    if mask.dtype != np.bool_:
        raise TypeError(f"mask must be bool, got {mask.dtype}.")
    if mask.ndim != 2 or 0 in mask.shape:
        raise ValueError(f"mask must have shape (height, width), got {mask.shape}.")
    rle = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))
    return MaskRle(height=mask.shape[0], width=mask.shape[1], counts=rle["counts"].decode("ascii"))


def decode_mask(rle: MaskRle) -> NDArray[np.bool_]:
    """Decode to a bool mask of shape (height, width).

    Raises:
        ValueError: If the counts are malformed or do not fill the mask exactly.
    """
    runs = run_lengths(rle)
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(rle.width, rle.height).T


def mask_area(rle: MaskRle) -> int:
    """Count the pixels of a mask without decoding it.

    Raises:
        ValueError: If the counts are malformed or do not fill the mask exactly.
    """
    return int(run_lengths(rle)[1::2].sum())


def mask_box(rle: MaskRle) -> tuple[float, float, float, float] | None:
    """Return the tight ``(left, top, right, bottom)`` of a mask in pixels, or None if it is empty.

    Raises:
        ValueError: If the counts are malformed or do not fill the mask exactly.
    """
    runs = run_lengths(rle)
    ends = np.cumsum(runs)
    first, last = ends[:-1:2], ends[1::2] - 1  # first and last pixel of each run inside, column by column
    first, last = first[last >= first], last[last >= first]
    if first.size == 0:
        return None
    spans_columns = first // rle.height != last // rle.height
    top = 0 if spans_columns.any() else int((first % rle.height).min())
    bottom = rle.height if spans_columns.any() else int((last % rle.height).max()) + 1
    return float(first[0] // rle.height), float(top), float(last[-1] // rle.height + 1), float(bottom)


def run_lengths(rle: MaskRle) -> NDArray[np.int64]:
    """Decode the counts to run lengths in pixels: background, mask, background, ...

    Raises:
        ValueError: If a size, a character or a run is impossible, or the runs do not sum to height x width.
    """
    check_size(rle.height, rle.width)
    if not rle.counts or not rle.counts.isascii():
        raise ValueError(f"counts must be ASCII text that is not empty, got {rle.counts[:20]!r}.")
    codes = np.frombuffer(rle.counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - ord("0")
    if codes.min() < 0 or codes.max() > 63:
        raise ValueError("counts hold a character outside '0' to 'o'.")
    ends = np.flatnonzero(codes & 32 == 0)
    if ends.size == 0 or ends[-1] != len(codes) - 1:
        raise ValueError("counts end in the middle of a number.")
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    if sizes.max() > _MAX_CHARACTERS:
        raise ValueError(f"counts hold a number of {sizes.max()} characters.")
    digit = np.arange(len(codes)) - np.repeat(starts, sizes)
    runs = np.add.reduceat((codes & 31) << (5 * digit), starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << (5 * sizes), 0)
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    return _checked_runs(runs, rle.height, rle.width)


def from_runs(runs: Sequence[int], height: int, width: int) -> MaskRle:
    """Encode uncompressed run lengths in pixels, as COCO writes for crowds.

    Raises:
        ValueError: If a run is negative or the runs do not sum to height x width.
    """
    check_size(height, width)
    if max(runs, default=0) > MAX_PIXELS:
        raise ValueError(f"counts hold a run of {max(runs)}, the mask has {height * width} pixels.")
    lengths = _checked_runs(np.array(runs, dtype=np.int64), height, width)
    inside = np.arange(len(lengths)) % 2 == 1
    return encode_mask(np.repeat(inside, lengths).reshape(width, height).T)


def from_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> MaskRle:
    """Fill polygons ``[x1, y1, x2, y2, ...]`` in pixels, as pycocotools does, and unite them.

    Raises:
        ValueError: If a polygon is malformed or leaves the image: coordinates of 1e9 crash the C code.
    """
    check_size(height, width)
    if not polygons:
        raise ValueError("no polygon.")
    for polygon in polygons:
        check_polygon(polygon, height, width)
    parts = coco_mask.frPyObjects(
        [[float(number) for number in polygon] for polygon in polygons], height, width
    )
    counts = coco_mask.merge(parts)["counts"].decode("ascii")
    return MaskRle(height=height, width=width, counts=counts)


def check_polygon(polygon: Sequence[float], height: int, width: int) -> None:
    """Refuse a polygon that the C code must not see.

    Raises:
        ValueError: If it has an odd count, fewer than 6 numbers, one that is not a finite number, or one that
            lies more than one pixel outside the image.
    """
    if any(isinstance(number, bool) or not isinstance(number, int | float) for number in polygon):
        raise ValueError("a polygon must be a list of numbers.")
    points = np.array(polygon, dtype=np.float64)
    if points.size < 6 or points.size % 2:
        raise ValueError(f"a polygon must have an even count of at least 6 numbers, got {points.size}.")
    if not np.isfinite(points).all():
        raise ValueError("a polygon holds a number that is not finite.")
    x, y = points[0::2], points[1::2]
    if min(x.min(), y.min()) < -_MARGIN or x.max() > width + _MARGIN or y.max() > height + _MARGIN:
        raise ValueError(
            f"a polygon spans x {x.min():g} to {x.max():g}, y {y.min():g} to {y.max():g}: "
            f"outside the image of {width}x{height}."
        )


def check_size(height: int, width: int) -> None:
    """Refuse a mask without a pixel, and one that no memory holds, before it is made.

    Raises:
        ValueError: With the size, if it is not 1 to ``MAX_PIXELS`` pixels.
    """
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"mask size must be 1 to {MAX_PIXELS} pixels, got {width}x{height}.")


def _checked_runs(runs: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
    if runs.size == 0 or runs.min() < 0:
        raise ValueError("counts hold a negative run, or none.")
    if runs.max() > height * width or runs.sum() != height * width:
        raise ValueError(
            f"counts fill {runs.sum()} pixels, the mask of {width}x{height} has {height * width}."
        )
    return runs
