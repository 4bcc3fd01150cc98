"""Arrays out of one block of memory, and a block that each thread keeps to work in.

A page that is touched for the first time costs as much as the work on it, so memory that only serves a
computation is kept by the thread for its next one.
"""

import threading
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LINE = 64
"""Bytes of a cache line: arrays start at one."""
_KEEP = 256 * 2**20
"""Largest block that a thread keeps, in bytes: room to grow a tree of 2,500 x 2,500 pixels."""

_LAYOUTS = 64
"""Ways to cut its block that a thread remembers."""

_Part = tuple[tuple[int, ...], type[np.generic]]
_kept = threading.local()


def allot(*parts: _Part) -> tuple[NDArray[Any], ...]:
    """Return one array, not filled, for each shape and type; the block lives as long as one of them.

    Example:
        >>> [array.shape for array in allot(((2, 3), np.float32), ((5,), np.int32))]
        [(2, 3), (5,)]
    """
    return _carve(np.empty(_size(parts), np.uint8), parts)


def scratch(*parts: _Part) -> tuple[NDArray[Any], ...]:
    """Return arrays as ``allot`` does, in a block of this thread that the next call hands out again."""
    if not hasattr(_kept, "block"):
        _kept.block, _kept.cut = np.empty(0, np.uint8), {}
    arrays: tuple[NDArray[Any], ...] | None = _kept.cut.get(parts)
    if arrays is None:
        size = _size(parts)
        if size > _KEEP:
            return allot(*parts)
        if size > len(_kept.block) or len(_kept.cut) >= _LAYOUTS:
            _kept.block, _kept.cut = np.empty(max(size, len(_kept.block)), np.uint8), {}
        arrays = _kept.cut[parts] = _carve(_kept.block, parts)
    return arrays


def _size(parts: tuple[_Part, ...]) -> int:
    """Sum the bytes of arrays that each start at a cache line."""
    return sum(-(-prod(shape) * np.dtype(kind).itemsize // _LINE) * _LINE for shape, kind in parts)


def _carve(block: NDArray[np.uint8], parts: tuple[_Part, ...]) -> tuple[NDArray[Any], ...]:
    """Cut a block into arrays."""
    arrays, start = [], 0
    for shape, kind in parts:
        size = prod(shape) * np.dtype(kind).itemsize
        arrays.append(block[start : start + size].view(kind).reshape(shape))
        start += -(-size // _LINE) * _LINE
    return tuple(arrays)
