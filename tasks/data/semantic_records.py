"""Records for semantic training: which image has which label map, and what the bytes of the label maps mean.

Files are JSON lines, one image each, beside ``classes.json``. Images and label maps may lie under two
different roots: weak labels do not carry the images with them.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.data.importing import check_file_name
from tasks.data.label_maps import PADDING
from tasks.data.refcoco import check_types
from tasks.data.strict_json import JsonValue, parse_json, read_json
from tasks.errors import DataError

CLASSES_SCHEMA = "groundwork.classes/1"
_HEX = set("0123456789abcdef")
_AGAIN = "Make it again with `groundwork data weaken`."


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticRecord:
    """One image and its label map."""

    image: str
    """POSIX path of the image, relative to the folder of the images."""
    label: str
    """POSIX path of the label map, relative to the folder of the label maps."""
    height: int
    """Of both, in pixels."""
    width: int
    """Of both, in pixels."""
    sha256: str
    """Of the image file, in hex."""
    label_sha256: str
    """Of the label map's file, in hex."""
    split: str
    """Name of the split, e.g. ``train``."""

    def __post_init__(self) -> None:
        """Refuse what no later code should meet."""
        for name in ("image", "label"):
            if reason := check_file_name(getattr(self, name)):
                raise ValueError(f"{name} {getattr(self, name)!r} {reason}.")
        if self.height < 1 or self.width < 1:
            raise ValueError(f"image size must be positive, got {self.width}x{self.height}.")
        for name in ("sha256", "label_sha256"):
            value = getattr(self, name)
            if len(value) != 64 or not set(value) <= _HEX:
                raise ValueError(f"{name} must be 64 hex digits, got {value[:80]!r}.")
        if not self.split:
            raise ValueError("split must have a name.")

    @classmethod
    def from_json(cls, value: JsonValue) -> "SemanticRecord":
        """Read one line. Raises ValueError, naming the part that is absent, unknown or of another type."""
        check_types(value, "a record", image=str, label=str, height=int, width=int)
        check_types(value, "a record", sha256=str, label_sha256=str, split=str)
        if unknown := sorted(value.keys() - cls.__dataclass_fields__.keys()):
            raise ValueError(f"a record has no {unknown[0]!r}.")
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """Write one line."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticClasses:
    """What the bytes of a dataset's label maps mean. The place of a class is its index in a model."""

    names: tuple[str, ...]
    values: tuple[int, ...]
    """Byte of each class, 0 to 253."""
    background: tuple[int, ...] = ()
    """Bytes of the classes that are surroundings rather than objects."""
    void: tuple[int, ...] = ()
    """Further bytes of full label maps that are no class."""

    def __post_init__(self) -> None:
        """Refuse tables in which a byte has two meanings or none."""
        if not self.values or len(self.names) != len(self.values):
            raise ValueError(f"needs a name for each class, got {len(self.names)} and {len(self.values)}.")
        numbers = (*self.values, *self.void)
        if wrong := [value for value in numbers if not 0 <= value < PADDING]:
            raise ValueError(f"values must be 0 to {PADDING - 1}, got {wrong[0]}.")
        for what, items in (("value", numbers), ("name", self.names)):
            if len(set(items)) != len(items):
                twice = next(item for item in items if list(items).count(item) > 1)
                raise ValueError(f"{what} {twice!r} stands for two classes.")
        if strange := sorted(set(self.background) - set(self.values)):
            raise ValueError(f"background {strange[0]} is no class.")

    def to_json(self) -> dict[str, Any]:
        """Write ``classes.json``."""
        return {
            "schema": CLASSES_SCHEMA,
            "classes": [
                {"value": value, "name": name, "background": value in self.background}
                for value, name in zip(self.values, self.names, strict=True)
            ],
            "void": list(self.void),
        }

    @classmethod
    def from_json(cls, document: JsonValue) -> "SemanticClasses":
        """Read ``classes.json``. Raises ValueError."""
        check_types(document, "the document", schema=str, classes=list, void=list)
        if document["schema"] != CLASSES_SCHEMA:
            raise ValueError(f"schema is {document['schema']!r}, expected {CLASSES_SCHEMA!r}.")
        if any(type(value) is not int for value in document["void"]):
            raise ValueError(f"void must be whole numbers, got {str(document['void'])[:80]}.")
        rows = [check_named(row, "a class", value=int, background=bool) for row in document["classes"]]
        return cls(
            names=tuple(row["name"] for row in rows),
            values=tuple(row["value"] for row in rows),
            background=tuple(row["value"] for row in rows if row["background"]),
            void=tuple(document["void"]),
        )


def check_named(row: JsonValue, what: str, **types: type) -> dict[str, Any]:
    """Return the row if its parts have these types and it has a ``name``. Raises ValueError."""
    check_types(row, what, **types)
    if type(row.get("name")) is not str or not row["name"]:
        raise ValueError(f"{what} must have a 'name' that is not empty, got {str(row.get('name'))[:80]!r}.")
    return dict(row)


def read_classes(path: Path) -> SemanticClasses:
    """Read ``classes.json``.

    Raises:
        DataError: With the file, if it is no table of classes.
    """
    document = read_json(path)
    try:
        return SemanticClasses.from_json(document)
    except ValueError as error:
        raise DataError(f"is no table of classes: {error}", obj=str(path), hint=_AGAIN) from error


def dump_semantic_records(records: Iterable[SemanticRecord]) -> bytes:
    """Return the lines of a split; equal records give equal bytes."""
    lines = (json.dumps(record.to_json(), allow_nan=False, separators=(",", ":")) for record in records)
    return "".join(f"{line}\n" for line in lines).encode()


def read_semantic_records(path: Path) -> list[SemanticRecord]:
    """Read every record of a split.

    Raises:
        DataError: With file and line, if the file is absent, empty, cut off, malformed, or names an image
            twice.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", obj=str(path), hint=_AGAIN) from error
    if not content.endswith(b"\n"):
        raise DataError("is empty or was cut off: the last line does not end.", obj=str(path), hint=_AGAIN)
    records, seen = [], set()
    for number, line in enumerate(content[:-1].split(b"\n"), start=1):
        where = f"{path} line {number}"
        value = parse_json(line, source=where)
        try:
            record = SemanticRecord.from_json(value)
            if record.image in seen:
                raise ValueError(f"image {record.image!r} appears a second time.")
        except ValueError as error:
            raise DataError(f"is no record: {error}", obj=where, hint=_AGAIN) from error
        seen.add(record.image)
        records.append(record)
    return records
