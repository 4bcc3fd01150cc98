"""Label maps: one PNG per image, one byte per pixel. Full maps, points, scribbles and blocks share the form.

============  =======================================================================
byte          meaning
============  =======================================================================
0 to 253      class, as the dataset numbers it
254           padding: the pixel is not part of the image (``PADDING``)
255           unlabelled: part of the image, class not given (``UNLABELLED``)
============  =======================================================================

Published block labels of Cityscapes and ADE20K write class numbers and 255 (an 8-bit -1); padding has a value
of its own because a loss on unlabelled pixels must not reach it. Towards the model the bytes become signed
targets: class index, -1 for unlabelled, -2 for padding.
"""

import io
import struct
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.data.images import MAX_PIXELS
from tasks.errors import DataError

UNLABELLED = 255
"""Byte of a pixel whose class is not given."""
PADDING = 254
"""Byte of a pixel that is not part of the image."""
IGNORED = -1
"""Target of an unlabelled pixel."""
PADDED = -2
"""Target of a padding pixel."""
_MODES = ("L", "P")  # the palette of P only colours the map for people
_CORRECT = "Write one byte per pixel: the class, 255 for unlabelled, 254 for padding."
_DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, TypeError)

Labels = NDArray[np.uint8]


def read_label_map(
    path: Path, *, values: Collection[int], height: int | None = None, width: int | None = None
) -> Labels:
    """Read one label map.

    Args:
        path: PNG of mode L, or P whose indices are the labels.
        values: Classes that may occur, 0 to 253. UNLABELLED and PADDING may always occur.
        height: Expected height in pixels, if known.
        width: Expected width in pixels, if known.

    Returns:
        Array of shape (height, width), dtype uint8.

    Raises:
        DataError: If the file is missing, is no PNG of one byte per pixel, does not decode whole, has another
            size, or holds a value that is no class.
        ValueError: If ``values`` holds anything but 0 to 253.
    """
    allowed = _table(values)
    labels = _decode(path)
    expected = (height or labels.shape[0], width or labels.shape[1])
    if labels.shape != expected:
        raise _invalid(
            path,
            f"the label map is {labels.shape[1]}x{labels.shape[0]}, "
            f"the image has {expected[1]}x{expected[0]}.",
        )
    if not (known := allowed[labels]).all():
        row, column = (int(place[0]) for place in np.nonzero(~known))
        strange = sorted({int(value) for value in labels[~known]})
        raise _invalid(
            path,
            f"{int((~known).sum())} pixels hold values that are no class: {strange[:10]}, "
            f"the first at row {row}, column {column}.",
        )
    return labels


def encode_label_map(labels: Labels) -> bytes:
    """Return a label map as PNG of mode L; equal maps give equal bytes on one version of Pillow.

    Raises:
        TypeError: If the labels are not uint8.
        ValueError: If they do not have two dimensions, or one is 0.
    """
    if labels.dtype != np.uint8:
        raise TypeError(f"labels must be uint8, got {labels.dtype}.")
    if labels.ndim != 2 or 0 in labels.shape:
        raise ValueError(f"labels must have shape (height, width), got {labels.shape}.")
    stream = io.BytesIO()
    Image.fromarray(labels).save(stream, "PNG", optimize=True)
    return stream.getvalue()


def target_table(values: Sequence[int]) -> NDArray[np.int64]:
    """Return what each byte means to a model.

    Args:
        values: Bytes of the classes; the place of a byte is the class index.

    Returns:
        Shape (256,): class index; IGNORED for UNLABELLED and for a byte that is no class, such as the void of
        a full map; PADDED for PADDING. Readers have refused other bytes.

    Raises:
        ValueError: If a value repeats or is not 0 to 253.
    """
    if len(set(values)) != len(values):
        raise ValueError(
            f"values repeat: {sorted(value for value in set(values) if values.count(value) > 1)}."
        )
    _table(values)
    table = np.full(256, IGNORED, dtype=np.int64)
    table[list(values)] = np.arange(len(values))
    table[PADDING] = PADDED
    return table


def _table(values: Collection[int]) -> NDArray[np.bool_]:
    """Say for each byte whether it may occur."""
    if wrong := sorted(value for value in values if not 0 <= value < PADDING):
        raise ValueError(f"classes must be 0 to {PADDING - 1}, got {wrong[:10]}.")
    allowed = np.zeros(256, dtype=np.bool_)
    allowed[[*values, PADDING, UNLABELLED]] = True
    return allowed


def _decode(path: Path) -> Labels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG",)) as image:
                _check_header(path, image)
                return np.array(image, dtype=np.uint8)
    except FileNotFoundError:
        raise _invalid(path, "no such file.") from None
    except (*_DECODER_ERRORS, Image.DecompressionBombError) as error:
        raise _invalid(path, f"is not a PNG that decodes whole ({type(error).__name__}: {error}).") from error


def _check_header(path: Path, image: Image.Image) -> None:
    """Judge what the header says before a pixel is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise _invalid(path, f"{image.width}x{image.height} is more than {MAX_PIXELS} pixels.")
    if image.mode not in _MODES:
        raise _invalid(path, f"has pixels of mode {image.mode}, a label map has L or P: one byte per pixel.")
    if image.mode == "L" and (bits := _bit_depth(path)) != 8:
        raise _invalid(
            path, f"has {bits} bits per grey pixel, a label map has 8: decoders rescale the others."
        )
    if getattr(image, "n_frames", 1) != 1:
        raise _invalid(path, "holds more than one picture.")


def _bit_depth(path: Path) -> int:
    """Read the ninth byte of the header chunk, which starts at byte 16 of a PNG."""
    with path.open("rb") as stream:
        return stream.read(25)[24]


def _invalid(path: Path, message: str) -> DataError:
    return DataError(message, obj=str(path), hint=_CORRECT)
