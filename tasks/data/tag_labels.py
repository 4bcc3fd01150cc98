"""Labels of images for multi-label recognition, 1 present, -1 absent, 0 unknown, and the scores of a model.

Truth: a CSV file ``image,<label>,<label>,...`` with 1, 0 or -1 in each cell, or a JSON document for data in
which most cells are alike::

    {"labels": ["sky", "dog"], "others": -1, "images": [{"image": "0001.jpg", "positive": ["sky"]}]}

``others`` (-1 or 0) is what a label is that an image lists neither under ``positive`` nor ``negative``.
Scores: a CSV file of the same images and labels, in any order, with a finite number in each cell.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evaluation.tags import TagRecords
from tasks.data.refcoco import check_types
from tasks.data.strict_json import JsonValue, read_json
from tasks.errors import DataError

MAX_CELLS: Final = 1 << 27
"""Images times labels: 1 GiB of scores."""
_NUMBERS = re.compile(r"[-+.,0-9eE]*")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TagFiles:
    """Truth and scores, joined."""

    records: TagRecords
    """``image_ids`` are places in ``images``, from 1; labels are seen ones first, else in the order of the
    truth."""
    images: tuple[str, ...]
    num_seen: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    images: tuple[str, ...]
    labels: tuple[str, ...]
    cells: NDArray[np.float64]
    """Shape (images, labels)."""


def read_tags(truth: Path, scores: Path, *, unseen: Sequence[str] = ()) -> TagFiles:
    """Join labels and scores by the names of image and label.

    Args:
        truth: ``.csv`` or ``.json``.
        scores: ``.csv``.
        unseen: Labels that the model was not trained on.

    Raises:
        DataError: With file and line, if a cell is not a number of its kind, a name repeats, or images or
            labels of the files differ: a score of 0 for what is missing would be an invention.
    """
    table = _read_document(truth) if truth.suffix == ".json" else _read_csv(truth)
    wrong = ~np.isin(table.cells, (-1.0, 0.0, 1.0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise _invalid(
            f"{truth} image {table.images[row]!r}",
            f"label {table.labels[column]!r} must be 1, 0 or -1, got {table.cells[row, column]:g}.",
        )
    found = _read_csv(scores)
    for what, known, given in (
        ("images", table.images, found.images),
        ("labels", table.labels, found.labels),
    ):
        for name, items in (
            ("are missing", set(known) - set(given)),
            ("are unknown", set(given) - set(known)),
        ):
            if items:
                raise _invalid(str(scores), f"{len(items)} {what} {name}, first: {sorted(items)[:10]}.")
    order = _seen_first(truth, table.labels, unseen)
    column = {name: place for place, name in enumerate(found.labels)}
    row_of = {name: place for place, name in enumerate(found.images)}
    rows = [row_of[name] for name in table.images]
    return TagFiles(
        records=TagRecords(
            image_ids=np.arange(1, len(table.images) + 1, dtype=np.int64),
            label_ids=tuple(table.labels[place] for place in order),
            scores_NC=found.cells[np.ix_(rows, [column[table.labels[place]] for place in order])],
            annotations_NC=table.cells[:, order].astype(np.int8),
        ),
        images=table.images,
        num_seen=len(table.labels) - len(unseen),
    )


def _seen_first(truth: Path, labels: tuple[str, ...], unseen: Sequence[str]) -> list[int]:
    unknown = sorted(set(unseen) - set(labels))
    if unknown or len(set(unseen)) != len(unseen):
        raise _invalid(
            str(truth),
            f"{len(unknown)} unseen labels are not among its labels, first: {unknown[:10]}."
            if unknown
            else "an unseen label is named twice.",
        )
    chosen = set(unseen)
    return sorted(range(len(labels)), key=lambda place: labels[place] in chosen)


def _read_csv(path: Path) -> _Table:
    images: dict[str, None] = {}
    rows: list[NDArray[np.float64]] = []
    lines = _csv_rows(path)
    _, head = next(lines, ("", []))
    if len(head) < 2 or head[0] != "image":
        raise _invalid(f"{path} line 1", f"must be image,<label>,..., got {','.join(head)[:80]!r}.")
    labels = head[1:]
    _check_names(f"{path} line 1", "label", labels)
    for where, cells in lines:
        if len(cells) != len(head):
            raise _invalid(where, f"must have {len(head)} cells, got {len(cells)}.")
        if not cells[0].strip() or cells[0] in images:
            raise _invalid(where, f"image {cells[0][:80]!r} is blank or appears a second time.")
        images[cells[0]] = None
        rows.append(_numbers(where, cells[1:]))
        if len(rows) * len(labels) > MAX_CELLS:
            raise _invalid(where, f"more than {MAX_CELLS} cells.")
    if not rows:
        raise _invalid(str(path), "has no image.")
    return _Table(images=tuple(images), labels=tuple(labels), cells=np.stack(rows))


def _csv_rows(path: Path) -> Iterator[tuple[str, list[str]]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            for row in reader:
                yield f"{path} line {reader.line_num}", row
    except OSError as error:
        raise _invalid(str(path), f"cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise _invalid(str(path), f"is not CSV in UTF-8: {error}.") from error


def _numbers(where: str, cells: list[str]) -> NDArray[np.float64]:
    try:
        # NumPy reads more than numbers: "nan", "1_0", " 7"; the letters decide first.
        if not _NUMBERS.fullmatch(",".join(cells)):
            raise ValueError("a cell is no number")
        values = np.array(cells, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("a number is too large")
    except ValueError as error:
        raise _invalid(where, f"must hold finite numbers: {error}.") from error
    return values


def _read_document(path: Path) -> _Table:
    value = read_json(path)
    try:
        check_types(value, "the document", labels=list, images=list, others=int)
        if value["others"] not in (-1, 0):
            raise ValueError(f"others must be -1 or 0, got {value['others']}.")
        labels, rows = value["labels"], value["images"]
        if not labels or not rows or not all(isinstance(name, str) for name in labels):
            raise ValueError("must have images, and labels that are texts.")
        if len(labels) * len(rows) > MAX_CELLS:
            raise ValueError(f"{len(rows)} images of {len(labels)} labels are more than {MAX_CELLS} cells.")
        place = {name: number for number, name in enumerate(labels)}
        cells = np.full((len(rows), len(labels)), float(value["others"]))
        images = [_fill(row, cells[number], place) for number, row in enumerate(rows)]
    except ValueError as error:
        raise _invalid(str(path), str(error)) from error
    _check_names(str(path), "label", labels)
    _check_names(str(path), "image", images)
    return _Table(images=tuple(images), labels=tuple(labels), cells=cells)


def _fill(row: JsonValue, cells: NDArray[np.float64], place: dict[str, int]) -> str:
    check_types(row, "an image", image=str, positive=list, negative=(list, type(None)))
    listed: set[str] = set()
    for key, number in (("positive", 1.0), ("negative", -1.0)):
        for name in row.get(key) or []:
            if not isinstance(name, str) or name not in place:
                raise ValueError(f"image {row['image'][:80]!r}: {name!r} is not one of the labels.")
            if name in listed:
                raise ValueError(f"image {row['image'][:80]!r} lists {name!r} twice.")
            listed.add(name)
            cells[place[name]] = number
    image: str = row["image"]
    return image


def _check_names(where: str, what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name.strip() or name in seen:
            raise _invalid(where, f"{what} {name[:80]!r} is blank or appears a second time.")
        seen.add(name)


def _invalid(where: str, message: str) -> DataError:
    return DataError(message, obj=where, hint="Correct the file, or make it again.")
