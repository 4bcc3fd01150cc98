"""Describing a region or image in a sentence: CIDEr-D and BLEU-1 to BLEU-4.

Sources: Vedantam et al., "CIDEr: Consensus-based Image Description Evaluation" (arXiv 1411.5726) with the
clipping and length penalty of CIDEr-D; Papineni et al., "BLEU" (ACL 2002). Conventions of the coco-caption
scorers are kept where the papers leave room: they are in ``CAPTIONS.conventions``.
Differences from those scorers: BLEU is the exact formula, where they add 1e-15 to matches and 1e-9 to
counts, which moves a value by less than 1e-4. METEOR needs a program of its authors and is in
``evaluation.meteor``.

``caption_tokens`` follows the Penn Treebank in what it does with contractions and punctuation. It is not the
Stanford tokeniser of coco-caption: abbreviations, currencies, fractions, emoticons and bracket names come out
differently. Scores to be compared with published ones need ``tokenise=str.split`` on text that was tokenised
by the original.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from evaluation.answers import AnswerEvaluation, align, definition_of
from evaluation.definition import MetricSpec
from evaluation.values import Found, values_of

Tokenise = Callable[[str], Sequence[str]]
Gram = tuple[str, ...]

ORDERS: Final = (1, 2, 3, 4)
"""Lengths of n-grams, in words."""
SIGMA: Final = 6.0
"""Width of the length penalty of CIDEr-D, in bigrams."""

CAPTIONS: Final = definition_of(
    "captions/1",
    conventions=(
        "CIDEr-D: idf is log(items) - log(max(1, items whose references have the n-gram))",
        "CIDEr-D: the length penalty compares numbers of bigrams, with sigma 6",
        "CIDEr-D: a vector of length zero has similarity 0; mean over references and n of 1 to 4; x 10",
        "BLEU: over the corpus, counts clipped by the largest count in one reference, geometric mean, no "
        "smoothing",
        "BLEU: brevity penalty with the closest reference length, the shorter of two as close",
        "a missing or blank caption has no words: it scores 0 and its reference still counts for the penalty",
    ),
    metrics=(
        MetricSpec(
            name="caption.cider_d",
            meaning="mean tf-idf similarity to the references; 10 for captions equal to their one reference",
            unit="tenths of similarity",
            highest=10.0,
        ),
        *(
            MetricSpec(name=f"caption.bleu_{n}", meaning=f"precision of 1- to {n}-grams with brevity penalty")
            for n in ORDERS
        ),
    ),
)

_TOKEN = re.compile(
    r"n't(?![a-z])|'(?:s|re|ve|ll|d|m)(?![a-z])"  # the second half of a contraction
    r"|[0-9]+(?:[.,:/][0-9]+)*(?:-?[a-z]+)*"  # 3.5, 1,000, 10:30, 12-foot
    r"|[^\W_]+?(?=n't(?![a-z]))"  # the first half of one
    r"|[^\W_]+(?:[-/&_][^\W_]+)*"  # words, also hyphenated ones
    r"|[$%&#@*+=]"
)
_SPLIT: Final = {
    "cannot": ("can", "not"),
    "gonna": ("gon", "na"),
    "gotta": ("got", "ta"),
    "wanna": ("wan", "na"),
    "gimme": ("gim", "me"),
    "lemme": ("lem", "me"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionItem:
    """What people wrote about one region or image."""

    item_id: str
    references: tuple[str, ...]
    """At least one sentence, in the order of the file."""

    def __post_init__(self) -> None:
        """Refuse an item without a reference.

        Raises:
            ValueError: If there is none.
        """
        if not self.references:
            raise ValueError(f"item {self.item_id!r} must have at least 1 reference.")


def caption_tokens(text: str) -> list[str]:
    """Return lower-case words without punctuation; "It isn't 3.5-inch." gives it, is, n't, 3.5-inch."""
    found = _TOKEN.findall(text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    return [part for token in found for part in _SPLIT.get(token, (token,))]


def evaluate_captions(
    items: Sequence[CaptionItem],
    captions: Mapping[str, str],
    *,
    tokenise: Tokenise = caption_tokens,
    references: Literal["all", "last"] = "all",
) -> AnswerEvaluation:
    """Score one caption per item.

    Args:
        items: The references, at least one item; CIDEr-D needs two.
        captions: Item id -> caption. Missing and blank ones score 0.
        tokenise: Text -> words; ``str.split`` for text that is tokenised already.
        references: ``last`` keeps the last reference of each item, as some published evaluations do.

    Returns:
        The five metrics. ``per_item`` has ``item_id``, ``caption``, ``cider_d`` (absent for one item) and the
        counts of ``corpus_bleu``: ``num_words``, ``closest_reference_words``, ``matches_<n>``, ``grams_<n>``.

    Raises:
        ValueError: If ids clash, or a reference has no word.
    """
    caption_list = align([item.item_id for item in items], captions)
    kept = [item.references if references == "all" else item.references[-1:] for item in items]
    reference_words = [[list(tokenise(text)) for text in texts] for texts in kept]
    for item, texts in zip(items, reference_words, strict=True):
        if not all(texts):
            raise ValueError(f"each reference of item {item.item_id!r} must have a word.")
    words = [list(tokenise(caption)) for caption in caption_list]
    rows = [_bleu_counts(*pair) for pair in zip(words, reference_words, strict=True)]
    table = pd.DataFrame({"item_id": [item.item_id for item in items], "caption": caption_list})
    table = pd.concat([table, pd.DataFrame(rows)], axis=1)
    found: dict[str, Found] = {
        f"caption.bleu_{n}": (value, len(items)) for n, value in corpus_bleu(table).items()
    }
    found["caption.cider_d"] = "idf needs at least 2 items"
    if len(items) > 1:
        table["cider_d"] = cider_d(words, reference_words)
        found["caption.cider_d"] = (float(table["cider_d"].mean()), len(items))
    return AnswerEvaluation(values=values_of(CAPTIONS, found), per_item=table)


def cider_d(captions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> list[float]:
    """Return the CIDEr-D of each caption, in [0, 10]; idf is that of the references given.

    Args:
        captions: Words of one caption per item.
        references: Words of the references of each item.

    Raises:
        ValueError: If there are fewer than 2 items, or not as many captions as items.
    """
    if len(references) < 2 or len(captions) != len(references):
        raise ValueError(
            f"CIDEr-D needs one caption for each of at least 2 items, got {len(captions)} captions and "
            f"{len(references)} items."
        )
    counts = [[_grams(words) for words in texts] for texts in references]
    spread = Counter(gram for texts in counts for gram in set().union(*texts))
    scores = []
    for words, texts in zip(captions, counts, strict=True):
        said = _Weighted.of(_grams(words), spread, len(references))
        total = sum(said.similarity(_Weighted.of(count, spread, len(references))) for count in texts)
        scores.append(min(10.0 * total / len(texts), 10.0))
    return scores


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weighted:
    """One text as four vectors of tf-idf, one for each length of n-gram."""

    vectors: tuple[dict[Gram, float], ...]
    norms: tuple[float, ...]
    num_bigrams: int

    @classmethod
    def of(cls, counts: Mapping[Gram, int], spread: Mapping[Gram, int], num_items: int) -> "_Weighted":
        """Weigh counts by log(items) - log(items with the n-gram)."""
        vectors: tuple[dict[Gram, float], ...] = tuple({} for _ in ORDERS)
        for gram, count in counts.items():
            idf = math.log(num_items) - math.log(max(1, spread.get(gram, 0)))
            vectors[len(gram) - 1][gram] = count * idf
        return cls(
            vectors=vectors,
            norms=tuple(math.sqrt(sum(value * value for value in vector.values())) for vector in vectors),
            num_bigrams=sum(count for gram, count in counts.items() if len(gram) == 2),
        )

    def similarity(self, reference: "_Weighted") -> float:
        """Return the clipped cosine with a reference, mean over n, times the length penalty."""
        total = 0.0
        for n, vector in enumerate(self.vectors):
            product = self.norms[n] * reference.norms[n]
            if product > 0.0:
                other = reference.vectors[n]
                dot = sum(
                    min(value, other[gram]) * other[gram] for gram, value in vector.items() if gram in other
                )
                total += dot / product
        difference = self.num_bigrams - reference.num_bigrams
        return total / len(ORDERS) * math.exp(-(difference**2) / (2.0 * SIGMA**2))


def corpus_bleu(per_item: pd.DataFrame) -> dict[int, float]:
    """Return BLEU-1 to BLEU-4 of the rows of a table, so that any resample of rows can be scored.

    Args:
        per_item: ``num_words``, ``closest_reference_words``, and for n of 1 to 4 ``matches_<n>`` and
            ``grams_<n>``.

    Returns:
        n -> fraction in [0, 1]; 0 where no n-gram matches.
    """
    said, expected = int(per_item["num_words"].sum()), int(per_item["closest_reference_words"].sum())
    penalty = math.exp(min(0.0, 1.0 - expected / said)) if said else 0.0
    bleu, log_sum = {}, 0.0
    for n in ORDERS:
        matches, grams = int(per_item[f"matches_{n}"].sum()), int(per_item[f"grams_{n}"].sum())
        log_sum += math.log(matches / grams) if matches else -math.inf
        bleu[n] = penalty * math.exp(log_sum / n)
    return bleu


def _bleu_counts(words: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, int]:
    """Count the n-grams of a caption, and those found in a reference as often."""
    highest: Counter[Gram] = Counter()
    for reference in references:
        highest |= _grams(reference)
    matched = _grams(words) & highest
    row = {
        "num_words": len(words),
        "closest_reference_words": min(
            (len(text) for text in references), key=lambda k: (abs(k - len(words)), k)
        ),
    }
    for n in ORDERS:
        row[f"matches_{n}"] = sum(count for gram, count in matched.items() if len(gram) == n)
        row[f"grams_{n}"] = max(len(words) - n + 1, 0)
    return row


def _grams(words: Sequence[str]) -> Counter[Gram]:
    """Count the n-grams of every length."""
    return Counter(tuple(words[at : at + n]) for n in ORDERS for at in range(len(words) - n + 1))
