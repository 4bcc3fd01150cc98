"""Describing a region or image in a sentence: METEOR 1.5 for English.

Source: Denkowski and Lavie, "Meteor Universal: Language Specific Translation Evaluation for Any Target
Language" (WMT 2014), equations 1 to 5, with the English parameters of release 1.5 for the task ``rank``.

METEOR has two parts. Words of a caption are aligned with those of a reference by identity, stem, WordNet
synonym and a table of paraphrases. That part is the authors' program, comes in as an argument
(``tasks.services.meteor`` runs it), and nothing else may stand in for it: what other libraries call METEOR
has other parameters and no paraphrases. The second part, the score of a caption or of any set of captions
from the counts of the alignments, is here; it equals what the program computes to the last bit, and lets any
resample of a table be scored.

The score of a corpus is not the mean of its captions: counts are added first. It is the one that is
published. A caption that is aligned whole, in one piece, adds no chunk to the corpus: that is the rule of the
coco-caption build of the program, which published numbers for captions come from.

Shape suffixes:
    I = items   S = the 23 counts of an alignment   M = matchers
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.answers import AnswerEvaluation, align, definition_of
from evaluation.captions import CaptionItem, Tokenise, caption_tokens
from evaluation.definition import MetricSpec
from evaluation.values import values_of

ALPHA: Final = 0.85
"""Weight of recall in the harmonic mean."""
BETA: Final = 0.2
"""Exponent of the fragmentation."""
GAMMA: Final = 0.6
"""Largest share of the score that fragmentation takes."""
DELTA: Final = 0.75
"""Weight of a content word; a function word weighs the rest."""
MATCHERS: Final = {"exact": 1.0, "stem": 0.6, "synonym": 0.8, "paraphrase": 0.6}
"""Weight of a match, by how it was found."""

COUNTS: Final = (
    "caption_words",
    "reference_words",
    "caption_function_words",
    "reference_function_words",
    *(
        f"{matcher}_{side}_{kind}"
        for matcher in MATCHERS
        for kind in ("content", "function")
        for side in ("caption", "reference")
    ),
    "chunks",
    "caption_matches",
    "reference_matches",
)
"""The counts of one alignment, in the order of the program."""

Aligner = Callable[[Sequence[str], Sequence[Sequence[str]]], npt.NDArray[np.float64]]
"""One caption and the references of each item, words joined by spaces -> ``COUNTS`` of the best reference of
each, shape (I, S)."""

METEOR: Final = definition_of(
    "meteor-1.5/1",
    conventions=(
        "METEOR 1.5, English, task rank: exact 1.0, stem 0.6, synonym 0.8, paraphrase 0.6",
        "alpha 0.85, beta 0.2, gamma 0.6, delta 0.75; the reference with the best score of an item counts",
        "over the corpus: the counts of all items are added before the score is taken",
        "a missing or blank caption has no words: its reference still counts",
    ),
    metrics=(
        MetricSpec(name="caption.meteor", meaning="weighted harmonic mean of matched words, less fragments"),
    ),
)


def evaluate_meteor(
    items: Sequence[CaptionItem],
    captions: Mapping[str, str],
    *,
    aligner: Aligner,
    tokenise: Tokenise = caption_tokens,
    references: Literal["all", "last"] = "all",
) -> AnswerEvaluation:
    """Score one caption per item.

    Args:
        items: The references, at least one item.
        captions: Item id -> caption. Missing and blank ones are empty.
        aligner: Runs the authors' program.
        tokenise: Text -> words; ``str.split`` for text that is tokenised already.
        references: ``last`` keeps the last reference of each item.

    Returns:
        ``caption.meteor`` of the corpus. ``per_item`` has ``item_id``, ``caption``, ``meteor`` of the item
        alone and the columns ``COUNTS``, from which ``corpus_meteor`` scores any rows.

    Raises:
        ValueError: If ids clash, a reference has no word, or the aligner returns something else than counts.
    """
    caption_list = align([item.item_id for item in items], captions)
    kept = [item.references if references == "all" else item.references[-1:] for item in items]
    texts = [[" ".join(tokenise(text)) for text in several] for several in kept]
    for item, several in zip(items, texts, strict=True):
        if not all(several):
            raise ValueError(f"each reference of item {item.item_id!r} must have a word.")
    count_IS = aligner([" ".join(tokenise(caption)) for caption in caption_list], texts)
    _check_counts(count_IS, len(items))
    table = pd.DataFrame({"item_id": [item.item_id for item in items], "caption": caption_list})
    table["meteor"] = meteor_scores(count_IS, chunks_of(count_IS))
    table = pd.concat([table, pd.DataFrame(count_IS, columns=list(COUNTS))], axis=1)
    found = {"caption.meteor": (corpus_meteor(table), len(items))}
    return AnswerEvaluation(values=values_of(METEOR, found), per_item=table)


def corpus_meteor(per_item: pd.DataFrame) -> float:
    """Return the METEOR of the rows of a table, so that any resample of rows can be scored.

    Args:
        per_item: The columns ``COUNTS``.

    Returns:
        Fraction in [0, 1]; 0 where nothing matches.
    """
    count_IS = per_item[list(COUNTS)].to_numpy(dtype=np.float64)
    return float(meteor_scores(count_IS.sum(axis=0)[None], chunks_of(count_IS).sum()[None])[0])


_PLACE: Final = {name: index for index, name in enumerate(COUNTS)}


def chunks_of(count_IS: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the chunks of each alignment, shape (I,), 0 for one that is whole."""
    chunks_I = count_IS[:, _PLACE["chunks"]]
    is_whole_I = chunks_I == 1
    for side in ("caption", "reference"):
        is_whole_I &= count_IS[:, _PLACE[f"{side}_matches"]] == count_IS[:, _PLACE[f"{side}_words"]]
    return np.where(is_whole_I, 0.0, chunks_I)


def meteor_scores(
    count_IS: npt.NDArray[np.float64], chunks_I: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Score rows of counts and their chunks, of one item each or added up over several, shape (I,)."""
    precision_I, recall_I = (_share(count_IS, side) for side in ("caption", "reference"))
    is_matched_I = (precision_I > 0.0) & (recall_I > 0.0)
    mean_I = np.zeros(len(count_IS))
    mean_I[is_matched_I] = 1.0 / ((1.0 - ALPHA) / precision_I[is_matched_I] + ALPHA / recall_I[is_matched_I])
    matches_I = (count_IS[:, _PLACE["caption_matches"]] + count_IS[:, _PLACE["reference_matches"]]) / 2
    fragmentation_I = chunks_I / np.where(is_matched_I, matches_I, 1.0)
    return np.asarray(mean_I * (1.0 - GAMMA * fragmentation_I**BETA))


def _share(count_IS: npt.NDArray[np.float64], side: str) -> npt.NDArray[np.float64]:
    """Return the weighted share of the words of a side that are matched; 0 without words."""
    function_I = count_IS[:, _PLACE[f"{side}_function_words"]]
    words_I = DELTA * (count_IS[:, _PLACE[f"{side}_words"]] - function_I) + (1.0 - DELTA) * function_I
    matched_I = np.zeros(len(count_IS))
    for matcher, weight in MATCHERS.items():
        content_I, grammar_I = (
            count_IS[:, _PLACE[f"{matcher}_{side}_{kind}"]] for kind in ("content", "function")
        )
        matched_I += weight * (DELTA * content_I + (1.0 - DELTA) * grammar_I)
    return matched_I / np.where(words_I > 0.0, words_I, 1.0)


def _check_counts(count_IS: npt.NDArray[np.float64], num_items: int) -> None:
    if count_IS.shape != (num_items, len(COUNTS)):
        raise ValueError(f"the aligner must return {(num_items, len(COUNTS))} counts, got {count_IS.shape}.")
    wrong_I = np.flatnonzero(~((count_IS >= 0.0) & (count_IS < np.inf)).all(axis=1))
    if len(wrong_I):
        raise ValueError(
            f"the aligner must return counts of at least 0, got {count_IS[wrong_I[0]].tolist()} for item "
            f"number {wrong_I[0]}."
        )
