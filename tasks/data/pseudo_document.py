"""A COCO file with pseudo-labels, written row by row."""

import json
from collections.abc import Iterable
from typing import Any, TextIO

from tasks.data.box_table import BoxTable


def write_document(
    stream: TextIO, table: BoxTable, lines: Iterable[dict[str, Any]], info: dict[str, Any]
) -> None:
    """Write the COCO file, one row a line: every key of the input, the annotations in the order of images.

    Args:
        stream: Where to.
        table: The input.
        lines: Of the parts, with the annotations.
        info: For the key ``groundwork`` of ``info``.
    """
    rest = table.rest()
    head = {"info": (rest.get("info") or {}) | {"groundwork": info}}
    head |= {key: value for key, value in rest.items() if key != "info"}
    stream.write("{\n")
    for key, value in head.items():
        stream.write(f"{_dump(key)}: {_dump(value)},\n")
    _write_rows(stream, "images", table.image_rows())
    stream.write(",\n")
    _write_rows(stream, "annotations", (row for line in lines for row in line["annotations"]))
    stream.write(",\n")
    _write_rows(stream, "categories", table.categories())
    stream.write("\n}\n")


def _write_rows(stream: TextIO, key: str, rows: Iterable[dict[str, Any]]) -> None:
    stream.write(f"{_dump(key)}: [")
    for place, row in enumerate(rows):
        stream.write(f"{',' if place else ''}\n{_dump(row)}")
    stream.write("\n]")


def _dump(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))
