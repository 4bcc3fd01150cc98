"""Image files -> RGB arrays, with every way a file can lie turned into a named problem.

The header is judged before a pixel is decoded, and a file counts as an image only when all of it decodes:
Pillow's ``verify()`` passes a JPEG cut in half.

Conversion to 8-bit RGB: grey and bilevel are repeated in three channels; 16-bit grey is divided by 257 and
rounded; palettes are looked up; CMYK, YCbCr and LAB as Pillow converts them; transparent pixels are laid on
white. The EXIF orientation is never applied: a file that has one is refused, because its boxes may refer to
either reading.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.errors import DataError

MAX_PIXELS = 64_000_000
"""Largest image that is decoded: 192 MB of RGB. Pillow only warns up to 179 million."""
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe"),
    "MPO": (".jpg", ".jpeg", ".jpe", ".mpo"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
}
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
_SIXTEEN_BITS = {"I;16", "I;16L", "I;16B", "I;16N"}
_PLAIN = {"1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "HSV"}
_WITH_ALPHA = {"RGBA", "LA", "PA", "RGBa", "La"}
_ORIENTATION = 0x0112
_DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError, KeyError, TypeError)
_SIGNATURES = {
    b"<!doctype html": "text/html",
    b"<html": "text/html",
    b"<svg": "image/svg+xml",
    b"<?xml": "application/xml",
    b"%pdf": "application/pdf",
    b"pk\x03\x04": "application/zip",
    b"gif8": "image/gif",
    b"{": "application/json",
    b"version https://git-lfs": "a Git LFS pointer",
}

_FETCH = "Fetch or export the file again, or leave it out."
_CURES = {
    "image-missing": "Correct the path, or fetch the file.",
    "image-too-large": "Make the picture smaller, and its annotations with it.",
    "image-wrong-extension": "Give the file the ending of what it holds.",
    "image-animated": "Save one picture of it.",
    "image-exif-rotated": "Save the file without the tag.",
    "image-size-mismatch": "Correct the annotations, or fetch the picture that they were made on.",
    "image-mode": "Save it as 8-bit RGB.",
}

Rgb = NDArray[np.uint8]


class ImageProblem(ValueError):
    """A file that is not the image it claims to be."""

    def __init__(self, rule: str, sentence: str) -> None:
        super().__init__(sentence)
        self.rule, self.sentence = rule, sentence

    def of(self, path: Path) -> DataError:
        """Return what a user is told who asked for this file alone."""
        return DataError(self.sentence, obj=str(path), hint=_CURES.get(self.rule, _FETCH))


def read_rgb(path: Path, *, height: int | None = None, width: int | None = None) -> Rgb:
    """Read one image.

    Args:
        path: JPEG, PNG, WebP, TIFF or BMP.
        height: Expected height in pixels, if known.
        width: Expected width in pixels, if known.

    Returns:
        Array of shape (height, width, 3), dtype uint8.

    Raises:
        DataError: If the file is missing, is not an image, does not decode whole, is rotated by EXIF, or does
            not have the expected size.
    """
    try:
        return decode_image(path, height=height, width=width)
    except ImageProblem as problem:
        raise problem.of(path) from problem


def decode_image(path: Path, *, height: int | None = None, width: int | None = None) -> Rgb:
    """Read one image, as ``read_rgb``, for callers that collect problems.

    Raises:
        ImageProblem: With the code of the broken rule.
    """
    with _opened(path) as image:
        _check_header(image, path)
        _check_size(image, height, width)
        try:
            image.load()
            return _to_rgb(image)
        except _DECODER_ERRORS as error:
            if isinstance(error, ImageProblem):
                raise
            raise _damaged(error) from error


def read_size(path: Path) -> tuple[int, int]:
    """Return height and width of an image from its header, in pixels.

    Raises:
        DataError: If the file is missing, is not an image, or its header is refused.
    """
    try:
        with _opened(path) as image:
            _check_header(image, path)
            return image.height, image.width
    except ImageProblem as problem:
        raise problem.of(path) from problem


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a file by its header alone, with Pillow's warnings about bombs turned into a problem."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=_FORMATS)
    except FileNotFoundError:
        raise ImageProblem("image-missing", "no such file.") from None
    except Image.DecompressionBombError as error:
        raise ImageProblem("image-too-large", f"more than {MAX_PIXELS} pixels: {error}") from error
    except _DECODER_ERRORS:
        _refuse_content(path)
    with image:
        yield image


def _refuse_content(path: Path) -> NoReturn:
    with path.open("rb") as stream:
        content = stream.read(512)
    if not content:
        raise ImageProblem("image-not-an-image", "not an image: the file is empty.")
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    kinds = [kind for signature, kind in _SIGNATURES.items() if start.startswith(signature)]
    unknown = "text/plain" if content.isascii() and b"\0" not in content else "application/octet-stream"
    raise ImageProblem("image-not-an-image", f"not an image: {kinds[0] if kinds else unknown}.")


def _check_header(image: Image.Image, path: Path) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageProblem(
            "image-too-large", f"{width}x{height} is more than {MAX_PIXELS} pixels: refused before decoding."
        )
    kind = image.format or "?"
    if path.suffix.lower() not in SUFFIXES.get(kind, ()):
        raise ImageProblem(
            "image-wrong-extension", f"the content is {kind}, the name ends in {path.suffix!r}."
        )
    if kind != "MPO" and getattr(image, "n_frames", 1) != 1:
        raise ImageProblem("image-animated", "holds more than one picture.")
    if kind == "PNG":  # its EXIF may stand behind the pixels, which Pillow decodes on the way there
        try:
            image.load()
        except _DECODER_ERRORS as error:
            raise _damaged(error) from error
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except _DECODER_ERRORS as error:
        raise ImageProblem("image-undecodable", f"has EXIF data that cannot be read: {error}.") from error
    if orientation not in (0, 1):
        raise ImageProblem(
            "image-exif-rotated",
            f"EXIF orientation is {orientation}: turn the pixels and remove the tag, then check the boxes.",
        )


def _damaged(error: Exception) -> ImageProblem:
    """Say what became of a file whose header is that of an image."""
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return ImageProblem("image-undecodable", "is truncated: it ends before its last pixel.")
    return ImageProblem("image-undecodable", f"is damaged: {str(error).rstrip('.')}.")


def _check_size(image: Image.Image, height: int | None, width: int | None) -> None:
    expected = (width or image.width, height or image.height)
    if image.size != expected:
        raise ImageProblem(
            "image-size-mismatch",
            f"the file is {image.width}x{image.height}, the annotations say {expected[0]}x{expected[1]}.",
        )


def _to_rgb(image: Image.Image) -> Rgb:
    if image.mode in _SIXTEEN_BITS:
        grey = np.rint(np.asarray(image, dtype=np.float64) / 257).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(white, layer)
    elif image.mode not in _PLAIN:
        raise ImageProblem(
            "image-mode", f"pixels of mode {image.mode} have no defined conversion to 8-bit RGB."
        )
    return np.array(image.convert("RGB"), dtype=np.uint8)
