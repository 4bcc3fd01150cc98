"""What a model answered, by the id of the question; and JSON lines, the form of most question files.

An answer without the id of its question is refused: joined by place, one lost line shifts all that follow.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tasks.data.refcoco import check_types
from tasks.data.strict_json import JsonValue, parse_json
from tasks.errors import DataError

MAX_CHARACTERS: Final = 100_000
"""Of one answer or question."""


def read_json_lines(path: Path) -> Iterator[tuple[str, JsonValue]]:
    """Read one JSON value a line, or the items of one list.

    Yields:
        Where an item stands, for messages, and the item.

    Raises:
        DataError: If the file cannot be read, is empty, or a line is not strict JSON.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise invalid(str(path), f"cannot be read: {error.strerror}.") from error
    if not content.strip():
        raise invalid(str(path), "is empty.")
    if content.lstrip()[:1] == b"[":
        for number, item in enumerate(parse_json(content, source=str(path)), start=1):
            yield f"{path} item {number}", item
        return
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), start=1):
        where = f"{path} line {number}"
        yield where, parse_json(line, source=where)


def read_answers(path: Path, *, prefix: str = "") -> dict[str, str]:
    """Read answers: ``{"question_id", "answer"}`` an item, in JSON lines or one list.

    ``{"question_id", "prompt", "text"}``, which some models write, is read as well; ``text`` without a prompt
    is not, because in files of questions it is the question.

    Args:
        path: The file.
        prefix: Put before each id, to tell apart files that count from 1 alike.

    Returns:
        Prefix and id -> answer, as it was written.

    Raises:
        DataError: With the place, if an item is malformed, an answer too long, or an id repeats.
    """
    answers: dict[str, str] = {}
    for where, row in read_json_lines(path):
        try:
            check_types(row, "an answer", question_id=(int, str))
            key = "text" if "answer" not in row and "prompt" in row else "answer"
            check_types(row, "an answer", **{key: str})
            if len(row[key]) > MAX_CHARACTERS:
                raise ValueError(f"an answer may have {MAX_CHARACTERS} characters, got {len(row[key])}.")
            item_id = f"{prefix}{row['question_id']}"
            if item_id in answers:
                raise ValueError(f"question {row['question_id']!r} is answered a second time.")
        except ValueError as error:
            raise invalid(where, str(error)) from error
        answers[item_id] = row[key]
    return answers


def check_text(name: str, text: str) -> None:
    """Refuse a blank or endless text. Raises ValueError."""
    if not text.strip() or len(text) > MAX_CHARACTERS:
        raise ValueError(f"{name} must have 1 to {MAX_CHARACTERS} characters, got {text[:80]!r}.")


def invalid(where: str, message: str) -> DataError:
    """Return the error of a file of questions or answers."""
    return DataError(message, obj=where, hint="Correct the file, or make it again.")
