"""Pickles that hold nothing but lists, dicts, tuples, text and numbers, read without running anything.

The format is a program for a stack machine; some of its instructions import and call. This reader is such a
machine without them: no instruction here can name, import, build or call anything, so a file can at worst be
refused. Difference to Python's own reader with its import hook overridden: numbering a memory slot 2**32 asks
for no memory, and a dict's keys are text, so nothing of a file is ever hashed in depth.

Source: the instructions as the standard library's ``pickletools`` describes them, protocols 0 to 5. Byte
strings of Python 2 are text in Latin-1, as ``encoding="latin1"`` says to Python's own reader.
"""

import math
import pickletools
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tasks.errors import DataError

MAX_BYTES: Final = 1 << 28
"""Largest file that is read; 50,000 references of three sentences each need 21 MB."""

_QUOTED = re.compile(rb"'(?:[^'\\]++|\\.)*+'|\"(?:[^\"\\]++|\\.)*+\"")
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED: Final = {b"\\": b"\\", b"'": b"'", b'"': b'"', b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_MAX_INTEGER_BYTES = 8
_NAMES: Final = {ord(instruction.code): instruction.name for instruction in pickletools.opcodes}


def read_plain_pickle(path: Path) -> Any:  # noqa: ANN401 - whoever reads it checks the type of each part
    """Read one file of plain data.

    Raises:
        DataError: If the file cannot be read, is too large, is malformed, or holds what is not plain.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise _refused(str(path), f"cannot be read: {error.strerror}.") from error
    if size > MAX_BYTES:
        raise _refused(str(path), f"has {size} bytes, more than {MAX_BYTES}.")
    return parse_plain_pickle(content, source=str(path))


def parse_plain_pickle(content: bytes, *, source: str) -> Any:  # noqa: ANN401 - as above
    """Read plain data from the bytes of a pickle; no code in it can run.

    Args:
        content: The whole file.
        source: What to name in an error, e.g. the file.

    Returns:
        Lists, tuples, dicts with text as keys, text, bool, integers of at most 64 bits, finite floats, None.

    Raises:
        DataError: With the byte and the reason; a global is named, e.g. ``posix.system``.
    """
    machine = Machine(content)
    try:
        return machine.run()
    except NotPlain as error:
        reason = f"holds {error} at byte {machine.start}, which is not plain data; it was not run."
        raise _refused(source, reason) from error
    except (IndexError, TypeError, ValueError) as error:
        raise _refused(source, f"is malformed at byte {machine.start}: {str(error)[:200]}.") from error


def _refused(source: str, message: str) -> DataError:
    return DataError(message, obj=source, hint="Fetch the file again from its authors, or export it as JSON.")


class NotPlain(Exception):
    """What the file asks for."""


class Machine:
    """The stack, the marks in it, and what was remembered."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.place = 0
        self.start = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:  # noqa: ANN401 - plain data of any kind
        """Follow the instructions to the end and return what is left on the stack."""
        while True:
            self.start = self.place
            code = self.number(1)
            if code == ord("."):
                if len(self.stack) != 1 or self.marks:
                    raise ValueError(f"{len(self.stack)} values are left at the end, not 1")
                return self.stack[0]
            action = self.action(code)
            if action is None:
                raise NotPlain(self.offence(code))
            action(self)

    def action(self, code: int) -> "Callable[[Machine], None] | None":
        """Return what an instruction does, or None: then it is refused by name."""
        return _ACTIONS.get(code)

    def offence(self, code: int) -> str:
        """Name an instruction that is not for plain data, and what it asks for."""
        name = _NAMES.get(code)
        if name is None:
            raise ValueError(f"no instruction has the code {code}")
        if name in ("GLOBAL", "INST"):
            return f"the global {_shown(self.line())}.{_shown(self.line())}"
        if name == "STACK_GLOBAL":
            return f"the global {_shown(self.stack[-2])}.{_shown(self.stack[-1])}"
        return f"the instruction {name}"

    def take(self, count: int) -> bytes:
        """Read as many bytes."""
        part = self.content[self.place : self.place + count]
        self.place += count
        if len(part) != count:
            raise ValueError("cut off")
        return part

    def skip(self, count: int) -> None:
        """Pass over as many bytes."""
        self.take(count)

    def number(self, count: int) -> int:
        """Read an unsigned integer, least significant byte first."""
        return int.from_bytes(self.take(count), "little")

    def line(self) -> bytes:
        """Read up to the end of the line."""
        end = self.content.find(b"\n", self.place)
        if end < 0:
            raise ValueError("cut off")
        part = self.content[self.place : end]
        self.place = end + 1
        return part

    def push(self, value: object) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        """Take everything above the last mark."""
        mark = self.marks.pop()
        items = self.stack[mark:]
        del self.stack[mark:]
        return items

    def last(self, count: int) -> list[Any]:
        """Take the upper values of the stack."""
        if len(self.stack) < count:
            raise ValueError("the stack is empty")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def append(self, items: list[Any]) -> None:
        """Add items to the list on top of the stack."""
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError(f"items are added to a {type(target).__name__}, not a list")
        target.extend(items)

    def assign(self, items: list[Any]) -> None:
        """Add keys and values to the dict on top of the stack."""
        target = self.stack[-1]
        if type(target) is not dict:
            raise TypeError(f"items are assigned to a {type(target).__name__}, not a dict")
        target.update(_pairs(items))

    def remember(self, slot: int) -> None:
        """Keep the top of the stack under a number."""
        self.memo[slot] = self.stack[-1]

    def recall(self, slot: int) -> None:
        """Put what was kept under a number on the stack."""
        if slot not in self.memo:
            raise ValueError(f"nothing was remembered as {slot}")
        self.push(self.memo[slot])


def _pairs(items: list[Any]) -> dict[str, Any]:
    keys, values = items[0::2], items[1::2]
    if len(keys) != len(values):
        raise ValueError("a key has no value")
    for key in keys:
        if type(key) is not str:
            raise TypeError(f"a key of a dict is of type {type(key).__name__}, not text")
    return dict(zip(keys, values, strict=True))


def _shown(part: object) -> str:
    if isinstance(part, bytes):
        part = part.decode("latin-1")
    return part[:80] if isinstance(part, str) and part.isprintable() else "?"


def _decimal(digits: bytes) -> int | bool:
    if digits in (b"00", b"01"):
        return digits == b"01"
    if not re.fullmatch(rb"-?\d{1,19}L?", digits):
        raise ValueError(f"{digits[:20]!r} is not an integer of at most 64 bits")
    return int(digits.rstrip(b"L"))


def _integer(content: bytes) -> int:
    if len(content) > _MAX_INTEGER_BYTES:
        raise ValueError(f"an integer has {len(content)} bytes, more than {_MAX_INTEGER_BYTES}")
    return int.from_bytes(content, "little", signed=True)


def _real(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a finite number")
    return value


def _quoted(line: bytes) -> str:
    if not line.isascii() or not _QUOTED.fullmatch(line):
        raise ValueError("text is not quoted")
    return _ESCAPE.sub(_unescaped, line[1:-1]).decode("latin-1")


def _unescaped(match: re.Match[bytes]) -> bytes:
    escape = match[1]
    if len(escape) == 3:
        return bytes([int(escape[1:], 16)])
    if escape not in _ESCAPED:
        raise ValueError(f"text holds the escape {match[0]!r}")
    return _ESCAPED[escape]


def _utf8(content: bytes) -> str:
    return content.decode("utf-8")


def _latin1(content: bytes) -> str:
    return content.decode("latin-1")


_ACTIONS: Final[dict[int, Callable[[Machine], None]]] = {
    # protocol 2 and 4 say which they are, and how long a frame is: nothing depends on it
    0x80: lambda m: m.skip(1),
    0x95: lambda m: m.skip(8),
    # constants and numbers
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("I"): lambda m: m.push(_decimal(m.line())),
    ord("L"): lambda m: m.push(_decimal(m.line())),
    ord("J"): lambda m: m.push(_integer(m.take(4))),
    ord("K"): lambda m: m.push(m.number(1)),
    ord("M"): lambda m: m.push(m.number(2)),
    0x8A: lambda m: m.push(_integer(m.take(m.number(1)))),
    ord("F"): lambda m: m.push(_real(float(m.line()))),
    ord("G"): lambda m: m.push(_real(struct.unpack(">d", m.take(8))[0])),
    # text
    ord("S"): lambda m: m.push(_quoted(m.line())),
    ord("T"): lambda m: m.push(_latin1(m.take(m.number(4)))),
    ord("U"): lambda m: m.push(_latin1(m.take(m.number(1)))),
    ord("V"): lambda m: m.push(str(m.line(), "raw-unicode-escape")),
    ord("X"): lambda m: m.push(_utf8(m.take(m.number(4)))),
    0x8C: lambda m: m.push(_utf8(m.take(m.number(1)))),
    0x8D: lambda m: m.push(_utf8(m.take(m.number(8)))),
    # containers
    ord("("): lambda m: m.marks.append(len(m.stack)),
    ord("]"): lambda m: m.push([]),
    ord("}"): lambda m: m.push({}),
    ord(")"): lambda m: m.push(()),
    ord("l"): lambda m: m.push(m.since_mark()),
    ord("t"): lambda m: m.push(tuple(m.since_mark())),
    ord("d"): lambda m: m.push(_pairs(m.since_mark())),
    0x85: lambda m: m.push(tuple(m.last(1))),
    0x86: lambda m: m.push(tuple(m.last(2))),
    0x87: lambda m: m.push(tuple(m.last(3))),
    ord("a"): lambda m: m.append(m.last(1)),
    ord("e"): lambda m: m.append(m.since_mark()),
    ord("s"): lambda m: m.assign(m.last(2)),
    ord("u"): lambda m: m.assign(m.since_mark()),
    # what was seen before
    ord("p"): lambda m: m.remember(int(m.line())),
    ord("q"): lambda m: m.remember(m.number(1)),
    ord("r"): lambda m: m.remember(m.number(4)),
    0x94: lambda m: m.remember(len(m.memo)),
    ord("g"): lambda m: m.recall(int(m.line())),
    ord("h"): lambda m: m.recall(m.number(1)),
    ord("j"): lambda m: m.recall(m.number(4)),
}
"""Code of an instruction -> what it does. What is not here is refused by name."""
