"""Images of val that are in train: by id, name, hash, and by looking at them.

A perceptual hash of 64 bits finds copies that were re-encoded, resized or mirrored; because many dark
microscopy images look alike to it, a pair counts only if thumbnails of both correlate as well. Measured on
4,680 pairs of nuclei images in 4 orientations: unrelated pairs differ in at least 16 bits and correlate to
at most 0.40; copies (JPEG quality 20, half and one and a half size, 20 % brighter) differ in at most 8 bits
and correlate to at least 0.94. Crops and neighbouring fields of one slide are not found.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.data.coco import CocoSplit
from tasks.data.findings import Finding

MAX_BITS = 12
"""Most bits in which the hashes of a copy may differ, of 64."""
MIN_CORRELATION = 0.9
"""Least normalised correlation of the thumbnails of a copy."""
_SIDE = 32
T = TypeVar("T", bound=np.generic)
_TURNS = ("copied", "mirrored left to right", "mirrored top to bottom", "turned by half")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one image looks like."""

    obj: str
    """File of the image, for people."""
    sha256: str
    hashes: NDArray[np.uint64]
    """Perceptual hash in each of the 4 orientations, shape (4,)."""
    thumbnail: NDArray[np.float32]
    """Shape (32, 32), zero mean, unit norm; all zero for an image of one colour."""


def look_at(obj: str, sha256: str, rgb: NDArray[np.uint8]) -> Look:
    """Summarise one image of shape (height, width, 3)."""
    from imagehash import phash

    grey = Image.fromarray(rgb).convert("L")
    reduced = np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS))  # what phash does first
    hashes = [
        int(np.packbits(phash(Image.fromarray(turned)).hash.ravel()).view(">u8")[0])
        for turned in _turns(reduced)
    ]
    small = np.asarray(grey.resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float32)
    centred = small - small.mean()
    norm = float(np.linalg.norm(centred))
    thumbnail = centred / norm if norm > 1.0 else np.zeros_like(centred)
    return Look(obj=obj, sha256=sha256, hashes=np.array(hashes, dtype=np.uint64), thumbnail=thumbnail)


def check_looks(train: Sequence[Look], val: Sequence[Look]) -> Iterator[Finding]:
    """Find images of val whose bytes or pixels are in train."""
    if not train:
        return
    same_bytes = {look.sha256: look.obj for look in train}
    hashes = np.array([look.hashes[0] for look in train], dtype=np.uint64)
    for look in val:
        if look.sha256 in same_bytes:
            yield Finding(
                rule="leak-sha256", obj=look.obj, sentence=f"is the same file as {same_bytes[look.sha256]}."
            )
            continue
        bits = np.bitwise_count(hashes[:, None] ^ look.hashes[None, :])
        for index, turn in np.argwhere(bits <= MAX_BITS):
            alike = correlation(train[index].thumbnail, look.thumbnail, int(turn))
            if alike >= MIN_CORRELATION:
                sentence = f"looks like {train[index].obj}, {_TURNS[turn]} (correlation {alike:.3f})."
                yield Finding(rule="leak-look", obj=look.obj, sentence=sentence)
                break


def correlation(first: NDArray[np.float32], second: NDArray[np.float32], turn: int) -> float:
    """Return the normalised correlation in [-1, 1] of two thumbnails, the second turned."""
    return float(np.vdot(first, _turns(second)[turn]))


def check_names(train: CocoSplit, val: CocoSplit) -> Iterator[Finding]:
    """Find image ids and file names that both splits use."""
    for rule, field in (("leak-image-id", "id"), ("leak-file-name", "file_name")):
        known = {repr(row.get(field)) for row in train.images}
        for row in val.images:
            if repr(row.get(field)) in known:
                obj = f"{val.file}: image {row.get('id')!r} ({row.get('file_name')!r})"
                yield Finding(
                    rule=rule, obj=obj, sentence=f"{field} {row.get(field)!r} is also in {train.file}."
                )


def _turns(image: NDArray[T]) -> tuple[NDArray[T], ...]:
    return image, image[:, ::-1], image[::-1], image[::-1, ::-1]
