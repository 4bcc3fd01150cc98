"""Yes/no questions about objects that are or are not in an image (POPE).

Source: Li et al., "Evaluating Object Hallucination in Large Vision-Language Models" (arXiv 2305.10355). The
three settings differ in how the absent objects were drawn: at random, among popular ones, and among those
that often occur beside what is there.
Differences from the published reader of answers: case and punctuation do not matter ("NO!" is no), and a
blank answer is wrong, where the reader takes it for yes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from evaluation.answers import AnswerEvaluation, align, definition_of
from evaluation.definition import MetricSpec
from evaluation.values import Found, values_of

Setting = Literal["random", "popular", "adversarial"]
SETTINGS: Final[tuple[Setting, ...]] = ("random", "popular", "adversarial")

QUANTITIES: Final = {
    "accuracy": "share of questions answered right",
    "precision": "share of answers 'yes' that are right",
    "recall": "share of questions with the answer 'yes' that are answered so",
    "f1": "harmonic mean of precision and recall",
    "yes_ratio": "share of questions answered 'yes'; not a quality: far from the true share, a bias",
}
"""What is said about a set of yes/no questions, and what it means."""

POPE: Final = definition_of(
    "pope/1",
    conventions=(
        "the first sentence is read, up to a full stop; a word 'no' or 'not' means no, anything else yes",
        "words are compared whole and in lower case",
        "'yes' is positive; precision, recall and F1 are 0 if nothing positive is found",
        "a missing or blank answer is wrong: a false positive or a false negative, but none of the yes_ratio",
        "a setting without a question is undefined; without a question answered 'yes', all but accuracy and "
        "yes_ratio are",
    ),
    metrics=tuple(
        MetricSpec(name=f"pope.{setting}.{name}", meaning=meaning, higher_is_better=name != "yes_ratio")
        for setting in SETTINGS
        for name, meaning in QUANTITIES.items()
    ),
)

_WORD = re.compile(r"[\w'-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class YesNoQuestion:
    """Whether an object is in an image."""

    item_id: str
    setting: Setting
    is_yes: bool

    def __post_init__(self) -> None:
        """Refuse what no answer can be compared with.

        Raises:
            ValueError: If the setting is none of the three.
            TypeError: If the truth is not a bool; the text "no" would count as yes.
        """
        if self.setting not in SETTINGS:
            raise ValueError(f"setting of {self.item_id!r} must be one of {SETTINGS}, got {self.setting!r}.")
        if not isinstance(self.is_yes, bool):
            raise TypeError(f"is_yes of {self.item_id!r} must be a bool, got {self.is_yes!r}.")


def reads_as_yes(answer: str) -> bool | None:
    """Read yes or no from the first sentence; None if there is no word.

    "No, there is not." is no; "Nothing is there." is yes, as in the published evaluation: no word of it is
    "no" or "not".
    """
    for sentence in answer.lower().split("."):
        if words := _WORD.findall(sentence):
            return not {"no", "not"} & set(words)
    return None


def evaluate_pope(questions: Sequence[YesNoQuestion], answers: Mapping[str, str]) -> AnswerEvaluation:
    """Score one answer per question, each setting for itself.

    Args:
        questions: At least one; ids are unique over the settings.
        answers: Item id -> answer. Missing and blank ones are wrong.

    Returns:
        Five numbers a setting. ``per_item`` has ``item_id``, ``setting``, ``is_yes``, ``answer``, ``read``
        (yes, no or nothing) and the bools ``is_right`` and ``is_positive`` (counted as answered yes for
        precision: also a blank answer to a question with the answer no).

    Raises:
        ValueError: If ids clash.
    """
    answer_list = align([question.item_id for question in questions], answers)
    rows = [_row(*pair) for pair in zip(questions, answer_list, strict=True)]
    table = pd.DataFrame(rows)
    found: dict[str, Found] = {}
    for setting in SETTINGS:
        rows_of = table[table["setting"] == setting]
        numbers: Mapping[str, Found] = dict.fromkeys(QUANTITIES, "no question has this setting")
        if not rows_of.empty:
            numbers = yes_no_numbers(rows_of)
        found |= {f"pope.{setting}.{name}": entry for name, entry in numbers.items()}
    return AnswerEvaluation(values=values_of(POPE, found), per_item=table)


def _row(question: YesNoQuestion, answer: str) -> dict[str, str | bool]:
    return {
        "item_id": question.item_id,
        "setting": question.setting,
        "is_yes": question.is_yes,
        "answer": answer,
        **yes_no_verdict(answer, is_yes=question.is_yes),
    }


def yes_no_verdict(answer: str, *, is_yes: bool) -> dict[str, str | bool]:
    """Compare an answer with the truth.

    Returns:
        ``read`` (yes, no or nothing), ``is_right``, and ``is_positive``: counted as answered yes for
        precision, also a blank answer to a question with the answer no.
    """
    said = reads_as_yes(answer)
    is_right = said is not None and said == is_yes
    return {
        "read": {None: "nothing", True: "yes", False: "no"}[said],
        "is_right": is_right,
        "is_positive": is_yes == is_right,
    }


def yes_no_numbers(rows: pd.DataFrame) -> dict[str, Found]:
    """Return ``QUANTITIES`` of questions.

    Args:
        rows: At least one, with ``is_yes`` and what ``yes_no_verdict`` returns.
    """
    found: dict[str, Found] = {
        "accuracy": (float(rows["is_right"].mean()), len(rows)),
        "yes_ratio": (float(rows["read"].eq("yes").mean()), len(rows)),
    }
    positives, claimed = int(rows["is_yes"].sum()), int(rows["is_positive"].sum())
    if not positives:
        return found | dict.fromkeys(("precision", "recall", "f1"), "no question has the answer yes")
    right = int((rows["is_yes"] & rows["is_right"]).sum())
    found["precision"] = (right / claimed if claimed else 0.0, claimed)
    found["recall"] = (right / positives, positives)
    found["f1"] = (2.0 * right / (claimed + positives), len(rows))
    return found
