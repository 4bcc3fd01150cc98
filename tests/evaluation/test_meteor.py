import gzip
import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.captions import CaptionItem
from evaluation.meteor import COUNTS, MATCHERS, METEOR, corpus_meteor, evaluate_meteor

VECTORS = Path(__file__).resolve().parents[1] / "data" / "captions"
PUBLISHED = {
    "nlgeval": (0.295797, 5e-7),
    "single": (0.44434387, 5e-9),
    "clipscore_good": (0.3444, 5e-5),
    "clipscore_bad": (0.1861, 5e-5),
    "refer_toolbox_testA": (0.172, 5e-4),
}
"""METEOR as printed by nlg-eval, clipscore and the RefCOCO toolbox."""


@cache
def answers():
    """What METEOR 1.5 said of the captions: counts, the score of each, the score of all."""
    return json.loads(gzip.decompress((VECTORS / "meteor_counts.json.gz").read_bytes()))


def items_of(count):
    return [CaptionItem(item_id=str(n), references=(f"reference {n}",)) for n in range(count)]


def scored(counts, **options):
    """Evaluate items of which the alignment is known."""
    items = items_of(len(counts))
    captions = {item.item_id: "a caption" for item in items}
    return evaluate_meteor(items, captions, aligner=lambda *_: np.array(counts, dtype=np.float64), **options)


def counts_of(**values):
    return [float(values.get(name, 0)) for name in COUNTS]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_scores(name):
    value, rounding = PUBLISHED[name]
    result = scored(answers()[name]["counts"])
    assert result.values["caption.meteor"] == pytest.approx(value, abs=rounding)


@pytest.mark.parametrize("name", [*PUBLISHED, "fakecap"])
def test_equals_the_program(name):
    theirs = answers()[name]
    result = scored(theirs["counts"])
    assert result.values["caption.meteor"] == pytest.approx(theirs["corpus"], abs=1e-14)
    assert result.per_item["meteor"].tolist() == pytest.approx(theirs["segments"], abs=1e-14)


def test_by_hand():
    """A caption "dogs run", a reference "a dog runs": both words by stem, in one chunk.

    P = 0.6 * 2 * 0.75 / (2 * 0.75) = 0.6; R = 0.9 / (2 * 0.75 + 0.25) = 0.9 / 1.75;
    F = 1 / (0.15 / P + 0.85 / R); penalty 0.6 * (1 / 2) ** 0.2.
    """
    counts = counts_of(
        caption_words=2,
        reference_words=3,
        reference_function_words=1,
        stem_caption_content=2,
        stem_reference_content=2,
        chunks=1,
        caption_matches=2,
        reference_matches=2,
    )
    mean = 1 / (0.15 / 0.6 + 0.85 / (0.9 / 1.75))
    expected = mean * (1 - 0.6 * 0.5**0.2)
    assert scored([counts]).values["caption.meteor"] == pytest.approx(expected)


def test_a_caption_that_is_aligned_whole_has_no_penalty():
    perfect = counts_of(
        caption_words=2,
        reference_words=2,
        exact_caption_content=2,
        exact_reference_content=2,
        chunks=1,
        caption_matches=2,
        reference_matches=2,
    )
    assert scored([perfect, perfect]).values["caption.meteor"] == 1.0
    silent = counts_of(reference_words=2, reference_function_words=1)
    result = scored([silent, perfect])
    assert result.per_item["meteor"].tolist() == [0.0, 1.0]
    # P = 1, R = 2 * 0.75 / (3 * 0.75 + 0.25)
    assert result.values["caption.meteor"] == pytest.approx(1 / (0.15 + 0.85 / (1.5 / 2.5)))
    assert scored([silent]).values["caption.meteor"] == 0.0


def test_the_corpus_is_not_the_mean_and_any_rows_can_be_scored():
    table = scored(answers()["fakecap"]["counts"]).per_item
    assert abs(corpus_meteor(table) - table["meteor"].mean()) > 0.001
    rows = np.random.default_rng(0).integers(0, len(table), len(table))
    assert corpus_meteor(table.iloc[rows]) != corpus_meteor(table)
    assert corpus_meteor(table.iloc[[3]]) == table["meteor"][3]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_scores_lie_in_range(seed):
    generator = np.random.default_rng(seed)
    matched = generator.integers(0, 4, size=(3, len(MATCHERS)))
    rows = []
    for exact, stem, synonym, paraphrase in matched.tolist():
        total = exact + stem + synonym + paraphrase
        values = {"caption_words": total + int(generator.integers(0, 3)), "reference_words": total + 1}
        for matcher, count in zip(MATCHERS, (exact, stem, synonym, paraphrase), strict=True):
            values |= {f"{matcher}_{side}_content": count for side in ("caption", "reference")}
        values |= {"caption_matches": total, "reference_matches": total}
        rows.append(counts_of(**values, chunks=int(generator.integers(1, total + 1)) if total else 0))
    result = scored(rows)
    assert result.per_item["meteor"].between(0.0, 1.0).all()
    assert 0.0 <= result.values["caption.meteor"] <= 1.0


def test_what_reaches_the_aligner():
    seen = []

    def aligner(captions, references):
        seen.append((list(captions), [list(several) for several in references]))
        return np.zeros((2, len(COUNTS)))

    items = [
        CaptionItem(item_id="a", references=("A red dog.", "It isn't big")),
        CaptionItem(item_id="b", references=("Two cats",)),
    ]
    evaluate_meteor(items, {"a": "Dogs, running!"}, aligner=aligner)
    assert seen.pop() == (["dogs running", ""], [["a red dog", "it is n't big"], ["two cats"]])
    evaluate_meteor(items, {}, aligner=aligner, references="last", tokenise=str.split)
    assert seen.pop() == (["", ""], [["It isn't big"], ["Two cats"]])


def test_the_table_and_the_definition():
    result = scored(answers()["nlgeval"]["counts"])
    assert list(result.per_item) == ["item_id", "caption", "meteor", *COUNTS]
    assert [metric.name for metric in result.values.metrics] == ["caption.meteor"]
    assert result.values.metrics[0].count == 2
    assert METEOR.name == "meteor-1.5/1"
    pd.testing.assert_series_equal(result.per_item["caption"], pd.Series(["a caption"] * 2, name="caption"))


def test_refuses_what_is_no_alignment():
    with pytest.raises(ValueError, match=r"^the aligner must return \(1, 23\) counts, got \(1, 2\)\.$"):
        scored([[1.0, 2.0]])
    message = r"^the aligner must return counts of at least 0, got \[nan, .*\] for item number 1\.$"
    with pytest.raises(ValueError, match=message):
        scored([counts_of(), counts_of(caption_words=np.nan)])
    items = [CaptionItem(item_id="a", references=("a dog", " . "))]
    with pytest.raises(ValueError, match=r"^each reference of item 'a' must have a word\.$"):
        evaluate_meteor(items, {}, aligner=lambda *_: np.zeros((1, len(COUNTS))))
    with pytest.raises(ValueError, match=r"^answer to unknown item 'z'"):
        evaluate_meteor(items, {"z": "x"}, aligner=lambda *_: np.zeros((1, len(COUNTS))))
