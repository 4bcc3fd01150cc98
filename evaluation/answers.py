"""What the metrics of text share: answers joined to questions by id, and the result.

One rule holds for all of them: the truth says what is asked, and an answer that is missing or blank is wrong
and counted. It takes the lowest value that the metric has, so that silence never pays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from evaluation.definition import Definition, MetricSpec
from evaluation.values import Values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnswerEvaluation:
    """Numbers, and the table that they were computed from."""

    values: Values
    per_item: pd.DataFrame
    """One row per question, in the order of the questions."""


def definition_of(name: str, *, conventions: tuple[str, ...], metrics: tuple[MetricSpec, ...]) -> Definition:
    """Return a definition without the fields that only boxes and masks have."""
    return Definition(
        name=name,
        iou_percent=(),
        recall_points=0,
        caps=(),
        areas=(),
        conventions=conventions,
        metrics=metrics,
    )


def align(item_ids: Sequence[str], answers: Mapping[str, str]) -> list[str]:
    """Return the answer to each item, stripped, and an empty text where there is none.

    Args:
        item_ids: What was asked.
        answers: Id of an item -> what the model said.

    Returns:
        One text per item, in the order of the items.

    Raises:
        ValueError: If there is no item, an id stands twice, or an answer belongs to no item.
        TypeError: If an answer is not text.
    """
    if not item_ids:
        raise ValueError("no items to score; refusing to report a metric over nothing.")
    known: set[str] = set()
    for item_id in item_ids:
        if item_id in known:
            raise ValueError(f"item {item_id!r} stands twice; ids must be unique.")
        known.add(item_id)
    for item_id, answer in answers.items():
        if item_id not in known:
            raise ValueError(f"answer to unknown item {item_id!r}; expected one of the {len(known)} items.")
        if not isinstance(answer, str):
            raise TypeError(f"answer to item {item_id!r} must be text, got {answer!r}.")
    return [answers.get(item_id, "").strip() for item_id in item_ids]
