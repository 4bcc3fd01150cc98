import gzip
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.captions import CaptionItem, caption_tokens, cider_d, corpus_bleu, evaluate_captions

VECTORS = Path(__file__).resolve().parents[1] / "data" / "captions"


def items_of(references):
    return [CaptionItem(item_id=str(key), references=tuple(texts)) for key, texts in references.items()]


def scores(result):
    return {metric.name.removeprefix("caption."): metric.value for metric in result.values.metrics}


def lines(name):
    return (VECTORS / name).read_text().splitlines()


def read(name):
    return json.loads((VECTORS / name).read_text())


def fakecap(tokenise):
    """Captions of COCO against the other references of their image."""
    records = read("fakecap_subset_with_references.json")
    references = {
        str(r["image_id"]): [t for t in r["references"] if t.strip() != r["caption"].strip()] for r in records
    }
    captions = {str(r["image_id"]): r["caption"] for r in records}
    return evaluate_captions(items_of(references), captions, tokenise=tokenise)


def test_published_scores_of_nlg_eval():
    references = dict(enumerate(zip(lines("nlgeval_ref1.txt"), lines("nlgeval_ref2.txt"), strict=True)))
    captions = {str(n): line for n, line in enumerate(lines("nlgeval_hyp.txt"))}
    found = scores(evaluate_captions(items_of(references), captions, tokenise=str.split))
    published = {
        "bleu_1": 0.55,
        "bleu_2": 0.428174,
        "bleu_3": 0.284043,
        "bleu_4": 0.201143,
        "cider_d": 1.242192,
    }
    assert found == pytest.approx(published, abs=5e-7)


def test_published_scores_of_one_sentence():
    """The published BLEU-4 of 9.0e-5 is what is added to zero matches; CIDEr is 0 there, undefined here."""
    items = items_of({"a": ["this is a test", "this is also a test"]})
    result = evaluate_captions(items, {"a": "this is a good test"})
    published = {"bleu_1": 0.799999, "bleu_2": 0.632455, "bleu_3": 0.5108729, "bleu_4": 9.03602e-05}
    assert scores(result) == pytest.approx(published, abs=1e-4)
    assert scores(result)["bleu_4"] == 0.0
    assert result.values.undefined == {"caption.cider_d": "idf needs at least 2 items"}


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("good", {"bleu_1": 0.6667, "bleu_2": 0.4899, "bleu_3": 0.3469, "bleu_4": 0.0, "cider_d": 0.5637}),
        ("bad", {"bleu_1": 0.4815, "bleu_2": 0.2404, "bleu_3": 0.1359, "bleu_4": 0.0, "cider_d": 0.279}),
    ],
)
def test_published_scores_of_clipscore_after_our_tokenisation(name, published):
    items = items_of(read("clipscore_refs.json"))
    found = scores(evaluate_captions(items, read(f"clipscore_{name}_captions.json")))
    assert found == pytest.approx(published, abs=6e-5)


def test_the_coco_scorers_agree_on_148_images():
    result = fakecap(caption_tokens)
    peer = {
        "cider_d": 0.9470062194960618,
        "bleu_1": 0.6432710882159413,
        "bleu_2": 0.44267066054291376,
        "bleu_3": 0.2945936282054199,
        "bleu_4": 0.18870147624631994,
    }
    assert scores(result) == pytest.approx(peer, abs=1e-10)
    first = [
        0.6638486240122521,
        1.8575241265552411,
        2.071445249882648,
        1.1470587183161585,
        0.2988990062171512,
    ]
    assert result.per_item["cider_d"][:5].tolist() == pytest.approx(first, abs=1e-12)
    peer_of_raw_words = [0.7435087497193457, 0.6054158607346193, 0.16607109363707712]
    found = scores(fakecap(lambda text: text.lower().split()))
    assert [found[n] for n in ("cider_d", "bleu_1", "bleu_4")] == pytest.approx(peer_of_raw_words, abs=1e-10)


def test_published_scores_of_1975_referring_expressions():
    """The sample of the RefCOCO toolbox on testA; three digits are published."""
    rows = json.loads(gzip.decompress((VECTORS / "refer_toolbox_testA.json.gz").read_bytes()))
    items = items_of({row["ref_id"]: row["references"] for row in rows})
    result = evaluate_captions(items, {str(row["ref_id"]): row["sent"] for row in rows})
    found = {name: round(value, 3) for name, value in scores(result).items()}
    assert found == {"cider_d": 0.669, "bleu_1": 0.48, "bleu_2": 0.293, "bleu_3": 0.182, "bleu_4": 0.08}
    columns = ["num_words", "closest_reference_words", "matches_1", "matches_2", "matches_3", "matches_4"]
    assert result.per_item[columns].sum().tolist() == [5009, 5356, 2576, 580, 112, 2]


def test_cider_d_by_hand():
    """Two items, one reference each. "a b" against "a c": idf is log 2 for all but "a", which both have.

    Item 1: unigrams b against c share nothing of weight, and no bigram is shared: 0.
    Item 2: "a d e" against "a d": unigrams are d, e of weight log 2 and d: cosine 1 / sqrt(2); bigrams "a d",
    "d e" against "a d": 1 / sqrt(2); no trigram in the reference: 0. Bigrams 2 against 1: exp(-1/72).
    """
    found = cider_d([["a", "b"], ["a", "d", "e"]], [[["a", "c"]], [["a", "d"]]])
    assert found == pytest.approx([0.0, 10 * 2 / 4 / math.sqrt(2) * math.exp(-1 / 72)])


def test_the_length_penalty_counts_bigrams():
    """One word and the empty caption both have no bigram; words would differ by one."""
    found = cider_d([["dog"], ["x"]], [[["dog"]], [["cat"]]])
    assert found == pytest.approx([2.5, 0.0])  # cosine 1 for n = 1 only


def test_repeating_a_word_is_clipped():
    """dog dog dog: tf 3, norm 3, clipped to 1: 1/3; bigrams 2 against 0: exp(-4/72)."""
    found = cider_d([["dog"] * 3, ["x"]], [[["dog"]], [["cat"]]])
    assert found[0] == pytest.approx(10 / 4 / 3 * math.exp(-4 / 72))


def test_a_toy_corpus_equal_captions_have_the_maximum():
    references = {"a": ["a red dog runs away"], "b": ["two cats sleep on chairs"]}
    captions = {"a": "A red dog runs away.", "b": "Two cats sleep on chairs"}
    assert scores(evaluate_captions(items_of(references), captions)) == pytest.approx(
        {"cider_d": 10.0, "bleu_1": 1.0, "bleu_2": 1.0, "bleu_3": 1.0, "bleu_4": 1.0}
    )
    near = scores(evaluate_captions(items_of(references), captions | {"a": "a red cat runs"}))
    assert 0.0 < near["cider_d"] < 10.0


def test_bleu_by_hand():
    """7 words, references of 6 and 8: both as close, the shorter is taken, no penalty.

    "the" 7 times is found twice in one reference: 2/7; no bigram.
    """
    items = items_of({"a": ["the cat is on the mat", "there is a cat on the mat now"]})
    found = evaluate_captions(items, {"a": "the the the the the the the"})
    assert scores(found)["bleu_1"] == pytest.approx(2 / 7)
    assert scores(found)["bleu_2"] == 0.0
    assert found.per_item["closest_reference_words"].tolist() == [6]
    short = scores(evaluate_captions(items, {"a": "the cat is"}))
    assert short["bleu_1"] == pytest.approx(math.exp(1 - 6 / 3))
    assert short["bleu_3"] == pytest.approx(math.exp(1 - 6 / 3))
    assert short["bleu_4"] == 0.0  # three words have no 4-gram


def test_bleu_of_a_resample_is_bleu_of_its_rows():
    table = fakecap(caption_tokens).per_item
    rows = np.random.default_rng(0).integers(0, len(table), len(table))
    resampled = corpus_bleu(table.iloc[rows])
    repeated = corpus_bleu(pd.concat([table.iloc[rows]] * 2))
    assert resampled == pytest.approx(repeated)
    assert resampled != corpus_bleu(table)


def test_the_last_reference_alone():
    items = items_of({"a": ["one two", "red dog"], "b": ["five six", "blue cat"]})
    captions = {"a": "one two", "b": "blue cat"}
    assert scores(evaluate_captions(items, captions, references="last"))["bleu_1"] == 0.5
    assert scores(evaluate_captions(items, captions))["bleu_1"] == 1.0


def test_missing_captions_score_0_and_pay_the_penalty():
    references = {"a": ["a red dog runs away"], "b": ["two cats sleep on chairs"]}
    alone = evaluate_captions(items_of(references), {"a": "a red dog runs away", "b": " "})
    assert alone.per_item["cider_d"].tolist() == pytest.approx([10.0, 0.0])
    assert scores(alone)["bleu_4"] == pytest.approx(math.exp(1 - 10 / 5))
    assert set(scores(evaluate_captions(items_of(references), {})).values()) == {0.0}


WORDS = st.lists(st.sampled_from("abcd"), max_size=7).map(" ".join)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.tuples(WORDS, st.lists(WORDS.map("z{}".format), min_size=1)), min_size=2, max_size=5))
def test_scores_are_in_range_and_do_not_depend_on_the_order(pairs):
    items = items_of({n: texts for n, (_, texts) in enumerate(pairs)})
    captions = {str(n): caption for n, (caption, _) in enumerate(pairs)}
    found = evaluate_captions(items, captions)
    assert found.per_item["cider_d"].between(0.0, 10.0).all()
    backwards = evaluate_captions(items[::-1], captions)
    assert scores(backwards) == pytest.approx(scores(found))


def test_tokens():
    assert caption_tokens("It isn't a 3.5-inch, cloud-wreathed hill!") == (
        ["it", "is", "n't", "a", "3.5-inch", "cloud-wreathed", "hill"]
    )
    assert caption_tokens("\"He\u2019s\" (the dog's 1,000) -- can't; cannot...") == (
        ["he", "'s", "the", "dog", "'s", "1,000", "ca", "n't", "can", "not"]
    )
    assert caption_tokens("  .,;!? ") == []


def test_references_have_words():
    with pytest.raises(ValueError, match=r"^item 'a' must have at least 1 reference\.$"):
        CaptionItem(item_id="a", references=())
    with pytest.raises(ValueError, match=r"^each reference of item 'a' must have a word\.$"):
        evaluate_captions(items_of({"a": ["a dog", " . "]}), {})
    with pytest.raises(
        ValueError,
        match=r"^CIDEr-D needs one caption for each of at least 2 items, got 1 captions and 1 items",
    ):
        cider_d([["a"]], [[["a"]]])
