"""Answers about regions by hand: forms, what each is compared by, and what silence costs."""

import math

import numpy as np
import pytest

from evaluation.captions import CaptionItem, evaluate_captions
from evaluation.meteor import COUNTS
from evaluation.region_answers import REGION_ANSWERS, RegionItem, evaluate_region_answers


def item(name, reference, image="a.png", kind="describe-text"):
    return RegionItem(item_id=name, image=image, kind=kind, reference=reference)


ITEMS = (
    item("y1", "Yes.", kind="exists-nearest"),
    item("y2", "yes, it is", kind="exists-nearest"),
    item("n1", "No.", kind="exists-nearest"),
    item("p1", "traffic_light", kind="describe-label"),
    item("p2", "red car", kind="describe-label"),
    item("s1", "the cup beside the blue plate"),
    item("s2", "a dog that runs on grass", image="b.png"),
)
SAID = {
    "y1": "Yes.",
    "y2": "No, it is not.",
    "n1": "yes",
    "p1": "Traffic light.",
    "p2": "car",
    "s1": "The cup beside the blue plate.",
}


@pytest.mark.parametrize(
    ("reference", "form"),
    [
        ("Yes.", "yes-no"),
        ("no, there is not", "yes-no"),
        ("Nothing", "phrase"),
        ("a red cup", "phrase"),
        ("a red cup here", "sentence"),
        ("yes_man", "yes-no"),
        ("\N{DOG FACE} \N{CAT FACE} \N{COW FACE} \N{PIG FACE}", "phrase"),
        ("! ? - \N{EM DASH}", "phrase"),
        ("\N{DOG FACE} beside a tree", "sentence"),
    ],
)
def test_the_expected_answer_decides_the_form(reference, form):
    assert item("x", reference).form == form


def test_numbers_by_hand():
    result = evaluate_region_answers(ITEMS, SAID)
    found = {metric.name: (metric.value, metric.count) for metric in result.values.metrics}
    assert found["answers.exact_match"] == (pytest.approx(3 / 7), 7)
    assert found["answers.answered"] == (pytest.approx(6 / 7), 7)
    assert found["yes_no.accuracy"] == (pytest.approx(1 / 3), 3)
    assert found["yes_no.precision"] == (0.5, 2)
    assert found["yes_no.recall"] == (0.5, 2)
    assert found["yes_no.f1"] == (0.5, 3)
    assert found["yes_no.yes_ratio"] == (pytest.approx(2 / 3), 3)
    # traffic light 1, car against red car 1/2, the sentence 1, silence 0
    assert found["region_text.semantic_iou"] == (pytest.approx(100 * 2.5 / 4), 4)
    assert found["caption.rouge_l"] == (pytest.approx(0.5), 2)
    captions = evaluate_captions(
        [CaptionItem(item_id=one.item_id, references=(one.reference,)) for one in ITEMS[5:]],
        {"s1": SAID["s1"]},
    )
    for metric in captions.values.metrics:
        assert found[metric.name] == (metric.value, metric.count)
    assert result.values.undefined == {
        "region_text.semantic_similarity": "no sentence encoder was given",
        "caption.meteor": "METEOR was not asked for",
    }
    assert set(found) | set(result.values.undefined) == {spec.name for spec in REGION_ANSWERS.metrics}


def test_the_table_says_what_is_right():
    table = evaluate_region_answers(ITEMS, SAID).per_item.set_index("item_id")
    assert table["is_right"].to_dict() == {
        "y1": True, "y2": False, "n1": False, "p1": True, "p2": False, "s1": True, "s2": False,
    }  # fmt: skip
    assert table.loc["y2", "read"] == "no"
    assert math.isnan(table.loc["y1", "semantic_iou"])
    assert table.loc["p2", "semantic_iou"] == 0.5
    assert not table.loc["s2", "is_answered"]


def test_yes_in_other_words_is_right_and_not_exact():
    result = evaluate_region_answers([item("y", "Yes.")], {"y": "It is one, indeed."})
    assert result.values["yes_no.accuracy"] == 1.0
    assert result.values["answers.exact_match"] == 0.0
    assert "caption.bleu_1" in result.values.undefined
    assert result.values.undefined["region_text.semantic_iou"].startswith("every expected answer begins")
    assert result.captions.empty


def test_an_encoder_is_asked_once_for_phrases_and_sentences():
    calls = []

    def embed(texts):
        calls.append(list(texts))
        letters = "abcdefghijklmnopqrstuvwxyz"
        return np.array([[text.lower().count(letter) + 0.01 for letter in letters] for text in texts])

    result = evaluate_region_answers(ITEMS, SAID, embed=embed)
    assert len(calls) == 1
    assert not {"Yes", "No"} & set(calls[0])
    table = result.per_item.set_index("item_id")["semantic_similarity"]
    assert table["s1"] == pytest.approx(1.0)
    assert table["s2"] == -1.0
    assert 0.0 < table["p2"] < 1.0
    expected = 100 * table.dropna().mean()
    assert result.values["region_text.semantic_similarity"] == pytest.approx(expected)


def test_meteor_counts_sentences_alone():
    asked = []

    def aligner(captions, references):
        asked.extend(zip(captions, references, strict=True))
        return np.zeros((len(captions), len(COUNTS)))

    result = evaluate_region_answers(ITEMS, SAID, aligner=aligner)
    assert [caption for caption, _ in asked] == ["the cup beside the blue plate", ""]
    assert result.values["caption.meteor"] == 0.0
    assert set(COUNTS) <= set(result.captions.columns)


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match=r"reference of item 'x' must have a word, got '\.\.\.'"):
        item("x", "...")
    with pytest.raises(ValueError, match="no items to score"):
        evaluate_region_answers([], {})
    with pytest.raises(ValueError, match="answer to unknown item 'q'"):
        evaluate_region_answers(ITEMS, {"q": "a"})
    with pytest.raises(ValueError, match="item 'y1' stands twice"):
        evaluate_region_answers([ITEMS[0], ITEMS[0]], {})
