"""Answers rated by a judge, as a percentage of what the reference answers are rated.

Source: the protocol of Ferret-Bench (You et al., "Ferret", arXiv 2310.07704), which Osprey uses for its
detailed descriptions: 100 * sum of the ratings of the model / sum of the ratings of the references. The judge
is an argument, a language model or a person behind it; numbers of two judges or two prompts are not
comparable, so the name of the judge belongs beside them.

A judge that fails makes every metric undefined, with the reason. Nothing is rated in its place.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evaluation.answers import AnswerEvaluation, align, definition_of
from evaluation.definition import Definition, MetricSpec
from evaluation.values import Found, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge gives to both answers, seen side by side."""

    reference: float
    model: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedQuestion:
    """What is asked about a region, and an answer to compare with."""

    item_id: str
    group: str
    """The task, e.g. ``referring description``."""
    question: str
    reference: str
    context: str = ""
    """What the judge may know of the image: objects, boxes, captions."""

    def __post_init__(self) -> None:
        """Refuse a question without a reference answer.

        Raises:
            ValueError: If the reference is blank.
        """
        if not self.reference.strip():
            raise ValueError(f"question {self.item_id!r} must have a reference answer.")


Judge = Callable[[JudgedQuestion, str], Verdict]
"""A question and the answer of the model -> ratings of both answers. It repeats and waits by itself, and
raises when it gives up."""


def judged_definition(groups: Sequence[str], *, highest: float) -> Definition:
    """Return what the numbers of these groups mean."""
    names = ("judged.all", *(f"judged.{group}" for group in sorted(set(groups))))
    return definition_of(
        "judged/1",
        conventions=(
            f"ratings lie in [0, {highest:g}]; any other rating is a failure of the judge",
            "one failure of the judge leaves every metric undefined; the questions after it are not judged",
            "a missing or blank answer is rated 0; its reference is rated beside a blank answer",
            "the sums run over all questions: it is not a mean of ratios",
        ),
        metrics=tuple(
            MetricSpec(
                name=name,
                meaning="100 * sum of ratings of the model / sum of ratings of the references",
                unit="percent",
                highest=None,
            )
            for name in names
        ),
    )


def evaluate_judged(
    questions: Sequence[JudgedQuestion], answers: Mapping[str, str], *, judge: Judge, highest: float = 10.0
) -> AnswerEvaluation:
    """Have every answer rated beside its reference.

    Args:
        questions: At least one.
        answers: Item id -> answer. Missing and blank ones are rated 0.
        judge: See ``Judge``; asked once per question, in their order.
        highest: The best rating the judge may give; the lowest is 0.

    Returns:
        ``judged.all`` and ``judged.<group>``. ``per_item`` has ``item_id``, ``group``, ``answer``,
        ``is_answered``, the ratings ``model_rating`` and ``reference_rating`` (absent where not judged) and
        ``failure``, the reason why there is no rating (absent where there is one).

    Raises:
        ValueError: If ids clash, a group is called ``all``, or ``highest`` is not positive and finite.
    """
    if not 0.0 < highest < np.inf:
        raise ValueError(f"highest must be positive and finite, got {highest}.")
    answer_list = align([question.item_id for question in questions], answers)
    for question in questions:
        if question.group == "all":
            raise ValueError(f"group of question {question.item_id!r} must not be 'all': it is the whole.")
    rows: list[dict[str, Any]] = []
    failure = ""
    for question, answer in zip(questions, answer_list, strict=True):
        verdict: Verdict | str = f"not judged: {failure}"
        if not failure:
            verdict = _ask(judge, question, answer, highest)
            failure = verdict if isinstance(verdict, str) else ""
        rows.append(_row(question, answer, verdict))
    table = pd.DataFrame(rows).astype(
        {"model_rating": "Float64", "reference_rating": "Float64", "failure": "string"}
    )
    definition = judged_definition([question.group for question in questions], highest=highest)
    found: dict[str, Found] = {}
    for spec in definition.metrics:
        group = spec.name.removeprefix("judged.")
        found[spec.name] = failure or _ratio(table if group == "all" else table[table["group"] == group])
    return AnswerEvaluation(values=values_of(definition, found), per_item=table)


def _ask(judge: Judge, question: JudgedQuestion, answer: str, highest: float) -> Verdict | str:
    """Return the ratings, or why there are none."""
    try:
        verdict: object = judge(question, answer)
    except Exception as error:  # whatever a judge dies of, there is no rating, and the reason is kept
        return f"the judge failed at {question.item_id!r}: {type(error).__name__}: {error}"
    if not isinstance(verdict, Verdict):
        return f"the judge failed at {question.item_id!r}: expected a Verdict, got {verdict!r}"
    for rating in (verdict.reference, verdict.model):
        if isinstance(rating, bool) or not isinstance(rating, int | float) or not 0.0 <= rating <= highest:
            return (
                f"the judge failed at {question.item_id!r}: ratings must be numbers in [0, {highest:g}], "
                f"got {verdict}"
            )
    return verdict


def _row(question: JudgedQuestion, answer: str, verdict: Verdict | str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "item_id": question.item_id,
        "group": question.group,
        "answer": answer,
        "is_answered": bool(answer),
        "model_rating": None,
        "reference_rating": None,
        "failure": None,
    }
    if isinstance(verdict, str):
        return row | {"failure": verdict}
    model = float(verdict.model) if answer else 0.0
    return row | {"model_rating": model, "reference_rating": float(verdict.reference)}


def _ratio(rows: pd.DataFrame) -> Found:
    total = float(rows["reference_rating"].sum())
    if total == 0.0:
        return "the judge rated every reference 0"
    return 100.0 * float(rows["model_rating"].sum()) / total, len(rows)
