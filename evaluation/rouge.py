"""Describing a region or image in a sentence: ROUGE-L.

Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (ACL workshop 2004), section 3.1: the
longest common subsequence of words over the words of the reference (recall) and of the caption (precision),
joined in an F measure. Convention of the coco-caption scorers: beta 1.2, and of several references the best
recall and the best precision each.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import pandas as pd

from evaluation.answers import AnswerEvaluation, align, definition_of
from evaluation.captions import CaptionItem, Tokenise, caption_tokens
from evaluation.definition import MetricSpec
from evaluation.values import values_of

BETA: Final = 1.2
"""How much recall weighs against precision."""

ROUGE: Final = definition_of(
    "rouge-l/1",
    conventions=(
        "F measure of the longest common subsequence of words, beta 1.2; mean over items",
        "of several references, the best recall and the best precision count, each for itself",
        "a missing or blank caption scores 0",
    ),
    metrics=(
        MetricSpec(name="caption.rouge_l", meaning="F measure of the longest common subsequence of words"),
    ),
)


def evaluate_rouge(
    items: Sequence[CaptionItem], captions: Mapping[str, str], *, tokenise: Tokenise = caption_tokens
) -> AnswerEvaluation:
    """Score one caption per item.

    Args:
        items: The references, at least one item.
        captions: Item id -> caption. Missing and blank ones score 0.
        tokenise: Text -> words.

    Returns:
        ``caption.rouge_l``; ``per_item`` has ``item_id``, ``caption`` and ``rouge_l``.

    Raises:
        ValueError: If ids clash, or a reference has no word.
    """
    caption_list = align([item.item_id for item in items], captions)
    scores = []
    for item, caption in zip(items, caption_list, strict=True):
        references = [tokenise(text) for text in item.references]
        if not all(references):
            raise ValueError(f"each reference of item {item.item_id!r} must have a word.")
        scores.append(rouge_l(tokenise(caption), references))
    table = pd.DataFrame(
        {"item_id": [item.item_id for item in items], "caption": caption_list, "rouge_l": scores}
    )
    found = {"caption.rouge_l": (float(table["rouge_l"].mean()), len(table))}
    return AnswerEvaluation(values=values_of(ROUGE, found), per_item=table)


def rouge_l(words: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Return ROUGE-L of one caption, in [0, 1].

    Example:
        >>> round(rouge_l("a red cup".split(), ["the red cup".split()]), 4)
        0.6667
    """
    lengths = [longest_common(words, reference) for reference in references]
    if not words or not any(lengths):
        return 0.0
    precision = max(lengths) / len(words)
    recall = max(length / len(reference) for length, reference in zip(lengths, references, strict=True))
    return (1.0 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence of two lists of words."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for at, other in enumerate(second, start=1):
            above = row[at]
            row[at] = diagonal + 1 if word == other else max(above, row[at - 1])
            diagonal = above
    return row[-1]
