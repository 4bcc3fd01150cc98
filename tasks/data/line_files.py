"""Files of JSON lines: read whole, refused if they were cut off, with a header that has its type."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from tasks.data.strict_json import parse_json
from tasks.errors import DataError


def read_lines(path: Path, *, hint: str) -> list[bytes]:
    """Return the lines of a file, without their ends.

    Args:
        path: The file.
        hint: The next command.

    Raises:
        DataError: If the file cannot be read, is empty, or its last line does not end.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", obj=str(path), hint=hint) from error
    if not content.endswith(b"\n"):
        raise DataError("is empty or was cut off: the last line does not end.", obj=str(path), hint=hint)
    return content[:-1].split(b"\n")


def header_values(line: bytes, cls: type, *, schema: str, path: Path, hint: str) -> dict[str, Any]:
    """Read the first line as the fields of a dataclass of plain types.

    Args:
        line: The first line.
        cls: Its fields, all of them, in any order; beside them stands ``schema``.
        schema: What ``schema`` must say.
        path: The file, for messages.
        hint: The next command.

    Raises:
        DataError: If the line is no such header, or a value has another type.
    """
    where = f"{path} line 1"
    value = parse_json(line, source=where)
    if not isinstance(value, dict) or value.get("schema") != schema:
        raise DataError(f"must be a header with schema {schema!r}.", obj=where, hint=hint)
    types = {field.name: field.type for field in fields(cls)}
    values: dict[str, Any] = {name: item for name, item in value.items() if name != "schema"}
    if values.keys() != types.keys() or any(type(values[name]) is not types[name] for name in types):
        message = f"the header must have {list(types)} of their types, got {str(values)[:300]}."
        raise DataError(message, obj=where, hint=hint)
    return values
