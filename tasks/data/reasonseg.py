"""ReasonSeg: beside each ``<name>.jpg`` a ``<name>.json`` with queries and labelled polygons.

Source: Lai et al., "LISA" (arXiv 2308.00692), and the reader released with it. A document has ``text`` (ways
to say one query, of which evaluation uses the first), ``is_sentence`` (a long query) and ``shapes``. A shape
labelled ``target`` is meant; one whose label holds ``ignore`` covers pixels that count neither for nor
against; ``flag`` marks are without meaning and are left out. Where shapes overlap, the smaller one lies on
top. Some files of the release are Windows-1252, not UTF-8.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.ref_masks import IGNORE, MaskExpression, split_labels
from tasks.data.answer_files import check_text
from tasks.data.images import MAX_PIXELS
from tasks.data.label_png import read_label_png
from tasks.data.polygon_fill import fill_polygon
from tasks.data.records import MaskRle
from tasks.data.refcoco import check_types
from tasks.data.rle import encode_mask
from tasks.data.strict_json import JsonValue, parse_json
from tasks.errors import DataError

MAX_POINTS: Final = 100_000
"""Of one shape."""
_TARGET: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonRecord:
    """One query about one image."""

    expression_id: int
    """Place of the file by name, from 1."""
    name: str
    """Of the image and its document, without the ending."""
    split: str
    texts: tuple[str, ...]
    """Ways to say the query; evaluation uses the first."""
    is_sentence: bool
    """A long query; a short one is a phrase."""
    height: int
    width: int
    target: MaskRle
    ignored: MaskRle | None
    """Pixels that count neither for nor against."""

    def to_expression(self) -> MaskExpression:
        """Hand the query to the evaluation, long and short ones as parts of the split."""
        return MaskExpression(
            expression_id=self.expression_id,
            image_id=self.expression_id,
            split=self.split,
            height=self.height,
            width=self.width,
            target=self.target.to_json(),
            ignored=None if self.ignored is None else self.ignored.to_json(),
            subset="long" if self.is_sentence else "short",
        )


def read_reasonseg(folder: Path, *, split: str) -> list[ReasonRecord]:
    """Read every query of a folder.

    Args:
        folder: Holds ``<name>.json`` and ``<name>.jpg``. Of a picture no more than its header is read.
        split: Name of the split, e.g. ``val``; the files do not tell.

    Raises:
        DataError: With the file, if a document is malformed, its picture is missing, a label is unknown, or a
            shape is no polygon or lies far outside the picture.
    """
    if not folder.is_dir():
        raise _invalid(folder, "is not a directory.")
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise _invalid(folder, "holds no .json file.")
    alone = sorted(path.name for path in folder.glob("*.jpg") if not path.with_suffix(".json").exists())
    if alone:
        raise _invalid(folder, f"{len(alone)} pictures have no document, first: {alone[:10]}.")
    records = []
    for number, path in enumerate(paths, start=1):
        value = _read_document(path)
        height, width = _picture_size(path.with_suffix(".jpg"))
        try:
            records.append(_record(value, number, path.stem, split, (height, width)))
        except ValueError as error:
            raise _invalid(path, str(error)) from error
    return records


def read_reason_masks(folder: Path, records: list[ReasonRecord]) -> Mapping[int, Mapping[str, Any] | None]:
    """Read the masks a model gives: ``<name>.png`` for each query, 0 outside and 1 or 255 inside.

    Returns:
        Id of an expression -> its mask; None where there is no file, which scores 0.

    Raises:
        DataError: If a file is of no query, has another size than its picture, or holds another number.
    """
    if not folder.is_dir():
        raise _invalid(folder, "is not a directory.")
    known = {f"{record.name}.png" for record in records}
    extra = sorted(path.name for path in folder.iterdir() if path.name not in known)
    if extra:
        raise _invalid(folder, f"{len(extra)} files are of no query, first: {extra[:10]}.")
    masks: dict[int, Mapping[str, Any] | None] = {}
    for record in records:
        path = folder / f"{record.name}.png"
        masks[record.expression_id] = None
        if path.exists():
            numbers = read_label_png(path, "index", height=record.height, width=record.width)
            other = numbers[~np.isin(numbers, (0, 1, 255))]
            if other.size:
                raise _invalid(path, f"must hold 0 outside and 1 or 255 inside, got {int(other[0])}.")
            masks[record.expression_id] = encode_mask(numbers > 0).to_json()
    return masks


def _record(value: JsonValue, number: int, name: str, split: str, size: tuple[int, int]) -> ReasonRecord:
    check_types(value, "the document", text=list, is_sentence=bool, shapes=list)
    if not value["text"] or not all(isinstance(text, str) for text in value["text"]):
        raise ValueError("text must be a list of texts, and not empty.")
    for text in value["text"]:
        check_text("text", text)
    target, ignored = split_labels(_paint(value["shapes"], size))
    return ReasonRecord(
        expression_id=number,
        name=name,
        split=split,
        texts=tuple(value["text"]),
        is_sentence=value["is_sentence"],
        height=size[0],
        width=size[1],
        target=encode_mask(target),
        ignored=encode_mask(ignored) if ignored.any() else None,
    )


def _paint(shapes: list[JsonValue], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Paint the shapes, the smallest last; of two with equal areas the one listed first."""
    layers = []
    for place, shape in enumerate(shapes, start=1):
        try:
            check_types(shape, "a shape", label=str, points=list, shape_type=(str, type(None)))
            label = _label(shape["label"])
            if label is not None:
                layers.append((label, _fill(shape, size)))
        except ValueError as error:
            raise ValueError(f"shape {place}: {error}") from error
    labels = np.zeros(size, dtype=np.uint8)
    areas = [int(mask.sum()) for _, mask in layers]
    for place in np.argsort(areas, kind="stable")[::-1].tolist():
        labels[layers[place][1]] = layers[place][0]
    return labels


def _label(label: str) -> int | None:
    word = label.lower()
    if word == "flag":
        return None
    if "ignore" in word:
        return IGNORE
    if word == "target":
        return _TARGET
    raise ValueError(f"label must be target, ignore or flag, got {label[:80]!r}.")


def _fill(shape: dict[str, Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    points = shape["points"]
    if shape.get("shape_type") not in (None, "polygon"):
        raise ValueError(f"shape_type must be polygon, got {shape['shape_type'][:80]!r}.")
    if not 3 <= len(points) <= MAX_POINTS:
        raise ValueError(f"a polygon must have 3 to {MAX_POINTS} points, got {len(points)}.")
    for point in points:
        if (
            type(point) is not list
            or len(point) != 2
            or any(type(part) not in (int, float) for part in point)
        ):
            raise ValueError("a point must be two numbers.")
    return fill_polygon(points, *size)


def _read_document(path: Path) -> JsonValue:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _invalid(path, f"cannot be read: {error.strerror}.") from error
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        try:
            content = content.decode("cp1252").encode("utf-8")
        except UnicodeDecodeError as error:
            raise _invalid(path, f"is neither UTF-8 nor Windows-1252: {error}.") from error
    return parse_json(content, source=str(path))


def _picture_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path, formats=("JPEG",)) as image:
            width, height = image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _invalid(path, f"is no JPEG whose size can be read: {type(error).__name__}.") from error
    if width * height > MAX_PIXELS:
        raise _invalid(path, f"{width}x{height} is more than {MAX_PIXELS} pixels.")
    return height, width


def _invalid(path: Path, message: str) -> DataError:
    return DataError(message, obj=str(path), hint="Correct the file, or fetch it again.")
