"""Questions with short answers: VQA accuracy, ANLS, exact match and the inclusion match of OCRBench.

Sources: VQA accuracy, Antol et al. (arXiv 1505.00468), in two forms that are never one number:
``vqa_accuracy`` averages over leaving out each person, ``vqa_accuracy_simple`` does not. ANLS, Biten et al.,
"Scene Text Visual Question Answering" (arXiv 1905.13648). Exact match as for GQA (Hudson and Manning, arXiv
1902.09506). Inclusion, Liu et al., "OCRBench" (arXiv 2305.07895).
Yes/no questions are in ``evaluation.pope``; how VQA accuracy compares texts is in ``evaluation.vqa_text``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, assert_never

import pandas as pd

from evaluation.answers import AnswerEvaluation, align, definition_of
from evaluation.definition import Definition, MetricSpec
from evaluation.values import values_of
from evaluation.vqa_text import normalise_vqa

Measure = Literal["vqa_accuracy", "vqa_accuracy_simple", "anls", "exact_match", "ocrbench_right"]

_MEANINGS: Final[dict[Measure, tuple[str, tuple[str, ...]]]] = {
    "vqa_accuracy": (
        "mean over left-out people of min(1, equal answers of the others / 3)",
        ("all answers are normalised first", "each question has answers of at least 2 people"),
    ),
    "vqa_accuracy_simple": (
        "min(1, equal answers / 3), nobody left out",
        ("all answers are normalised first",),
    ),
    "anls": (
        "mean over questions of the best similarity to a reference",
        (
            "similarity is 1 - NL if NL < 0.5, else 0; NL is edit distance / length of the longer text",
            "texts are compared in lower case, with runs of white space as one space",
        ),
    ),
    "exact_match": (
        "share of answers equal to a reference",
        ("texts are compared in lower case, with runs of white space as one space, less one full stop",),
    ),
    "ocrbench_right": (
        "number of answers that contain a reference",
        (
            "texts are compared in lower case, line breaks as spaces; formulas as written, less spaces",
            "a reference may stand inside a word: the length of an answer is in the table, to be bounded",
        ),
    ),
}


def _definition(measure: Measure) -> Definition:
    meaning, conventions = _MEANINGS[measure]
    counts = measure == "ocrbench_right"
    return definition_of(
        f"{measure}/1",
        conventions=(*conventions, "a missing or blank answer scores 0"),
        metrics=(
            MetricSpec(
                name=f"questions.{measure}",
                meaning=meaning,
                unit="questions" if counts else "fraction",
                highest=None if counts else 1.0,
            ),
        ),
    )


QUESTIONS: Final[dict[Measure, Definition]] = {measure: _definition(measure) for measure in _MEANINGS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What people answered, or accept as an answer."""

    item_id: str
    references: tuple[str, ...]
    """For VQA accuracy one per person, equal ones repeated; otherwise the accepted answers."""
    group: str = "all"
    """Any part of the set, for the table."""
    is_formula: bool = False
    """The reference is a formula, which OCRBench compares in another way."""

    def __post_init__(self) -> None:
        """Refuse a question without an answer, or with a blank one that anything would contain.

        Raises:
            ValueError: If there is no reference, or a blank one.
        """
        if not self.references or not all(text.strip() for text in self.references):
            raise ValueError(
                f"question {self.item_id!r} must have references, none blank, got {self.references!r}."
            )


def evaluate_questions(
    questions: Sequence[Question], answers: Mapping[str, str], *, measure: Measure
) -> AnswerEvaluation:
    """Score one answer per question.

    Args:
        questions: At least one.
        answers: Item id -> answer. Missing and blank ones score 0.
        measure: Which definition of right.

    Returns:
        One metric, ``questions.<measure>``: the mean of the scores, or their sum for OCRBench. ``per_item``
        has ``item_id``, ``group``, ``answer``, ``is_answered``, ``num_characters`` of the answer and
        ``score`` in [0, 1].

    Raises:
        ValueError: If ids clash, or leaving one person out leaves nobody.
    """
    answer_list = align([question.item_id for question in questions], answers)
    table = pd.DataFrame(
        {
            "item_id": [question.item_id for question in questions],
            "group": [question.group for question in questions],
            "answer": answer_list,
            "is_answered": [bool(answer) for answer in answer_list],
            "num_characters": [len(answer) for answer in answer_list],
            "score": [
                float(_score(question, answer, measure))
                for question, answer in zip(questions, answer_list, strict=True)
            ],
        }
    )
    value = float(table["score"].sum() if measure == "ocrbench_right" else table["score"].mean())
    values = values_of(QUESTIONS[measure], {f"questions.{measure}": (value, len(table))})
    return AnswerEvaluation(values=values, per_item=table)


def _score(question: Question, answer: str, measure: Measure) -> float:
    if measure == "vqa_accuracy" and len(question.references) < 2:
        raise ValueError(f"question {question.item_id!r} needs the answers of at least 2 people, got 1.")
    match measure:
        case "vqa_accuracy":
            return vqa_accuracy(answer, question.references)
        case "vqa_accuracy_simple":
            return vqa_accuracy_simple(answer, question.references)
        case "anls":
            return levenshtein_similarity(answer, question.references)
        case "exact_match":
            return exact_match(answer, question.references)
        case "ocrbench_right":
            return includes(answer, question.references, is_formula=question.is_formula)
        case _:
            assert_never(measure)


def vqa_accuracy(answer: str, references: Sequence[str]) -> float:
    """Return the mean, over leaving out each person, of min(1, equal answers of the others / 3).

    3 equal answers of 10 give 0.9: leaving out one of the three gives 2/3, three times of ten.

    Raises:
        ValueError: If there are fewer than 2 references.
    """
    people = len(references)
    if people < 2:
        raise ValueError(f"leaving one person out needs at least 2 answers, got {people}.")
    equal = _num_equal(answer, references)
    without_equal, without_other = min(1.0, (equal - 1) / 3.0), min(1.0, equal / 3.0)
    return (equal * without_equal + (people - equal) * without_other) / people


def vqa_accuracy_simple(answer: str, references: Sequence[str]) -> float:
    """Return min(1, equal answers / 3); 3 of 10 give 1, where ``vqa_accuracy`` gives 0.9."""
    return min(1.0, _num_equal(answer, references) / 3.0)


def _num_equal(answer: str, references: Sequence[str]) -> int:
    said = normalise_vqa(answer)
    return sum(normalise_vqa(text) == said for text in references) if answer.strip() else 0


def levenshtein_similarity(answer: str, references: Sequence[str]) -> float:
    """Return the best similarity of ANLS, in {0} or (0.5, 1]."""
    said = _plain(answer)
    return max((_similarity(said, _plain(text)) for text in references), default=0.0) if said else 0.0


def _similarity(first: str, second: str) -> float:
    longer = max(len(first), len(second))
    if 2 * abs(len(first) - len(second)) >= longer:  # the distance is at least the difference in length
        return 0.0
    distance = edit_distance(first, second)
    return 1.0 - distance / longer if 2 * distance < longer else 0.0


def edit_distance(first: str, second: str) -> int:
    """Return the least number of characters inserted, deleted or replaced (Levenshtein)."""
    row = list(range(len(second) + 1))
    for number, letter in enumerate(first, start=1):
        diagonal, row[0] = row[0], number
        for at, other in enumerate(second, start=1):
            diagonal, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, diagonal + (letter != other))
    return row[-1]


def exact_match(answer: str, references: Sequence[str]) -> bool:
    """Say whether the answer equals a reference but for case, white space and one full stop at the end."""
    said = _plain(answer).removesuffix(".").rstrip()
    return bool(said) and any(said == _plain(text).removesuffix(".").rstrip() for text in references)


def includes(answer: str, references: Sequence[str], *, is_formula: bool = False) -> bool:
    """Say whether a reference stands in the answer; formulas keep their case and lose their spaces."""

    def shape(text: str) -> str:
        line = text.strip().replace("\n", " ")
        return line.replace(" ", "") if is_formula else line.lower()

    return any(shape(text) in shape(answer) for text in references)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
