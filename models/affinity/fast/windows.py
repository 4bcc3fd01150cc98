"""Affinities of the colour window over parts of images, compiled for the CPU.

The affinity of two pixels is the same in both directions, so only the places of the window that come later in
row-major order are kept, once per image, together with the reciprocal of each pixel's sum. Places outside the
image have affinity zero, so no loop over them asks where the image ends. Loops run along rows of adjacent
numbers, which the compiler turns into vector instructions.

Letters:
    B = images   C = channels   H = height   W = width   P = fields   K = any number of values
    Y, X = rows and columns of a part of an image, with or without a margin
    D = later places of the window: first those to the right, then the rows below, from left to right
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.affinity.fast import workers

Floats = NDArray[np.float32] | NDArray[np.float64]
Ints = NDArray[np.int64]
Offsets = NDArray[np.uint64]
Place = tuple[int, int, int, int]
"""Rows and columns as (top, left, bottom, right); bottom and right are one past the last."""

_ROWS = 16
"""Rows of affinities made at a time, few enough to stay in the cache between the steps."""


class Window(NamedTuple):
    """Affinities in one part of an image."""

    place: Place
    """The part, without its margin."""
    weight_YDX: Floats
    """Affinity of a pixel and each later place. A margin of one reach lies above, left and right."""
    inverse_YX: Floats
    """One over the sum of a pixel's affinities, its own 1 included. Without margin."""


def later_places(reach: int) -> Offsets:
    """List how far down, and how far right of the window's left end, each later place lies.

    They are unsigned, and read from memory: with signed or computed ones the compiler gives up its vectors.

    Example:
        >>> later_places(1).tolist()
        [[0, 2], [1, 0], [1, 1], [1, 2]]
    """
    side = 2 * reach + 1
    return np.array(
        [divmod(place, side) for place in range(reach + 1, side * (reach + 1))], np.uint64
    ).reshape(-1, 2)


def windows(
    guidance_BCHW: Floats, box_P4: Ints, image_P: Ints, reach: int, factor: float
) -> dict[int, Window]:
    """Compute the affinities of each image in the smallest rectangle around the boxes of its fields.

    Args:
        guidance_BCHW: Finite images, C-contiguous.
        box_P4: Place of each field; none is empty.
        image_P: Image of each field.
        reach: Half of ``kernel_size - 1``, at least 0.
        factor: One over the squared colour distance at which the affinity has dropped to 1/e. Normal.

    Returns:
        A window for each image that occurs in ``image_P``.
    """
    parts = {}
    for image in np.unique(image_P).tolist():
        boxes_P4 = box_P4[image_P == image]
        top, left = boxes_P4[:, :2].min(axis=0).tolist()
        bottom, right = boxes_P4[:, 2:].max(axis=0).tolist()
        rows, columns, kind = bottom - top, right - left, guidance_BCHW.dtype
        parts[image] = Window(
            (top, left, bottom, right),
            np.empty((rows + reach, 2 * reach * (reach + 1), columns + 2 * reach), kind),
            np.empty((rows, columns), kind),
        )
    strips = [(image, row) for image, part in parts.items() for row in range(0, len(part.weight_YDX), _ROWS)]
    later_D2 = later_places(reach)

    def weigh(begin: int, end: int) -> None:
        for image, row in strips[begin:end]:
            place, weight_YDX, _ = parts[image]
            last = min(row + _ROWS, len(weight_YDX))
            _distances(guidance_BCHW[image], place, row, weight_YDX[row:last])
            if weight_YDX.dtype == np.float32:
                _exponential_single(weight_YDX[row:last].reshape(-1), np.float32(factor))
            else:
                _exponential_double(weight_YDX[row:last].reshape(-1), np.float64(factor))

    def divide(begin: int, end: int) -> None:
        for image, row in strips[begin:end]:
            _, weight_YDX, inverse_YX = parts[image]
            _reciprocals(weight_YDX[row:], later_D2, inverse_YX[row : row + _ROWS])

    workers.run(weigh, len(strips))
    workers.run(divide, len(strips))
    return parts


@njit(cache=True, nogil=True, fastmath={"contract"})
def _distances(guidance_CHW: Floats, place: Place, first: int, weight_YDX: Floats) -> None:
    """Fill rows from ``first`` on with squared colour distances; infinity stands for a place outside."""
    channels, height, width = guidance_CHW.shape
    top, left, _, right = place
    reach = (weight_YDX.shape[2] - (right - left)) // 2
    for row in range(len(weight_YDX)):
        y, d = top - reach + first + row, 0
        for down in range(reach + 1):
            for aside in range(1 if down == 0 else -reach, reach + 1):
                target_X = weight_YDX[row, d]
                target_X[:] = np.inf
                d += 1
                begin, end = max(left - reach, 0, -aside), min(right + reach, width, width - aside)
                if y < 0 or y + down >= height or begin >= end:
                    continue
                inner_X = target_X[begin - left + reach : end - left + reach]
                inner_X[:] = 0.0
                for c in range(channels):
                    here_X = guidance_CHW[c, y][begin:end]
                    there_X = guidance_CHW[c, y + down][begin + aside : end + aside]
                    for x in range(len(inner_X)):
                        difference = here_X[x] - there_X[x]
                        inner_X[x] += difference * difference


@njit(cache=True, nogil=True, fastmath={"contract"})
def _exponential_single(distance_K: Floats, factor: np.float32) -> None:
    """Replace distances by ``exp(-distance * factor)`` with a relative error below 2e-7; below exp(-32) by 0.

    The power of two goes into the exponent bits, the rest r, at most half of log 2, into the Taylor series:
    its first missing term, r**8 / 8!, is below 1e-8.
    """
    for k in range(len(distance_K)):
        scaled = distance_K[k] * factor
        near = scaled < np.float32(32.0)  # written so that infinity times zero is far
        power = -scaled if near else np.float32(0.0)
        twos = np.floor(power * np.float32(1.44269504) + np.float32(0.5))
        rest = power - twos * np.float32(0.693359375)  # log 2 in two parts; the first has few bits
        rest = rest + twos * np.float32(2.12194440e-4)
        series = rest * np.float32(1 / 5040) + np.float32(1 / 720)
        series = series * rest + np.float32(1 / 120)
        series = series * rest + np.float32(1 / 24)
        series = series * rest + np.float32(1 / 6)
        series = series * rest + np.float32(0.5)
        series = series * rest + np.float32(1.0)
        series = series * rest + np.float32(1.0)
        scale = np.int32((np.int32(twos) + np.int32(127)) << np.int32(23)).view(np.float32)
        distance_K[k] = series * scale if near else np.float32(0.0)


@njit(cache=True, nogil=True)
def _exponential_double(distance_K: Floats, factor: np.float64) -> None:
    """Replace distances by ``exp(-distance * factor)``, by 0 where that has no full precision."""
    for k in range(len(distance_K)):
        scaled = distance_K[k] * factor
        distance_K[k] = np.exp(-scaled) if scaled < 700.0 else 0.0


@njit(cache=True, nogil=True)
def _reciprocals(weight_YDX: Floats, later_D2: Offsets, inverse_YX: Floats) -> None:
    """Write one over the sum of each pixel's affinities; both arrays begin with the same row of pixels."""
    rows, columns = np.uint64(inverse_YX.shape[0]), np.uint64(inverse_YX.shape[1])
    ends = np.uint64(weight_YDX.shape[2]) - columns
    reach = ends // np.uint64(2)
    for y in range(rows):
        inverse_YX[y] = 1
        for d in range(np.uint64(len(later_D2))):
            above, aside = y + reach - later_D2[d, 0], ends - later_D2[d, 1]
            for x in range(columns):
                total = inverse_YX[y, x] + weight_YDX[y + reach, d, x + reach]
                inverse_YX[y, x] = total + weight_YDX[above, d, x + aside]
        for x in range(columns):
            inverse_YX[y, x] = 1 / inverse_YX[y, x]
