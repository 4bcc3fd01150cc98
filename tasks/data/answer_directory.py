"""A directory of answers: what one model said to the questions of one directory of samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasks.data.answer_files import read_answers
from tasks.data.commit import verify_directory
from tasks.errors import IntegrityError

ANSWERS_SCHEMA: Final = "groundwork.answers/1"
ANSWERS: Final = "answers.jsonl"
SUMMARY: Final = "answers.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDirectory:
    """Answers and where they come from."""

    answers: dict[str, str]
    """Id of a question -> answer."""
    model_sha256: str | None
    """Of the model's manifest; None for a file that others made."""


def read_answer_directory(path: Path, *, samples_sha256: str) -> AnswerDirectory:
    """Read a directory that ``groundwork answer`` made, or a file of lines that others made.

    Args:
        path: Directory or file.
        samples_sha256: Of the samples that the answers must be to; a file does not tell.

    Raises:
        IntegrityError: If the directory is damaged, or its answers are to other samples.
        DataError: If a line is malformed, or an id repeats.
    """
    if not path.is_dir():
        return AnswerDirectory(answers=read_answers(path), model_sha256=None)
    try:
        manifest = verify_directory(path, schema=ANSWERS_SCHEMA)
    except IntegrityError as error:
        raise IntegrityError(
            error.message, obj=error.obj, hint="Name a directory that `groundwork answer` made, or a file."
        ) from error
    asked = manifest.provenance.get("samples_sha256")
    if asked != samples_sha256:
        raise IntegrityError(
            f"answers questions of samples {str(asked)[:12]}, the truth is {samples_sha256[:12]}.",
            obj=str(path),
            hint="Name the directory that was asked, or run `groundwork answer` with this one.",
        )
    model = manifest.provenance.get("model_sha256")
    return AnswerDirectory(
        answers=read_answers(path / ANSWERS), model_sha256=model if isinstance(model, str) else None
    )
