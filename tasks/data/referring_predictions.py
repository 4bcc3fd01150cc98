"""Predictions of referring expressions: what a model said about every expression of a split, line by line.

The first line is a header, each further line an expression. ``boxes_xyxy`` lists the boxes of the answer in
its order, ``mask`` is what it covers; a file holds one of the two or both, the same on every line. Null says
that the answer could not be read, and counts as wrong; an empty list or mask: there is no such thing.

A box may be turned around or lie outside its image: that is a wrong answer, and evaluation says what it
scores. What is no number at all, or belongs to no expression, is refused.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from evaluation.ref_boxes import LIMIT, Box
from tasks.data.commit import commit_file
from tasks.data.line_files import header_values, read_lines
from tasks.data.records import MaskRle
from tasks.data.referring import ReferringRecord
from tasks.data.rle import run_lengths
from tasks.data.strict_json import JsonValue, parse_json
from tasks.errors import DataError, IntegrityError

PREDICTIONS_SCHEMA: Final = "groundwork.referring_predictions/1"
MAX_BOXES: Final = 1_000
"""Of one expression; the first one is scored."""
MAX_CHARACTERS: Final = 100_000
"""Of the raw text of one answer."""

Part = Literal["boxes_xyxy", "mask"]
PARTS: Final[tuple[Part, ...]] = ("boxes_xyxy", "mask")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AGAIN = "Write it again: every expression of the split once, null where an answer could not be read."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferringHeader:
    """Which model spoke about which data."""

    dataset_sha256: str
    """Identity of the dataset, from its ``dataset.json``."""
    split: str
    model_sha256: str
    """Identity of the model: 64 hex digits."""
    expressions: int
    """Number of lines that follow."""

    def to_json(self) -> dict[str, Any]:
        """Write the first line."""
        return {"schema": PREDICTIONS_SCHEMA, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferringAnswer:
    """What a model said about one expression."""

    expression_id: int
    boxes_xyxy: tuple[Box, ...] | None = None
    """Corners in pixels of the original image, in the order of the answer; None: nothing that can be read."""
    mask: MaskRle | None = None
    """At the size of the original image; None: nothing that can be read."""
    text: str | None = None
    """As the model wrote it, if that is kept."""


def write_answers(
    path: Path, header: ReferringHeader, answers: Iterable[ReferringAnswer], *, parts: Sequence[Part]
) -> None:
    """Write one file whole, or not at all; equal answers give equal bytes.

    Args:
        path: The file.
        header: Its first line.
        answers: One per expression of the split.
        parts: What each line holds, as a value or null.

    Raises:
        ValueError: If an expression appears twice, their number is not the header's, or no part is named.
    """
    if not parts:
        raise ValueError(f"parts must name at least one of {list(PARTS)}.")
    lines, seen = [_dump(header.to_json())], set()
    for answer in answers:
        if answer.expression_id in seen:
            raise ValueError(f"expression {answer.expression_id} was answered twice.")
        seen.add(answer.expression_id)
        lines.append(_dump(_to_json(answer, parts)))
    if len(seen) != header.expressions:
        raise ValueError(f"{len(seen)} expressions were answered, the header says {header.expressions}.")
    commit_file(path, ("\n".join(lines) + "\n").encode())


def read_answers(
    path: Path,
    records: Sequence[ReferringRecord],
    *,
    dataset_sha256: str,
    split: str,
    part: Part,
    model_sha256: str | None = None,
) -> tuple[ReferringHeader, list[ReferringAnswer]]:
    """Read and check a file against the expressions that it must cover.

    Args:
        path: The file.
        records: Every expression of the split; defines ids, sizes, coverage and the order of the answer.
        dataset_sha256: Expected in the header.
        split: Expected in the header.
        part: What each line must hold, as a value or null.
        model_sha256: Expected in the header, if given.

    Returns:
        The header, and one answer per record, in the order of ``records``.

    Raises:
        IntegrityError: If the answers are about other data or of another model; shows both.
        DataError: With line and expression, if a line is malformed, a number is not finite, an expression is
            unknown, repeated or absent, or a mask does not have the size of its image.
    """
    lines = read_lines(path, hint=_AGAIN)
    header = _read_header(path, lines[0])
    expected = {"dataset_sha256": dataset_sha256, "split": split, "model_sha256": model_sha256}
    for name, value in expected.items():
        if value is not None and getattr(header, name) != value:
            raise IntegrityError(
                f"{name} is {getattr(header, name)!r}, expected {value!r}.",
                obj=str(path),
                hint="Predict this dataset and split, or name the file that did.",
            )
    known = {record.expression_id: record for record in records}
    found: dict[int, ReferringAnswer] = {}
    for number, line in enumerate(lines[1:], start=2):
        where = f"{path} line {number}"
        answer = _read_line(where, line, known, part)
        if answer.expression_id in found:
            raise _invalid(where, f"expression {answer.expression_id} appears a second time.")
        found[answer.expression_id] = answer
    if missing := [number for number in known if number not in found]:
        raise _invalid(
            str(path), f"{len(missing)} of {len(known)} expressions have no line, first: {missing[:10]}."
        )
    if header.expressions != len(found):
        raise _invalid(
            f"{path} line 1", f"the header says {header.expressions} expressions, {len(found)} follow."
        )
    return header, [found[number] for number in known]


def _read_header(path: Path, line: bytes) -> ReferringHeader:
    values = header_values(line, ReferringHeader, schema=PREDICTIONS_SCHEMA, path=path, hint=_AGAIN)
    if not _SHA256.fullmatch(values["model_sha256"]):
        raise _invalid(
            f"{path} line 1", f"model_sha256 must be 64 hex digits, got {values['model_sha256'][:80]!r}."
        )
    return ReferringHeader(**values)


def _read_line(where: str, line: bytes, known: dict[int, ReferringRecord], part: Part) -> ReferringAnswer:
    value = parse_json(line, source=where)
    if not isinstance(value, dict) or not value.keys() <= {"expression_id", "text", *PARTS}:
        raise _invalid(where, f"must be an object of expression_id, {', '.join(PARTS)} and text.")
    number = value.get("expression_id")
    if type(number) is not int or number not in known:
        raise _invalid(where, f"expression {str(number)[:80]} is not in the split.")
    where = f"{where}, expression {number}"
    if part not in value:
        raise _invalid(where, f"has no {part!r}; null says that the answer could not be read.")
    try:
        return ReferringAnswer(
            expression_id=number,
            boxes_xyxy=_boxes(value.get("boxes_xyxy")),
            mask=_mask(value.get("mask"), known[number]),
            text=_text(value.get("text")),
        )
    except ValueError as error:
        raise _invalid(where, str(error)) from error


def _boxes(value: JsonValue) -> tuple[Box, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_BOXES:
        raise ValueError(f"boxes_xyxy must be null or a list of at most {MAX_BOXES} boxes.")
    return tuple(_box(box) for box in value)


def _box(box: JsonValue) -> Box:
    is_box = isinstance(box, list) and len(box) == 4 and all(type(side) in (int, float) for side in box)
    if not is_box or any(abs(side) >= LIMIT for side in box):
        raise ValueError(
            f"boxes_xyxy must be boxes of 4 finite numbers below {LIMIT:g} px, got {str(box)[:80]}."
        )
    left, top, right, bottom = box
    return float(left), float(top), float(right), float(bottom)


def _mask(value: JsonValue, record: ReferringRecord) -> MaskRle | None:
    if value is None:
        return None
    is_mask = isinstance(value, dict) and value.keys() == {"size", "counts"}
    if not is_mask or not isinstance(value["counts"], str) or not isinstance(value["size"], list):
        raise ValueError('mask must be null or {"size": [height, width], "counts": text}.')
    if [type(side) for side in value["size"]] != [int, int]:
        raise ValueError(f"mask size must be two integers, got {str(value['size'])[:80]}.")
    mask = MaskRle.from_json(value)
    if (mask.height, mask.width) != (record.height, record.width):
        raise ValueError(f"mask is {mask.width}x{mask.height}, the image has {record.width}x{record.height}.")
    run_lengths(mask)
    return mask


def _text(value: JsonValue) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_CHARACTERS:
        raise ValueError(f"text must be null or text of at most {MAX_CHARACTERS} characters.")
    if any(unicodedata.category(letter) == "Cs" for letter in value):
        raise ValueError("text holds half of a surrogate pair, which no file can hold.")
    return value


def _to_json(answer: ReferringAnswer, parts: Sequence[Part]) -> dict[str, Any]:
    boxes, mask = answer.boxes_xyxy, answer.mask
    values: dict[Part, Any] = {
        "boxes_xyxy": None if boxes is None else [list(box) for box in boxes],
        "mask": None if mask is None else mask.to_json(),
    }
    line: dict[str, Any] = {"expression_id": answer.expression_id}
    line |= {part: values[part] for part in PARTS if part in parts}
    return line if answer.text is None else line | {"text": answer.text}


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _invalid(where: str, message: str) -> DataError:
    return DataError(message, obj=where, hint=_AGAIN)
