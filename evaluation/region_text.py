"""Naming a region in a word or phrase: semantic similarity (SS) and semantic IoU (S-IoU).

Source: the referring object classification of Yuan et al., "Osprey: Pixel Understanding with Visual
Instruction Tuning" (arXiv 2312.10032), which embeds with SentenceBERT (all-MiniLM-L6-v2). The embedding is
an argument here: numbers of two encoders are not comparable, so the name of the encoder belongs beside them.
Differences from the published evaluation, which reads full stops and commas of the answer as spaces and drops
what stands before its first colon: both texts are cleaned alike, and nothing is dropped.

Shape suffixes:
    N = regions   U = distinct texts   D = width of an embedding
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.answers import AnswerEvaluation, align, definition_of
from evaluation.definition import MetricSpec
from evaluation.values import values_of

Embed = Callable[[Sequence[str]], npt.NDArray[Any]]
"""Texts -> one vector each, shape (number of texts, D), finite and not zero. Called once per evaluation."""

REGION_TEXT: Final = definition_of(
    "region-text/1",
    conventions=(
        "words are what stands between spaces, with _ / and : read as spaces, less . , ; at both ends",
        "the embedding gets the words joined by spaces; semantic IoU compares sets of words in lower case",
        "every region weighs the same",
        "a missing answer, or one without a word, has the lowest value: a cosine of -1 and an overlap of 0",
        "a mean cosine below 0 is reported as 0",
    ),
    metrics=(
        MetricSpec(
            name="region_text.semantic_similarity",
            meaning="100 times the mean cosine of the embeddings of answer and category",
            unit="percent",
            highest=100.0,
        ),
        MetricSpec(
            name="region_text.semantic_iou",
            meaning="100 times the mean of shared words over all words of answer and category",
            unit="percent",
            highest=100.0,
        ),
    ),
)

_TO_SPACE = str.maketrans("_/:", "   ")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRegion:
    """A region and the category it is to be given."""

    item_id: str
    category: str

    def __post_init__(self) -> None:
        """Refuse a category without a word: no answer could be right.

        Raises:
            ValueError: If the category has no word.
        """
        if not words(self.category):
            raise ValueError(f"category of item {self.item_id!r} must have a word, got {self.category!r}.")


def clean(text: str) -> str:
    """Return the words of a text joined by spaces; "traffic_light." becomes "traffic light"."""
    stripped = (word.strip(".,;") for word in text.translate(_TO_SPACE).split())
    return " ".join(word for word in stripped if word)


def words(text: str) -> frozenset[str]:
    """Return the set of words that semantic IoU compares."""
    return frozenset(clean(text).lower().split())


def semantic_iou(answer: str, category: str) -> float:
    """Return the words shared over all words of two texts, in [0, 1]; 0 if neither has one.

    ``semantic_iou("red car", "car")`` is 0.5.
    """
    said, expected = words(answer), words(category)
    return len(said & expected) / len(said | expected) if said | expected else 0.0


def evaluate_region_text(
    regions: Sequence[NamedRegion], answers: Mapping[str, str], *, embed: Embed
) -> AnswerEvaluation:
    """Score what a model called each region.

    Args:
        regions: What is to be named, at least one.
        answers: Item id -> answer. Missing ones and those without a word are wrong.
        embed: The sentence encoder; see ``Embed``.

    Returns:
        Both metrics; ``per_item`` has ``item_id``, ``category``, ``answer``, ``is_answered``,
        ``semantic_similarity`` in [-1, 1] and ``semantic_iou`` in [0, 1].

    Raises:
        ValueError: If ids clash, or the encoder returns another shape, a value that is not finite, or a
            vector of zeros.
    """
    answer_N = align([region.item_id for region in regions], answers)
    clean_N = [clean(answer) for answer in answer_N]
    category_N = [clean(region.category) for region in regions]
    table = pd.DataFrame(
        {
            "item_id": [region.item_id for region in regions],
            "category": category_N,
            "answer": answer_N,
            "is_answered": [bool(text) for text in clean_N],
            "semantic_similarity": cosines(clean_N, category_N, embed),
            "semantic_iou": [semantic_iou(*pair) for pair in zip(clean_N, category_N, strict=True)],
        }
    )
    names = ("semantic_similarity", "semantic_iou")
    found = {f"region_text.{n}": (100.0 * max(float(table[n].mean()), 0.0), len(table)) for n in names}
    return AnswerEvaluation(values=values_of(REGION_TEXT, found), per_item=table)


def cosines(clean_N: Sequence[str], category_N: Sequence[str], embed: Embed) -> npt.NDArray[np.float64]:
    """Compare answers with what is expected of them; every distinct text is embedded once.

    Args:
        clean_N: Answers, as ``clean`` returns them.
        category_N: What is expected, the same, each with a word.
        embed: The sentence encoder.

    Returns:
        Cosines, shape (N,), in [-1, 1]; an answer without a word gets -1.

    Raises:
        ValueError: If the encoder returns another shape, a value that is not finite, or a vector of zeros.
    """
    text_U = [text for text in dict.fromkeys((*category_N, *clean_N)) if text]
    place = {text: number for number, text in enumerate(text_U)}
    unit_UD = _unit_vectors(np.asarray(embed(text_U), dtype=np.float64), text_U)
    cosine_N = np.full(len(clean_N), -1.0)
    for number, (answer, category) in enumerate(zip(clean_N, category_N, strict=True)):
        if answer:
            cosine_N[number] = unit_UD[place[answer]] @ unit_UD[place[category]]
    return cosine_N.clip(-1.0, 1.0)


def _unit_vectors(vector_UD: npt.NDArray[np.float64], text_U: Sequence[str]) -> npt.NDArray[np.float64]:
    if vector_UD.ndim != 2 or len(vector_UD) != len(text_U):
        raise ValueError(f"embed must return shape ({len(text_U)}, width), got {vector_UD.shape}.")
    length_U = np.linalg.norm(vector_UD, axis=1)
    for text, length in zip(text_U, length_U.tolist(), strict=True):
        if not 0.0 < length < np.inf:
            raise ValueError(f"embed must return a finite vector other than zero for {text!r}.")
    unit_UD: npt.NDArray[np.float64] = vector_UD / length_U[:, None]
    return unit_UD
