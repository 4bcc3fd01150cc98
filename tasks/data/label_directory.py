"""A committed directory of label maps: ``records.jsonl``, ``classes.json`` and what they name.

``groundwork data weaken`` and ``groundwork data import-weak`` write it; whatever else commits the same two
files is read as well.
"""

from dataclasses import dataclass
from pathlib import Path

from tasks.data.commit import verify_directory
from tasks.data.semantic_records import SemanticClasses, SemanticRecord, read_classes, read_semantic_records
from tasks.errors import UsageError

RECORDS = "records.jsonl"
CLASSES = "classes.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDirectory:
    """One split of it."""

    folder: Path
    classes: SemanticClasses
    records: tuple[SemanticRecord, ...]
    """At least one."""
    sha256: str
    """Of the manifest: it stands for every byte."""


def open_labels(folder: Path, split: str) -> LabelDirectory:
    """Check every byte of the directory against its manifest, and read the records of a split.

    Raises:
        UsageError: If it is no such directory, or has no record of the split.
        DataError: If records or classes are malformed.
        IntegrityError: If it is not what its manifest says, or has none.
    """
    manifest = verify_directory(folder)
    missing = [name for name in (RECORDS, CLASSES) if name not in manifest.files]
    if missing:
        raise UsageError(
            f"is no directory of label maps: it has no {' and no '.join(missing)}.",
            obj=str(folder),
            hint="Make one with `groundwork data weaken` or `groundwork data import-weak`.",
        )
    records = read_semantic_records(folder / RECORDS)
    chosen = tuple(record for record in records if record.split == split)
    if not chosen:
        splits = ", ".join(sorted({record.split for record in records}))
        raise UsageError(
            f"has no record of split {split!r}; splits: {splits}.",
            obj=str(folder),
            hint="Name one of them with --split.",
        )
    return LabelDirectory(
        folder=folder, classes=read_classes(folder / CLASSES), records=chosen, sha256=manifest.sha256
    )
