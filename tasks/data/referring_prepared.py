"""Prepared referring expressions: one ReferringRecord per line and split, and ``dataset.json`` beside them.

The identity of the dataset is the hash over the records of all its splits: two directories with equal records
are one dataset, however they were read, and a changed box or word makes another one.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tasks.data.commit import Manifest, commit_directory, describe, verify_directory
from tasks.data.referring import ReferringRecord
from tasks.data.strict_json import parse_json, read_json
from tasks.errors import DataError, IntegrityError

REFERRING_SCHEMA: Final = "groundwork.referring_prepared/1"
ABOUT: Final = "dataset.json"
_SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
_AGAIN = "Make it again with `groundwork referring prepare`."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferringCounts:
    """How much a split holds."""

    images: int
    expressions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutReferring:
    """What every prepared split has in common."""

    dataset_sha256: str
    """Hash over the records of all splits."""
    source: str
    """Dataset and who split it, e.g. ``refcocog/umd``."""
    splits: dict[str, ReferringCounts]

    def to_json(self) -> dict[str, Any]:
        """Write ``dataset.json``."""
        return {
            "schema": REFERRING_SCHEMA,
            "dataset_sha256": self.dataset_sha256,
            "source": self.source,
            "splits": {name: asdict(counts) for name, counts in self.splits.items()},
        }


def write_prepared(out: Path, records: Sequence[ReferringRecord]) -> AboutReferring:
    """Commit the records of a dataset, split by split.

    Args:
        out: Directory to create or replace.
        records: Of one source, in the order of their files.

    Raises:
        DataError: If there is no record, the sources differ, a split has a name that no file can have, an
            expression of a split appears twice, or two expressions do not agree about their image.
    """
    splits = _by_split(records)
    source = records[0].source

    def write(folder: Path) -> None:
        for name, items in splits.items():
            (folder / f"{name}.jsonl").write_bytes(_dump(items))
        identity = _identity(describe(folder, schema=REFERRING_SCHEMA))
        about = AboutReferring(dataset_sha256=identity, source=source, splits=_count(splits))
        (folder / ABOUT).write_text(json.dumps(about.to_json(), indent=1) + "\n", encoding="utf-8")

    commit_directory(out, write, schema=REFERRING_SCHEMA, provenance={"source": source})
    return read_about(out)


def read_about(folder: Path) -> AboutReferring:
    """Read ``dataset.json`` of a prepared directory, every byte of which is checked first.

    Raises:
        IntegrityError: If the directory was damaged, is of another kind, or its records are not those that
            its identity names.
        DataError: If ``dataset.json`` does not describe prepared expressions.
    """
    manifest = verify_directory(folder, schema=REFERRING_SCHEMA)
    path = folder / ABOUT
    value = read_json(path)
    try:
        about = AboutReferring(
            dataset_sha256=str(value["dataset_sha256"]),
            source=str(value["source"]),
            splits={name: ReferringCounts(**counts) for name, counts in value["splits"].items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        message = f"does not describe prepared expressions ({type(error).__name__}: {error})."
        raise DataError(message, obj=str(path), hint=_AGAIN) from error
    if about.dataset_sha256 != (identity := _identity(manifest)):
        raise IntegrityError(
            f"names dataset {about.dataset_sha256[:12]}, its records are those of {identity[:12]}.",
            obj=str(path),
            hint=_AGAIN,
        )
    return about


def read_split(folder: Path, split: str) -> tuple[AboutReferring, list[ReferringRecord]]:
    """Read one split of a prepared directory, by rising id of the expressions.

    Raises:
        IntegrityError: If the directory was damaged or is of another kind.
        DataError: If it has no such split, or a line is not a record.
    """
    about = read_about(folder)
    if split not in about.splits:
        raise DataError(
            f"has no split {split!r}; it has {list(about.splits)}.",
            obj=str(folder),
            hint="Name one of those.",
        )
    path = folder / f"{split}.jsonl"
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        where = f"{path} line {number}"
        try:
            records.append(ReferringRecord.from_json(parse_json(line, source=where)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"is not a record ({type(error).__name__}: {error})."
            raise DataError(message, obj=where, hint=_AGAIN) from error
    found, stated = _count(_by_split(records))[records[0].split], about.splits[split]
    if {record.split for record in records} != {split} or found != stated:
        raise DataError(
            f"holds {found.expressions} expressions about {found.images} images; {ABOUT} says "
            f"{stated.expressions} about {stated.images}.",
            obj=str(path),
            hint=_AGAIN,
        )
    return about, sorted(records, key=lambda record: record.expression_id)


def _by_split(records: Sequence[ReferringRecord]) -> dict[str, list[ReferringRecord]]:
    """Sort the records into their splits, and refuse those that contradict each other."""
    if not records:
        raise _invalid("expressions", "there is none.")
    splits: dict[str, dict[int, ReferringRecord]] = {}
    images: dict[int, tuple[str, int, int]] = {}
    for record in records:
        where = f"expression {record.expression_id} of split {record.split!r}"
        if record.source != records[0].source:
            raise _invalid(where, f"is of {record.source!r}, others of {records[0].source!r}.")
        if not _SPLIT.fullmatch(record.split):
            raise _invalid(where, "the split must be letters, digits and _ . + -, at most 64.")
        if record.expression_id in splits.setdefault(record.split, {}):
            raise _invalid(where, "appears a second time: a split is one file.")
        splits[record.split][record.expression_id] = record
        image = (record.file, record.height, record.width)
        if (known := images.setdefault(record.image_id, image)) != image:
            raise _invalid(where, f"image {record.image_id} is {image}, and elsewhere {known}.")
    return {name: list(items.values()) for name, items in splits.items()}


def _count(splits: Mapping[str, Sequence[ReferringRecord]]) -> dict[str, ReferringCounts]:
    return {
        name: ReferringCounts(images=len({item.image_id for item in items}), expressions=len(items))
        for name, items in splits.items()
    }


def _identity(manifest: Manifest) -> str:
    files = {name: entry for name, entry in manifest.files.items() if name != ABOUT}
    return Manifest(schema=REFERRING_SCHEMA, files=files).sha256


def _dump(records: Iterable[ReferringRecord]) -> bytes:
    lines = (json.dumps(record.to_json(), allow_nan=False, separators=(",", ":")) for record in records)
    return "".join(f"{line}\n" for line in lines).encode()


def _invalid(where: str, message: str) -> DataError:
    return DataError(message, obj=where, hint="Correct the files, or prepare one dataset after the other.")
