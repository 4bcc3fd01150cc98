"""A JSON document with long tables, read entry by entry: memory holds one entry, not the file.

The document is an object; some of its keys hold tables, lists of objects. Each entry is cut out and then read
by ``tasks.data.strict_json``, so what that refuses is refused here, too.
"""

import codecs
import hashlib
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from tasks.data.strict_json import JsonValue, parse_json
from tasks.errors import DataError

LARGEST_VALUE = 1 << 26
"""Characters of one entry, or of one value that is no table: beyond that the reader gives up."""
_CHUNK = 1 << 20
_SPACE = " \t\n\r"


class Part(NamedTuple):
    """A piece of the document, in the order of the file."""

    key: str
    entry: int | None
    """Place in the table, from 0; None for the value of a key that is no table."""
    value: JsonValue


class JsonStream:
    """One pass over a file.

    Args:
        path: UTF-8 text.
        tables: Keys that must hold a list of objects.
    """

    def __init__(self, path: Path, tables: Collection[str]) -> None:
        self._path, self._tables = path, tables
        self._digest = hashlib.sha256()
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._text, self._place, self._passed, self._ended = "", 0, 0, False
        # Only finds where a value ends; numbers are not converted.
        self._scanner = json.JSONDecoder(parse_int=len, parse_float=len)

    @property
    def sha256(self) -> str:
        """Hash of the bytes of the file, in hex; final when the pass is."""
        return self._digest.hexdigest()

    def parts(self) -> Iterator[Part]:
        """Yield every entry of every table and every other value.

        Raises:
            DataError: If the file cannot be read, is not strict JSON, a table is absent or not a list of
                objects, or a value is longer than ``LARGEST_VALUE``.
        """
        try:
            with self._path.open("rb") as self._stream:
                yield from self._document()
        except OSError as error:
            raise self._invalid(f"cannot be read: {error.strerror}.") from error

    def _document(self) -> Iterator[Part]:
        if self._peek() != "{":
            raise self._invalid("must be a JSON object.")
        self._place += 1
        seen: set[str] = set()
        while self._peek() != "}":
            if seen:
                self._take(",")
            key = self._value("a key")
            if not isinstance(key, str):
                raise self._syntax("a key must be text")
            if key in seen:
                raise self._syntax(f"key {key[:60]!r} appears twice in one object")
            seen.add(key)
            self._take(":")
            if key in self._tables:
                yield from self._table(key)
            else:
                yield Part(key, None, self._value(repr(key)))
        self._place += 1
        if self._peek():
            raise self._syntax("text after the end of the document")
        for key in self._tables:
            if key not in seen:
                raise self._invalid(f"{key!r} must be a list of objects.")

    def _table(self, key: str) -> Iterator[Part]:
        if self._peek() != "[":
            raise self._invalid(f"{key!r} must be a list of objects.")
        self._place += 1
        entry = 0
        while self._peek() != "]":
            if entry:
                self._take(",")
            value = self._value(f"{key!r} entry {entry}")
            if not isinstance(value, dict):
                raise self._invalid(
                    f"{key!r} must be a list of objects, entry {entry} is {str(value)[:40]!r}."
                )
            yield Part(key, entry, value)
            entry += 1
        self._place += 1

    def _value(self, name: str) -> JsonValue:
        """Read the value that comes next."""
        self._peek()
        while True:
            try:
                _, end = self._scanner.raw_decode(self._text, self._place)
            except (ValueError, RecursionError) as error:
                # The error itself is not kept: it holds the text, and this frame.
                reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                broken = isinstance(error, RecursionError)
            else:
                if end < len(self._text) or not self._fill():  # the number 12 may be the start of 123
                    value = parse_json(
                        self._text[self._place : end].encode("utf-8", "surrogatepass"),
                        source=f"{self._path} {name}",
                    )
                    self._place = end
                    return value
                continue
            if len(self._text) - self._place > LARGEST_VALUE:
                raise self._syntax(f"{name} is broken, or longer than {LARGEST_VALUE} characters")
            if broken or not self._fill():
                raise self._syntax(f"{name}: {reason[:1].lower()}{reason[1:]}")

    def _take(self, letter: str) -> None:
        found = self._peek()
        if found != letter:
            raise self._syntax(f"expected {letter!r}, found {found or 'the end of the file'!r}")
        self._place += 1

    def _peek(self) -> str:
        """Return the next letter that is no space; empty at the end of the file."""
        while True:
            while self._place < len(self._text) and self._text[self._place] in _SPACE:
                self._place += 1
            if self._place < len(self._text):
                return self._text[self._place]
            if not self._fill():
                return ""

    def _fill(self) -> bool:
        """Forget what was read and read on, at least as much as is pending; False at the end of the file."""
        if self._ended:
            return False
        pending = self._text[self._place :]
        self._passed += len(self._text[: self._place].encode("utf-8", "surrogatepass"))
        content = self._stream.read(max(_CHUNK, len(pending)))
        self._digest.update(content)
        self._ended = not content
        try:
            self._text = pending + self._decoder.decode(content, final=self._ended)
        except UnicodeDecodeError as error:
            raise self._invalid(f"invalid JSON after byte {self._passed}: not UTF-8.") from error
        self._place = 0
        return True

    def _syntax(self, reason: str) -> DataError:
        byte = self._passed + len(self._text[: self._place].encode("utf-8", "surrogatepass"))
        return self._invalid(f"invalid JSON at byte {byte}: {reason}.")

    def _invalid(self, message: str) -> DataError:
        return DataError(message, obj=str(self._path), hint="Correct the file, or fetch it again.")
