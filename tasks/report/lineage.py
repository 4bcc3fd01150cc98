"""Where a model came from, as the rows of one table."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_WORDS = {"config": "Configuration", "lock": "Lock file"}
_FOLDED = 9  # lines: a longer list is opened by hand


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageRow:
    """One part of the lineage, as one text or as lines of name and value."""

    name: str
    text: str
    lines: tuple[tuple[str, str], ...]
    """Dotted name and value; empty where ``text`` says it all."""
    warning: str

    @property
    def is_folded(self) -> bool:
        """Say whether the lines are too many to stand open."""
        return len(self.lines) >= _FOLDED

    @property
    def is_code(self) -> bool:
        """Say whether the text is a hash."""
        return is_hash(self.text)


def is_hash(text: str) -> bool:
    """Say whether a text is to be compared character by character."""
    return len(text) >= 12 and all(character in "0123456789abcdef" for character in text)


def lineage_rows(lineage: Mapping[str, Any], hashes: Mapping[str, str]) -> list[LineageRow]:
    """Lay out what the caller knows, then the hashes of the report's inputs.

    Args:
        lineage: Name -> text, number or mapping. A dotted name ``code.commit`` is the same as a mapping.
            ``code.commit`` carries a warning where ``code.uncommitted_changes`` is true.
        hashes: Name of an input -> sha256.
    """
    rows = [_row(name, value) for name, value in _nested(lineage).items()]
    inputs = tuple((name, sha256) for name, sha256 in hashes.items())
    return [*rows, LineageRow(name="Report made from", text="", lines=inputs, warning="")]


def _row(key: str, value: object) -> LineageRow:
    name = _WORDS.get(key, key[:1].upper() + key[1:].replace("_", " "))
    if not isinstance(value, Mapping):
        return LineageRow(name=name, text=_text(value), lines=(), warning="")
    lines, warning = list(_flat(value)), ""
    if key == "code":
        dirty = ("uncommitted_changes", "true") in [(item, text.lower()) for item, text in lines]
        warning = "with uncommitted changes" if dirty else ""
        lines = [(item, text) for item, text in lines if item != "uncommitted_changes"]
    if len(lines) == 1:
        return LineageRow(name=name, text=lines[0][1], lines=(), warning=warning)
    return LineageRow(name=name, text="", lines=tuple(lines), warning=warning)


def _nested(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Gather dotted names under their first part, in the order of their first appearance."""
    nested: dict[str, Any] = {}
    for name, value in lineage.items():
        head, dot, rest = name.partition(".")
        if dot and isinstance(nested.setdefault(head, {}), dict):
            nested[head][rest] = value
        else:
            nested[name] = value
    return nested


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _text(item)


def _text(value: object) -> str:
    if value is None:
        return "unknown"
    return value if isinstance(value, str) else json.dumps(value)
