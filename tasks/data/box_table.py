"""The boxes of a COCO file on disk, to be read image by image: memory does not grow with the file.

A file is checked while it is copied into SQLite, by the rules of ``groundwork data check`` that speak of ids,
names and boxes. Masks and areas are left behind unread: an area is that of a mask as often as not.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.coco import clip_box
from tasks.data.findings import Findings
from tasks.data.importing import check_file_name
from tasks.data.json_stream import JsonStream, Part
from tasks.data.strict_json import JsonValue
from tasks.data.validators_geometry import check_bbox
from tasks.data.validators_tables import is_id
from tasks.errors import DataError

UNREAD = ("segmentation", "area")
"""Keys of an annotation that say something of its mask."""
RESERVED = ("score", "method", "reason")
"""Keys of an annotation that pseudo-labels will have."""
_TABLES = ("images", "annotations", "categories")
_NEEDED = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}
_LONGEST_SIDE = 1 << 20
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE images (place INTEGER PRIMARY KEY, id INTEGER UNIQUE, file TEXT UNIQUE, row TEXT);
CREATE TABLE annotations (place INTEGER PRIMARY KEY, id INTEGER UNIQUE, image INTEGER, category, row TEXT);
CREATE TABLE categories (place INTEGER PRIMARY KEY, id INTEGER UNIQUE, row TEXT);
CREATE TABLE rest (key TEXT, value TEXT);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxImage:
    """One image with its annotations, as they were written but for ``UNREAD``."""

    row: dict[str, Any]
    annotations: tuple[dict[str, Any], ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.row["height"], self.row["width"]

    def box_xyxy(self, annotation: Mapping[str, Any]) -> tuple[float, float, float, float]:
        """Return the corners of one box, ended at the image's border."""
        return clip_box(annotation["bbox"], *self.size)


def index_boxes(path: Path, database: Path) -> str:
    """Copy a COCO file into a new database, checking every row.

    Args:
        path: COCO instances, with or without masks.
        database: File to create.

    Returns:
        The sha256 of the file in hex.

    Raises:
        DataError: If the file is not strict JSON or a rule is broken; names the first rows of each rule.
    """
    _refuse_results(path)
    stream, findings = JsonStream(path, _TABLES), Findings()
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(_SCHEMA)
        for part in stream.parts():
            _insert(connection, part, findings)
        connection.execute("CREATE INDEX of_image ON annotations (image)")
        _check_references(connection, findings)
        _check_boxes(connection, findings)
        connection.commit()
    if findings.total:
        raise DataError(
            "\n  ".join([f"{findings.summary()}.", *findings.lines()]),
            obj=str(path),
            hint="Correct the file and run the same command again.",
        )
    return stream.sha256


class BoxTable:
    """An indexed file, for reading; also by several processes at once.

    Args:
        database: Made by ``index_boxes``.
    """

    def __init__(self, database: Path) -> None:
        self._connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro&immutable=1", uri=True)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def count(self) -> int:
        """Count the images."""
        return int(self._connection.execute("SELECT COUNT(*) FROM images").fetchone()[0])

    def images(self, start: int = 0, stop: int | None = None) -> Iterator[BoxImage]:
        """Read images in the order of the file, those at places ``start`` to ``stop - 1``."""
        limit = self.count() if stop is None else stop
        query = "SELECT id, row FROM images WHERE place >= ? AND place < ? ORDER BY place"
        for image_id, row in self._connection.execute(query, (start, limit)):
            found = self._connection.execute(
                "SELECT row FROM annotations WHERE image = ? ORDER BY place", (image_id,)
            )
            yield BoxImage(row=json.loads(row), annotations=tuple(json.loads(text) for (text,) in found))

    def image_rows(self) -> Iterator[dict[str, Any]]:
        """Read the rows of all images in the order of the file."""
        for (row,) in self._connection.execute("SELECT row FROM images ORDER BY place"):
            yield json.loads(row)

    def image(self, image_id: int) -> dict[str, Any]:
        """Read the row of one image."""
        found = self._connection.execute("SELECT row FROM images WHERE id = ?", (image_id,)).fetchone()
        row: dict[str, Any] = json.loads(found[0])
        return row

    def categories(self) -> list[dict[str, Any]]:
        """Read all categories."""
        found = self._connection.execute("SELECT row FROM categories ORDER BY place")
        return [json.loads(text) for (text,) in found]

    def rest(self) -> dict[str, JsonValue]:
        """Read every other key of the document."""
        found = self._connection.execute("SELECT key, value FROM rest ORDER BY rowid")
        return {json.loads(key): json.loads(text) for key, text in found}


def _refuse_results(path: Path) -> None:
    """Tell a file of results, which is a list, from a file of boxes."""
    try:
        with path.open("rb") as stream:
            start = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError:
        return  # the reader says why
    if start.startswith(b"["):
        raise DataError(
            "is a list, as files of results are: it does not say which images and categories there are.",
            obj=str(path),
            hint="Put its rows under 'annotations' of the file with 'images' and 'categories' that they are "
            "about, give each an 'id', and rename 'score', e.g. to 'box_score': it is kept.",
        )


def _insert(connection: sqlite3.Connection, part: Part, findings: Findings) -> None:
    if part.entry is None:
        if part.key == "info" and not isinstance(part.value, dict):
            findings.add("info-invalid", "info", f"must be an object, got {str(part.value)[:40]!r}.")
        elif part.key == "info" and "groundwork" in part.value:
            findings.add("key-reserved", "info", "has the key 'groundwork': these are pseudo-labels already.")
        connection.execute("INSERT INTO rest VALUES (?, ?)", (_dump(part.key), _dump(part.value)))
        return
    row, label = part.value, f"{part.key} entry {part.entry}"
    missing = [name for name in _NEEDED[part.key] if name not in row]
    if missing:
        findings.add("field-missing", label, f"lacks {', '.join(missing)}.")
        return
    if not is_id(row["id"]):
        findings.add("id-invalid", label, f"id must be an integer of at least 1, got {row['id']!r}.")
        return
    problem = _CHECKS[part.key](row)
    if problem is not None:
        findings.add(problem[0], f"{label}, id {row['id']}", problem[1])
        return
    if part.key == "annotations":
        kept = {name: value for name, value in row.items() if name not in UNREAD}
        values: tuple[Any, ...] = (part.entry, row["id"], row["image_id"], row["category_id"], _dump(kept))
    elif part.key == "images":
        values = (part.entry, row["id"], row["file_name"], _dump(row))
    else:
        values = (part.entry, row["id"], _dump(row))
    try:
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {part.key} VALUES ({marks})", values)
    except sqlite3.IntegrityError as error:
        column = str(error).rpartition(".")[2]
        value = row["file_name"] if column == "file" else row["id"]
        findings.add(f"{column}-duplicate", label, f"{value!r} appears a second time.")


def _check_image(row: dict[str, Any]) -> tuple[str, str] | None:
    name, size = row["file_name"], (row["width"], row["height"])
    reason = check_file_name(name) if isinstance(name, str) else "is not text"
    if reason is not None:
        return "file-name-unsafe", f"file_name {name!r} {reason}."
    if any(type(side) is not int or not 1 <= side <= _LONGEST_SIDE for side in size):
        return (
            "image-size-invalid",
            f"width and height must be integers from 1 to {_LONGEST_SIDE}, got {size}.",
        )
    return None


def _check_annotation(row: dict[str, Any]) -> tuple[str, str] | None:
    for key in ("image_id", "category_id"):
        if not is_id(row[key]):
            return "id-invalid", f"{key} must be an integer of at least 1, got {row[key]!r}."
    crowd = row.get("iscrowd", 0)
    if type(crowd) is not int or crowd not in (0, 1):
        return "iscrowd-invalid", f"iscrowd must be 0 or 1, got {crowd!r}."
    taken = [key for key in RESERVED if key in row]
    if taken:
        renamed = ", ".join(f"{key} to box_{key}" for key in taken)
        return (
            "key-reserved",
            f"has {', '.join(taken)}, which will say something of the mask: rename {renamed}, which is kept.",
        )
    return None


def _check_category(row: dict[str, Any]) -> tuple[str, str] | None:
    if not isinstance(row["name"], str) or not row["name"].strip():
        return "category-name-invalid", f"name must be text that is not empty, got {row['name']!r}."
    return None


_CHECKS = {"images": _check_image, "annotations": _check_annotation, "categories": _check_category}


def _check_references(connection: sqlite3.Connection, findings: Findings) -> None:
    for rule, column, table in (
        ("annotation-orphan", "image", "images"),
        ("category-unknown", "category", "categories"),
    ):
        query = (
            f"SELECT id, {column} FROM annotations WHERE {column} NOT IN (SELECT id FROM {table}) "
            "ORDER BY place"
        )
        for annotation, missing in connection.execute(query):
            findings.add(rule, f"annotation {annotation}", f"{column}_id {missing} is not in the file.")
    for table in ("images", "annotations"):
        if connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is None and not findings.total:
            findings.add("file-empty", table, f"0 {table}.")


def _check_boxes(connection: sqlite3.Connection, findings: Findings) -> None:
    query = (
        "SELECT annotations.row, images.row FROM annotations JOIN images ON images.id = annotations.image "
        "ORDER BY annotations.place"
    )
    for annotation, image in connection.execute(query):
        row, size = json.loads(annotation), json.loads(image)
        problem = check_bbox(row["bbox"], size["height"], size["width"])
        if problem is not None:
            findings.add(problem[0], f"annotation {row['id']} of image {size['id']}", problem[1])


def _dump(value: JsonValue) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
