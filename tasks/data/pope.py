"""POPE: yes/no questions about objects that are or are not in an image, one JSON object a line.

Source: Li et al. (arXiv 2305.10355) and its files ``coco_pope_<setting>.json``: ``question_id``, ``image``,
``text`` and ``label``, which is yes or no. Ids count from 1 in each setting, so here the setting stands
before them: ``popular/17``.

Answers have the id of their question, or, in the form of the authors' example, the question itself: then
there must be one for each, in their order and word by word, because the place is all that joins them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.pope import SETTINGS, Setting, YesNoQuestion
from tasks.data.answer_files import check_text, invalid, read_answers, read_json_lines
from tasks.data.importing import check_file_name
from tasks.data.refcoco import check_types
from tasks.data.strict_json import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class PopeItem:
    """A question with what a model is asked."""

    question: YesNoQuestion
    image: str
    """File name of the image."""
    text: str


def read_pope(path: Path, *, setting: Setting | None = None) -> list[PopeItem]:
    """Read the questions of one setting, or of a folder that has a file for each.

    Args:
        path: A file, or a folder of files of which each tells its setting.
        setting: Of the file; None: the last word of its name tells, as in ``coco_pope_random.json``.

    Returns:
        The questions in the order of the lines, settings by name.

    Raises:
        DataError: With file and line, if a line is malformed, a label is neither yes nor no, an id repeats,
            or a setting is unknown or has two files.
    """
    items: list[PopeItem] = []
    for name, file in _files(path, setting).items():
        seen: set[str] = set()
        for where, row in read_json_lines(file):
            try:
                item = _item(row, name)
                if item.question.item_id in seen:
                    raise ValueError(f"question {row['question_id']!r} appears a second time.")
            except ValueError as error:
                raise invalid(where, str(error)) from error
            seen.add(item.question.item_id)
            items.append(item)
    return items


def read_pope_answers(
    path: Path, items: Sequence[PopeItem], *, setting: Setting | None = None
) -> dict[str, str]:
    """Read the answers of one setting, or of a folder that has a file for each, named alike.

    Args:
        path: A file, or a folder of files of which each tells its setting.
        items: The questions.
        setting: Of the file; None: the last word of its name tells.

    Returns:
        Id as in the questions -> answer.

    Raises:
        DataError: With file and line, if a line is malformed, an id repeats, or answers without an id do not
            stand beside their questions.
    """
    answers: dict[str, str] = {}
    for name, file in _files(path, setting).items():
        _, first = next(read_json_lines(file), ("", None))
        if isinstance(first, dict) and "question_id" not in first and "question" in first:
            answers |= _by_place(file, [item for item in items if item.question.setting == name])
        else:
            answers |= read_answers(file, prefix=f"{name}/")
    return answers


def _by_place(path: Path, items: Sequence[PopeItem]) -> dict[str, str]:
    """Join answers that carry the text of their question."""
    rows = list(read_json_lines(path))
    if len(rows) != len(items):
        raise invalid(str(path), f"has {len(rows)} answers without question_id to {len(items)} questions.")
    answers: dict[str, str] = {}
    for (where, row), item in zip(rows, items, strict=True):
        try:
            check_types(row, "an answer", question=str, answer=str)
            if row["question"].strip().lower() != item.text.strip().lower():
                raise ValueError(
                    f"answers {row['question'][:80]!r}, the question in this place is {item.text[:80]!r}."
                )
        except ValueError as error:
            raise invalid(where, str(error)) from error
        answers[item.question.item_id] = row["answer"]
    return answers


def _item(row: JsonValue, setting: Setting) -> PopeItem:
    check_types(row, "a question", question_id=(int, str), image=str, text=str, label=str)
    check_text("text", row["text"])
    if reason := check_file_name(row["image"]):
        raise ValueError(f"image {row['image'][:80]!r} {reason}.")
    if row["label"] not in ("yes", "no"):
        raise ValueError(f"label must be yes or no, got {row['label'][:80]!r}.")
    question = YesNoQuestion(
        item_id=f"{setting}/{row['question_id']}", setting=setting, is_yes=row["label"] == "yes"
    )
    return PopeItem(question=question, image=row["image"], text=row["text"])


def _files(path: Path, setting: Setting | None) -> dict[Setting, Path]:
    """Return the file of each setting."""
    if not path.is_dir():
        return {setting or _setting_of(path): path}
    if setting is not None:
        raise invalid(str(path), f"is a folder; a setting ({setting}) is of one file.")
    files: dict[Setting, Path] = {}
    for file in sorted(path.iterdir()):
        name = _setting_of(file)
        if name in files:
            raise invalid(str(path), f"has two files of the setting {name}: {files[name].name}, {file.name}.")
        files[name] = file
    if not files:
        raise invalid(str(path), "is empty.")
    return files


def _setting_of(path: Path) -> Setting:
    for setting in SETTINGS:
        if path.stem == setting or path.stem.endswith((f"_{setting}", f"-{setting}")):
            return setting
    raise invalid(
        str(path), f"has a name that ends in none of {', '.join(SETTINGS)}, and no setting is given."
    )
