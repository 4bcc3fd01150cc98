"""PNG files that hold labels, not pictures: the numbers in the file and nothing else.

A reader of pictures may change numbers on the way: Pillow stretches grey of 1, 2 or 4 bits to 8, and halves
16-bit colour. So depth and kind are read from the header first, and a file is taken only if every pixel comes
out as it was written. A palette stands for its indices: the colours are for the eye.
"""

import struct
import warnings
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.data.images import MAX_PIXELS
from tasks.errors import DataError

Kind = Literal["index", "colour"]
"""``index``: grey of 8 or 16 bits, or a palette. ``colour``: red, green and blue of 8 bits."""

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR, _PALETTE = 0, 2, 3
_KINDS: Final[dict[Kind, frozenset[tuple[int, int]]]] = {
    "index": frozenset({(8, _GREY), (16, _GREY), (1, _PALETTE), (2, _PALETTE), (4, _PALETTE), (8, _PALETTE)}),
    "colour": frozenset({(8, _COLOUR)}),
}
_NAMES: Final = {
    _GREY: "grey",
    _COLOUR: "colour",
    _PALETTE: "palette",
    4: "grey and alpha",
    6: "colour and alpha",
}
_EXPECTED: Final = {"index": "grey of 8 or 16 bits, or a palette", "colour": "colour of 8 bits"}


def read_label_png(
    path: Path, kind: Kind, *, height: int | None = None, width: int | None = None
) -> NDArray[np.int32]:
    """Read the numbers of a PNG file.

    Args:
        path: The file. No more of it is read than its header, unless that is what it should be.
        kind: What the file must hold.
        height: Expected height in pixels, if known.
        width: Expected width in pixels, if known.

    Returns:
        Integers of shape (height, width), or (height, width, 3) for ``colour``; int32.

    Raises:
        DataError: If the file is missing, is no PNG, does not decode whole, has another kind or depth, is
            animated, has more than ``MAX_PIXELS`` pixels, or does not have the expected size.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(33)
    except OSError as error:
        raise _invalid(path, f"cannot be read: {error.strerror}.") from error
    if len(head) < 33 or head[:8] != _SIGNATURE or head[12:16] != b"IHDR":
        raise _invalid(path, "is not a PNG file.")
    columns, rows, depth, colour = struct.unpack(">IIBB", head[16:26])
    if (depth, colour) not in _KINDS[kind]:
        raise _invalid(
            path,
            f"holds {_NAMES.get(colour, 'pixels of kind ' + str(colour))} of {depth} bits, labels need "
            f"{_EXPECTED[kind]}: another kind would be converted on the way.",
        )
    if not 0 < rows * columns <= MAX_PIXELS:
        raise _invalid(
            path, f"{columns}x{rows} is not from 1 to {MAX_PIXELS} pixels: refused before decoding."
        )
    if (columns, rows) != (width or columns, height or rows):
        raise _invalid(
            path, f"the file is {columns}x{rows}, {width or columns}x{height or rows} is expected."
        )
    return _decode(path)


def _decode(path: Path) -> NDArray[np.int32]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG",)) as image:
                if getattr(image, "n_frames", 1) != 1:
                    raise _invalid(path, "holds more than one picture.")
                image.load()
                return np.asarray(image).astype(np.int32)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise _invalid(path, f"does not decode whole: {error}.") from error


def _invalid(path: Path, message: str) -> DataError:
    return DataError(message, obj=str(path), hint="Correct the file, or make it again.")
