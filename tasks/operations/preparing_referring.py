"""Turn files of referring expressions, as their authors write them, into a prepared directory."""

from pathlib import Path
from typing import Final

from tasks.data.refcoco import read_references
from tasks.data.referring import ReferringRecord
from tasks.data.referring_json import read_expression_document, read_expression_lines
from tasks.data.referring_prepared import REFERRING_SCHEMA, AboutReferring, write_prepared
from tasks.data.target_directory import check_target
from tasks.errors import UnavailableError, UsageError

_FORMS: Final = (
    "Say SPLIT=FILE.jsonl for one JSON object a line, FILE.json for images and refs in one document, "
    "and refs(...).p or grefs(...).json with --instances."
)


def prepare_referring(
    files: list[str], *, source: str, out: Path, instances: Path | None = None, masks: bool = True
) -> AboutReferring:
    """Read files of one dataset and commit their records, split by split.

    Args:
        files: ``SPLIT=FILE.jsonl``, or the name of a file that tells its splits itself.
        source: Dataset and who split it, e.g. ``refcoco/unc``; stands in every record.
        out: Directory to create, or to replace if it holds prepared expressions.
        instances: ``instances.json`` in COCO form, for files that name annotations.
        masks: False leaves every mask unread; the dataset is then another one.

    Raises:
        UsageError: If the form of a file cannot be told, or ``out`` holds something else.
        UnavailableError: If a file is absent.
        DataError: If a file is malformed, or two of them do not belong to one dataset.
    """
    check_target(out, schema=REFERRING_SCHEMA)
    records: list[ReferringRecord] = []
    for name in files:
        records += _read(name, source=source, instances=instances, masks=masks)
    return write_prepared(out, records)


def check_present(path: Path, hint: str) -> None:
    """Refuse what is not there, before it is taken for damaged.

    Raises:
        UnavailableError: With the path and the hint.
    """
    if not path.exists():
        raise UnavailableError("does not exist.", obj=str(path), hint=hint)


def _read(name: str, *, source: str, instances: Path | None, masks: bool) -> list[ReferringRecord]:
    split, is_named, rest = name.partition("=")
    path = Path(rest if is_named and rest.endswith(".jsonl") else name)
    check_present(path, _FORMS)
    match path.suffix, instances:
        case ".jsonl", None if is_named:
            return read_expression_lines(path, source=source, split=split)
        case ((".p" | ".json"), Path()):
            check_present(instances, "Name the instances.json of the same dataset.")
            return read_references(path, instances, source=source, masks=masks)
        case ".json", None:
            return read_expression_document(path, source=source, masks=masks)
    raise UsageError("its form cannot be told.", obj=name, hint=_FORMS)
