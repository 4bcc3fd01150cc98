"""JSON as the standard means it: what Python's reader lets pass is refused here, with its place.

Python accepts NaN, Infinity, 1e999 and repeated keys. In an annotation file each of them changes scores in
silence, so each stops the reader with the file and the byte.
"""

import json
import math
import re
from pathlib import Path
from typing import Any, TypeAlias

from tasks.errors import DataError

JsonValue: TypeAlias = Any
"""What a JSON text holds. Whoever reads it checks the type of each part."""
MAX_DEPTH = 100
"""Deepest nesting accepted; COCO needs 5."""
MAX_INTEGER = 2**63 - 1
"""Largest integer accepted: what an array of 64-bit integers can hold."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|-?Infinity|NaN|-?\d[\d.eE+-]*')


class _Refused(ValueError):
    """Raised inside the hooks, where the place is not known."""


def read_json(path: Path) -> JsonValue:
    """Read one strict JSON file.

    Raises:
        DataError: With the file, the byte position and the reason.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror}.", obj=str(path), hint="Check that the file exists."
        ) from error
    return parse_json(content, source=str(path))


def parse_json(content: bytes, *, source: str) -> JsonValue:
    """Parse strict JSON: no NaN, infinity, repeated key, huge integer, or nesting deeper than 100.

    Args:
        content: UTF-8 text.
        source: What to name in an error, e.g. the file.

    Raises:
        DataError: With ``source``, the byte position and the reason.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid(source, error.start, "not UTF-8") from error
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_short,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        place, reason = error.pos, error.msg[:1].lower() + error.msg[1:]
    except (_Refused, RecursionError) as error:
        place, reason = _locate(text, str(error))
    else:
        if _depth(value) <= MAX_DEPTH:
            return value
        place, reason = _locate(text, f"nested deeper than {MAX_DEPTH}")
    raise _invalid(source, len(text[:place].encode("utf-8", "surrogatepass")), reason)


def _invalid(source: str, byte: int, reason: str) -> DataError:
    return DataError(
        f"invalid JSON at byte {byte}: {reason}.", obj=source, hint="Correct the file, or fetch it again."
    )


def _refuse_constant(name: str) -> None:
    raise _Refused(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _Refused(f"{digits[:40]} is not a finite number")
    return number


def _short(digits: str) -> int:
    if len(digits) > 20 or abs(number := int(digits)) > MAX_INTEGER:
        raise _Refused(f"an integer of {len(digits)} characters, beyond 64 bits")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Refused("a key appears twice in one object")
    return value


def _depth(value: JsonValue) -> int:
    """Return the nesting depth without recursion, and without visiting one level past the limit."""
    depth, level = 0, [value]
    while depth <= MAX_DEPTH:
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return depth
        depth += 1
        level = [part for item in level for part in (item.values() if isinstance(item, dict) else item)]
    return depth


def _locate(text: str, fallback: str) -> tuple[int, str]:
    """Find the first offence again, slowly, with its place in characters."""
    keys: list[set[str] | None] = []
    waiting: tuple[int, str] | None = None
    for match in _TOKEN.finditer(text):
        token, place = match.group(), match.start()
        if token in "[{":
            keys.append(set() if token == "{" else None)
            if len(keys) > MAX_DEPTH:
                return place, f"nested deeper than {MAX_DEPTH}"
        elif token in "]}" and keys:
            keys.pop()
        elif token[0] == '"':
            waiting = place, token
        elif token == ":" and waiting and keys and keys[-1] is not None:
            name = json.loads(waiting[1])
            if name in keys[-1]:
                return waiting[0], f"key {name[:60]!r} appears twice in one object"
            keys[-1].add(name)
        elif reason := _number_offence(token):
            return place, reason
    return 0, fallback


def _number_offence(token: str) -> str | None:
    if token in ",:]}":
        return None
    try:
        if "N" in token or "I" in token:
            _refuse_constant(token)
        elif re.fullmatch(r"-?\d+", token):
            _short(token)
        else:
            _finite(token)
    except ValueError as error:
        return str(error)
    return None
