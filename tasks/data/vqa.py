"""VQA v2: a document of questions and a document of what ten people answered, joined by id.

Source: the format page of VQA (https://visualqa.org/download.html). Results are a list of ``{"question_id",
"answer"}``, which ``tasks.data.answer_files.read_answers`` reads.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.questions import Question
from tasks.data.answer_files import check_text, invalid
from tasks.data.refcoco import check_types
from tasks.data.strict_json import JsonValue, read_json

_Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class VqaItem:
    """A question with what a model is asked."""

    question: Question
    """Its group is the type of the answer: ``yes/no``, ``number`` or ``other``."""
    image_id: int
    text: str


def read_vqa(questions: Path, annotations: Path) -> list[VqaItem]:
    """Join questions and answers.

    Args:
        questions: Document with ``questions``: ``question_id``, ``image_id``, ``question``.
        annotations: Document with ``annotations``: ``question_id``, ``image_id``, ``answer_type`` and
            ``answers``, of which each has ``answer_id`` and ``answer``.

    Returns:
        The questions in the order of their document, each with one reference a person.

    Raises:
        DataError: With document and question, if a document is malformed, an id repeats, a question has no
            annotation or an annotation no question, images differ, an answer is blank or counted twice, or
            the documents are of different parts of the data (``data_subtype``).
    """
    asked, answered = _table(questions, "questions"), _table(annotations, "annotations")
    _check_subtypes(questions, asked, annotations, answered)
    items = []
    rows = _by_id(annotations, answered["annotations"], "an annotation")
    texts = _by_id(questions, asked["questions"], "a question")
    for place, ids in ((annotations, rows.keys() - texts.keys()), (questions, texts.keys() - rows.keys())):
        if ids:
            raise invalid(
                str(place), f"{len(ids)} ids are not in the other document, first: {sorted(ids)[:10]}."
            )
    for number, row in texts.items():
        where = str(questions)
        try:
            check_types(row, f"question {number}", question=str, image_id=int)
            check_text(f"question {number}", row["question"])
            where = str(annotations)
            question = _question(number, rows[number])
            if rows[number]["image_id"] != row["image_id"]:
                raise ValueError(
                    f"question {number} is about image {row['image_id']}, its answers about "
                    f"{rows[number]['image_id']}."
                )
        except ValueError as error:
            raise invalid(where, str(error)) from error
        items.append(VqaItem(question=question, image_id=row["image_id"], text=row["question"]))
    return items


def _question(number: int, row: _Row) -> Question:
    where = f"annotation of question {number}"
    check_types(row, where, image_id=int, answer_type=str, answers=list)
    seen: set[int] = set()
    for answer in row["answers"]:
        check_types(answer, f"an answer to question {number}", answer=str, answer_id=int)
        check_text(f"an answer to question {number}", answer["answer"])
        if answer["answer_id"] in seen:
            raise ValueError(f"{where} has answer_id {answer['answer_id']} twice.")
        seen.add(answer["answer_id"])
    if len(seen) < 2:
        raise ValueError(f"{where} must have the answers of at least 2 people, got {len(seen)}.")
    return Question(
        item_id=str(number),
        references=tuple(answer["answer"] for answer in row["answers"]),
        group=row["answer_type"],
    )


def _table(path: Path, name: str) -> _Row:
    value = read_json(path)
    if not isinstance(value, dict) or not isinstance(value.get(name), list) or not value[name]:
        raise invalid(str(path), f"must be a document with a list {name!r} that is not empty.")
    return value


def _check_subtypes(questions: Path, asked: _Row, annotations: Path, answered: _Row) -> None:
    names = [value.get("data_subtype") for value in (asked, answered)]
    if None not in names and names[0] != names[1]:
        raise invalid(str(annotations), f"is of {names[1]!r}, but {questions} is of {names[0]!r}.")


def _by_id(path: Path, rows: list[JsonValue], name: str) -> dict[int, _Row]:
    table: dict[int, _Row] = {}
    for number, row in enumerate(rows, start=1):
        try:
            check_types(row, name, question_id=int)
            if row["question_id"] in table:
                raise ValueError(f"question_id {row['question_id']} appears a second time.")
        except ValueError as error:
            raise invalid(f"{path} item {number}", str(error)) from error
        table[row["question_id"]] = row
    return table
