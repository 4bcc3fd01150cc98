"""Prepared data: one ImageRecord per line, and ``dataset.json`` beside the splits that says what it is."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.line_files import read_lines
from tasks.data.records import ImageRecord
from tasks.data.strict_json import parse_json, read_json
from tasks.errors import DataError

PREPARED_SCHEMA = "groundwork.prepared/1"
_AGAIN = "Make it again with `dvc repro prepare_coco`."


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCounts:
    """How much a split holds."""

    images: int
    regions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutDataset:
    """What every prepared split has in common."""

    dataset_sha256: str
    """Identity of the dataset, ``Manifest.sha256``."""
    categories: tuple[str, ...]
    """Names in the order of their COCO ids: the place is the label of a model."""
    splits: dict[str, SplitCounts]

    def to_json(self) -> dict[str, Any]:
        """Write ``dataset.json``."""
        return {
            "schema": PREPARED_SCHEMA,
            "dataset_sha256": self.dataset_sha256,
            "categories": list(self.categories),
            "splits": {
                name: {"images": counts.images, "regions": counts.regions}
                for name, counts in self.splits.items()
            },
        }


def dump_records(records: Iterable[ImageRecord]) -> bytes:
    """Return the lines of a split; equal records give equal bytes."""
    lines = (json.dumps(record.to_json(), allow_nan=False, separators=(",", ":")) for record in records)
    return "".join(f"{line}\n" for line in lines).encode()


def read_records(path: Path) -> list[ImageRecord]:
    """Read every record of a prepared split.

    Raises:
        DataError: With file and line, if the file is empty, cut off, malformed or names an image twice.
    """
    records, seen = [], set()
    for number, line in enumerate(read_lines(path, hint=_AGAIN), start=1):
        where = f"{path} line {number}"
        try:
            record = ImageRecord.from_json(parse_json(line, source=where))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"is not a record ({type(error).__name__}: {error})."
            raise DataError(message, obj=where, hint=_AGAIN) from error
        if record.image_id in seen:
            raise DataError(f"image {record.image_id} appears a second time.", obj=where, hint=_AGAIN)
        seen.add(record.image_id)
        records.append(record)
    return records


def read_about(path: Path) -> AboutDataset:
    """Read ``dataset.json`` of a prepared directory.

    Raises:
        DataError: If it cannot be read or does not have the schema ``groundwork.prepared/1``.
    """
    value = read_json(path)
    try:
        if value["schema"] != PREPARED_SCHEMA:
            raise ValueError(f"schema is {value['schema']!r}, expected {PREPARED_SCHEMA!r}.")
        return AboutDataset(
            dataset_sha256=str(value["dataset_sha256"]),
            categories=tuple(str(name) for name in value["categories"]),
            splits={name: SplitCounts(**counts) for name, counts in value["splits"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"does not describe prepared data ({type(error).__name__}: {error})."
        raise DataError(message, obj=str(path), hint=_AGAIN) from error
