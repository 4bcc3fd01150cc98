"""Training curves as they stand in ``history.jsonl``, also while the file is being written."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import IntegrityError

_NOT_CURVES = {"step", "seconds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value of one curve."""

    name: str
    """Key in the history file with ``train.`` before it, e.g. ``train.loss``."""
    value: float
    """Finite: a tracker would store infinity as 1.8e308 and compare it as a number."""
    step: int
    seconds: float
    """Since training started."""


def read_points(path: Path) -> Iterator[Point]:
    """Yield every finite number of a history file, in its order.

    A last line without its newline is still being written and is left for the next reading. A file that is
    not there yet holds nothing.

    Raises:
        IntegrityError: If a finished line is not an object with an integer ``step``.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            values = json.loads(line)
            step, seconds = values["step"], float(values.get("seconds", 0.0))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _broken(path, number) from error
        if not isinstance(step, int) or isinstance(step, bool):
            raise _broken(path, number)
        for name, value in values.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if name not in _NOT_CURVES and is_number and math.isfinite(value):
                yield Point(name=f"train.{name}", value=float(value), step=step, seconds=seconds)


def _broken(path: Path, number: int) -> IntegrityError:
    return IntegrityError(
        f"line {number} is not an object with an integer step.",
        obj=str(path),
        hint="Remove the file and train again: `groundwork train`.",
    )
