"""Semantic label maps: one PNG an image, a number of a class in each pixel, 255 for pixels that do not count.

Truth and predictions are folders with files of the same names. Numbers need not be without gaps: a file of
classes says which number is which class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.semantic import ImageConfusion, count_confusion
from tasks.data.label_png import read_label_png
from tasks.data.refcoco import check_types
from tasks.data.semantic_records import CLASSES_SCHEMA, SemanticClasses
from tasks.data.strict_json import read_json
from tasks.errors import DataError

IGNORE: Final = 255
"""The usual label of pixels that do not count."""
MAX_LABEL: Final = 65535
_NOT_COUNTED, _UNKNOWN = -1, -2


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticFiles:
    """Pairs of files, checked by name; maps stay on disk until they are asked for."""

    truth: tuple[Path, ...]
    """By name. The place in this list, from 1, is the number of the image."""
    predictions: tuple[Path | None, ...]
    """In the same order; None where there is no prediction."""
    labels: tuple[int, ...]
    """Number of each class in the files."""
    classes: tuple[str, ...]
    """Names in the same order."""
    ignore_label: int
    """Label of pixels that do not count; in a prediction: nothing is predicted here."""

    def count(self, place: int) -> ImageConfusion:
        """Read both maps of an image and count its pixels by true and predicted class.

        Args:
            place: From 0.

        Raises:
            DataError: With the file, if a map is malformed, has another size, or holds an unknown label.
        """
        true = self._read(self.truth[place])
        path = self.predictions[place]
        height, width = true.shape
        return count_confusion(
            place + 1,
            true,
            None if path is None else self._read(path, height=height, width=width),
            num_classes=len(self.classes),
            ignore_label=_NOT_COUNTED,
        )

    def _read(self, path: Path, **size: int) -> NDArray[np.int32]:
        labels = read_label_png(path, "index", **size)
        places = np.full(MAX_LABEL + 1, _UNKNOWN, dtype=np.int32)
        places[list(self.labels)] = np.arange(len(self.labels))
        places[self.ignore_label] = _NOT_COUNTED
        map_of_places = places[labels]
        unknown = map_of_places == _UNKNOWN
        if unknown.any():
            row, column = np.argwhere(unknown)[0].tolist()
            raise _invalid(
                path,
                f"{int(unknown.sum())} pixels have a label that is neither a class nor the ignore label "
                f"{self.ignore_label}, first: {int(labels[row, column])} in row {row}, column {column}.",
            )
        return map_of_places


def read_classes(path: Path) -> dict[int, str]:
    """Read which number is which class.

    Args:
        path: ``.txt``: one name a line, numbers from 0. ``.json``: a list of ``{"id", "name"}``, a document
            that has it under ``categories``, as COCO does, or the ``classes.json`` of label maps.

    Returns:
        Number -> name, by rising number.

    Raises:
        DataError: If the file is malformed, or a number or name repeats.
    """
    rows: list[tuple[int, str]]
    try:
        if path.suffix == ".json":
            value = read_json(path)
            if isinstance(value, dict) and value.get("schema") == CLASSES_SCHEMA:
                known = SemanticClasses.from_json(value)
                return dict(sorted(zip(known.values, known.names, strict=True)))
            entries = value.get("categories") if isinstance(value, dict) else value
            if not isinstance(entries, list):
                raise ValueError("must be a list of classes, or have one under 'categories'.")
            rows = [(row["id"], row["name"]) for row in (_class(entry) for entry in entries)]
        elif path.suffix == ".txt":
            rows = list(enumerate(read_names(path)))
        else:
            raise ValueError("must end in .txt or .json.")
        _check_classes(rows)
    except ValueError as error:
        raise _invalid(path, str(error)) from error
    return dict(sorted(rows))


def read_names(path: Path) -> list[str]:
    """Read one name a line.

    Raises:
        DataError: If the file cannot be read or is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _invalid(path, f"cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise _invalid(path, f"is not UTF-8: {error}.") from error
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def _class(entry: object) -> Mapping[str, Any]:
    row = check_types(entry, "a class", id=int)
    if not isinstance(row.get("name"), str):
        raise ValueError(f"class {row['id']} must have a name, a text.")
    return row


def _check_classes(rows: list[tuple[int, str]]) -> None:
    if not rows:
        raise ValueError("must name a class.")
    for number, name in rows:
        if not name.strip():
            raise ValueError(f"the name of class {number} is blank.")
        if not 0 <= number <= MAX_LABEL:
            raise ValueError(
                f"the number of class {name[:80]!r} must be from 0 to {MAX_LABEL}, got {number}."
            )
    seen: set[int | str] = set()
    for item in (part for row in rows for part in row):
        if item in seen:
            raise ValueError(f"{str(item)[:80]!r} appears twice: numbers and names must differ.")
        seen.add(item)


def pair_label_maps(
    truth: Path, predictions: Path, classes: Mapping[int, str], *, ignore_label: int = IGNORE
) -> SemanticFiles:
    """Find the prediction of each true map by name; no PNG is opened yet.

    Args:
        truth: Folder of ``<name>.png``.
        predictions: Folder of the same names. One that is missing scores every pixel of its image as wrong.
        classes: Number -> name, as ``read_classes`` gives it.
        ignore_label: A number that is no class.

    Raises:
        DataError: If a folder is missing or holds no PNG, a prediction is of no true map, or the ignore label
            is a class.
    """
    true, found = _png_files(truth), _png_files(predictions)
    extra = sorted(found.keys() - true.keys())
    if extra:
        raise _invalid(predictions, f"{len(extra)} files are of no true map, first: {extra[:10]}.")
    if ignore_label in classes or not 0 <= ignore_label <= MAX_LABEL:
        raise _invalid(
            truth, f"the ignore label must be no class and from 0 to {MAX_LABEL}, got {ignore_label}."
        )
    return SemanticFiles(
        truth=tuple(true.values()),
        predictions=tuple(found.get(name) for name in true),
        labels=tuple(classes),
        classes=tuple(classes.values()),
        ignore_label=ignore_label,
    )


def _png_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise _invalid(folder, "is not a directory.")
    files = {path.name: path for path in sorted(folder.iterdir())}
    other = [name for name in files if not name.endswith(".png")]
    if other or not files:
        message = (
            f"holds {len(other)} entries that are no .png, first: {other[:10]}." if other else "is empty."
        )
        raise _invalid(folder, message)
    return files


def _invalid(path: Path, message: str) -> DataError:
    return DataError(message, obj=str(path), hint="Correct the file or the folder, then score again.")
