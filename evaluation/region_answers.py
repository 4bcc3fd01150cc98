"""Answers about regions: right or wrong word by word, yes or no, and how near words and sentences come.

What an answer is compared by depends on the answer that is expected: ``yes-no`` begins with yes or no,
``sentence`` has at least four words, one of which counts in a caption (emoji do not), ``phrase`` is the rest.

Sources: those of ``evaluation.pope`` (yes and no), ``region_text`` (phrases), ``captions``, ``rouge`` and
``meteor`` (sentences). Which questions there are, and of which kinds, is ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd

from evaluation.answers import AnswerEvaluation, align, definition_of
from evaluation.captions import CAPTIONS, CaptionItem, caption_tokens, evaluate_captions
from evaluation.definition import MetricSpec
from evaluation.meteor import METEOR, Aligner, evaluate_meteor
from evaluation.pope import POPE, QUANTITIES, yes_no_numbers, yes_no_verdict
from evaluation.region_text import REGION_TEXT, Embed, clean, cosines, semantic_iou
from evaluation.rouge import ROUGE, evaluate_rouge
from evaluation.values import Found, Values, values_of

Form = Literal["yes-no", "phrase", "sentence"]
SENTENCE_WORDS: Final = 4
"""Words from which an expected answer is a sentence: BLEU-4 compares four in a row."""

REGION_ANSWERS: Final = definition_of(
    "region-answers/1",
    conventions=(
        "texts are equal if their words are, in lower case: what stands between spaces, with _ / and : read "
        "as spaces, less . , ; at both ends",
        "yes-no: the expected answer begins with the word yes or no; sentence: it has at least 4 words, one "
        "of which counts in a caption, as punctuation and emoji do not; phrase: any other",
        "yes_no: of yes-no questions; region_text: of phrases and sentences; caption: of sentences",
        "a missing or blank answer is wrong and counted",
        *(f"yes_no: {text}" for text in POPE.conventions[:3]),
        *(f"region_text: {text}" for text in REGION_TEXT.conventions[1:]),
        *CAPTIONS.conventions,
        *(f"ROUGE-L: {text}" for text in ROUGE.conventions),
        *(f"METEOR: {text}" for text in METEOR.conventions),
    ),
    metrics=(
        MetricSpec(name="answers.exact_match", meaning="share of questions answered in the expected words"),
        MetricSpec(name="answers.answered", meaning="share of questions with an answer that has a word"),
        *(
            MetricSpec(name=f"yes_no.{name}", meaning=meaning, higher_is_better=name != "yes_ratio")
            for name, meaning in QUANTITIES.items()
        ),
        *REGION_TEXT.metrics,
        *CAPTIONS.metrics,
        *ROUGE.metrics,
        *METEOR.metrics,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionItem:
    """A question about an image or its regions, and the answer that is expected."""

    item_id: str
    image: str
    """What is drawn anew for intervals; a text of its own where there is no image."""
    kind: str
    """How the question was made."""
    reference: str

    def __post_init__(self) -> None:
        """Refuse a reference without a word: no answer could be right. Raises ValueError."""
        if not clean(self.reference):
            raise ValueError(f"reference of item {self.item_id!r} must have a word, got {self.reference!r}.")

    @property
    def form(self) -> Form:
        """By what an answer is compared."""
        words = clean(self.reference).lower().split()
        if words[0] in ("yes", "no"):
            return "yes-no"
        is_long = len(words) >= SENTENCE_WORDS and bool(caption_tokens(self.reference))
        return "sentence" if is_long else "phrase"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionAnswers:
    """Numbers, and the tables that they were computed from."""

    values: Values
    per_item: pd.DataFrame
    """One row a question: ``item_id``, ``image``, ``kind``, ``form``, ``reference``, ``answer``,
    ``is_answered``, ``is_exact``, ``is_right`` (yes-no: as it is read, else exact), ``read``,
    ``is_positive``, ``semantic_iou``, ``semantic_similarity``, ``cider_d`` and ``rouge_l``; what does not
    apply is absent."""
    captions: pd.DataFrame
    """One row a sentence: ``image`` and the counts of BLEU and METEOR; empty without sentences."""


def evaluate_region_answers(
    items: Sequence[RegionItem],
    answers: Mapping[str, str],
    *,
    embed: Embed | None = None,
    aligner: Aligner | None = None,
) -> RegionAnswers:
    """Score one answer per question.

    Args:
        items: At least one; ids are unique.
        answers: Item id -> answer. Missing and blank ones are wrong.
        embed: A sentence encoder; None leaves the semantic similarity undefined.
        aligner: Runs METEOR; None leaves it undefined.

    Raises:
        ValueError: If ids clash, or the encoder or METEOR returns what is none of theirs.
    """
    table = _compared(items, align([item.item_id for item in items], answers))
    found: dict[str, Found] = {
        "answers.exact_match": (float(table["is_exact"].mean()), len(table)),
        "answers.answered": (float(table["is_answered"].mean()), len(table)),
        **_yes_no(table),
        **_words(table, embed),
    }
    numbers, captions = _sentences(items, table, aligner)
    return RegionAnswers(values=values_of(REGION_ANSWERS, found | numbers), per_item=table, captions=captions)


def _compared(items: Sequence[RegionItem], answers: Sequence[str]) -> pd.DataFrame:
    """Say of each answer whether it is right."""
    rows = []
    for item, answer in zip(items, answers, strict=True):
        expected = clean(item.reference).lower()
        row = {
            "item_id": item.item_id,
            "image": item.image,
            "kind": item.kind,
            "form": item.form,
            "reference": item.reference,
            "answer": answer,
            "is_answered": bool(clean(answer)),
            "is_exact": clean(answer).lower() == expected,
        }
        row |= {"is_yes": None, "read": None, "is_positive": None, "is_right": row["is_exact"]}
        if item.form == "yes-no":
            is_yes = expected.split()[0] == "yes"
            row |= {"is_yes": is_yes, **yes_no_verdict(answer, is_yes=is_yes)}
        rows.append(row)
    return pd.DataFrame(rows)


def _yes_no(table: pd.DataFrame) -> dict[str, Found]:
    rows = table[table["form"] == "yes-no"]
    if rows.empty:
        return {f"yes_no.{name}": "no expected answer begins with yes or no" for name in QUANTITIES}
    # Beside other questions the columns may hold None, so they are objects.
    rows = rows.astype({"is_yes": bool, "is_right": bool, "is_positive": bool})
    return {f"yes_no.{name}": entry for name, entry in yes_no_numbers(rows).items()}


def _words(table: pd.DataFrame, embed: Embed | None) -> dict[str, Found]:
    """Compare phrases and sentences word by word; adds columns."""
    is_text = (table["form"] != "yes-no").to_numpy()
    table["semantic_iou"] = np.nan
    table["semantic_similarity"] = np.nan
    names = ("region_text.semantic_iou", "region_text.semantic_similarity")
    if not is_text.any():
        return dict.fromkeys(names, "every expected answer begins with yes or no")
    said = [clean(text) for text in table.loc[is_text, "answer"]]
    expected = [clean(text) for text in table.loc[is_text, "reference"]]
    overlap = [semantic_iou(*pair) for pair in zip(said, expected, strict=True)]
    table.loc[is_text, "semantic_iou"] = overlap
    found: dict[str, Found] = {
        names[0]: (100.0 * float(np.mean(overlap)), len(said)),
        names[1]: "no sentence encoder was given",
    }
    if embed is not None:
        cosine = cosines(said, expected, embed)
        table.loc[is_text, "semantic_similarity"] = cosine
        found[names[1]] = (100.0 * max(float(cosine.mean()), 0.0), len(said))
    return found


def _sentences(
    items: Sequence[RegionItem], table: pd.DataFrame, aligner: Aligner | None
) -> tuple[dict[str, Found], pd.DataFrame]:
    """Score sentences as captions; adds columns."""
    table["cider_d"], table["rouge_l"] = np.nan, np.nan
    is_sentence = (table["form"] == "sentence").to_numpy()
    specs = (*CAPTIONS.metrics, *ROUGE.metrics, *METEOR.metrics)
    if not is_sentence.any():
        return {spec.name: "no expected answer is a sentence of 4 words" for spec in specs}, pd.DataFrame()
    asked = [
        CaptionItem(item_id=item.item_id, references=(item.reference,))
        for item, wanted in zip(items, is_sentence, strict=True)
        if wanted
    ]
    rows = table[is_sentence]
    said: dict[str, str] = dict(zip(rows["item_id"], rows["answer"], strict=True))
    results: list[AnswerEvaluation] = [evaluate_captions(asked, said), evaluate_rouge(asked, said)]
    if aligner is not None:
        results.append(evaluate_meteor(asked, said, aligner=aligner))
    found: dict[str, Found] = {"caption.meteor": "METEOR was not asked for"}
    for result in results:
        found |= {metric.name: (metric.value, metric.count) for metric in result.values.metrics}
        found |= result.values.undefined
    bleu, rouge, *meteor = (result.per_item for result in results)
    table.loc[is_sentence, "rouge_l"] = rouge["rouge_l"].to_numpy()
    if "cider_d" in bleu:
        table.loc[is_sentence, "cider_d"] = bleu["cider_d"].to_numpy()
    counts = [part.drop(columns=["item_id", "caption"]) for part in (bleu, *meteor)]
    images = table.loc[is_sentence, ["item_id", "image"]].reset_index(drop=True)
    return found, pd.concat([images, *counts], axis=1)
