import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.region_text import NamedRegion, evaluate_region_text, semantic_iou, words

WIDTH = 64


def bag_of_words(texts):
    """Count words in hashed bins, and letters a little, so that no text is zero."""
    vector = np.full((len(texts), WIDTH), 1e-3)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            vector[row, zlib.crc32(word.encode()) % WIDTH] += 1.0
    return vector


def regions(*categories):
    return [NamedRegion(item_id=str(n), category=name) for n, name in enumerate(categories)]


def test_semantic_iou_by_hand():
    assert semantic_iou("red car", "car") == 0.5
    assert semantic_iou("traffic_light", "traffic light") == 1.0
    assert semantic_iou("Traffic/Light.", "traffic:light") == 1.0
    assert semantic_iou("a dog, a cat;", "cat") == 1 / 3  # {a, dog, cat}
    assert semantic_iou("dog", "cat") == 0.0
    assert semantic_iou(".", ",") == 0.0
    assert words("U.S. flag") == {"u.s", "flag"}


def test_underscores_do_not_reach_the_encoder():
    result = evaluate_region_text(regions("traffic_light"), {"0": "traffic light."}, embed=bag_of_words)
    assert result.values["region_text.semantic_similarity"] == pytest.approx(100.0)
    assert result.per_item["category"].tolist() == ["traffic light"]
    assert result.per_item["answer"].tolist() == ["traffic light."]


def test_both_numbers_by_hand():
    """The encoder gives two orthogonal words and their sum: cosines 1, 0 and sqrt(1/2)."""
    vectors = {"dog": (1.0, 0.0), "cat": (0.0, 3.0), "dog cat": (2.0, 2.0)}
    result = evaluate_region_text(
        regions("dog", "cat", "dog"),
        {"0": "dog", "1": "dog", "2": "dog cat"},
        embed=lambda texts: np.array([vectors[text] for text in texts]),
    )
    assert result.per_item["semantic_similarity"].tolist() == pytest.approx([1.0, 0.0, 0.5**0.5])
    assert result.values["region_text.semantic_similarity"] == pytest.approx(100 * (1 + 0.5**0.5) / 3)
    assert result.values["region_text.semantic_iou"] == pytest.approx(100 * (1 + 0 + 0.5) / 3)
    assert {(m.unit, m.higher_is_better, m.count) for m in result.values.metrics} == {("percent", True, 3)}


def test_every_text_is_embedded_once_and_blank_ones_never():
    seen = []

    def embed(texts):
        seen.append(list(texts))
        return bag_of_words(texts)

    evaluate_region_text(regions("dog", "dog", "cat"), {"0": "dog.", "1": ". ", "2": " cat_"}, embed=embed)
    assert seen == [["dog", "cat"]]


def test_a_missing_answer_is_worse_than_any_other():
    result = evaluate_region_text(
        regions("dog", "dog", "dog"),
        {"0": "not a dog", "1": " ,. "},
        embed=lambda texts: np.array([[1.0 if text == "dog" else -1.0] for text in texts]),
    )
    assert result.per_item["semantic_similarity"].tolist() == [-1.0, -1.0, -1.0]
    assert result.per_item["is_answered"].tolist() == [True, False, False]
    assert result.values["region_text.semantic_similarity"] == 0.0


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), min_size=1, max_size=6))
def test_equal_texts_score_100_and_losing_an_answer_never_helps(pairs):
    items = regions(*(f"x {category}" for category, _ in pairs))
    answers = {item.item_id: answer for item, (_, answer) in zip(items, pairs, strict=True)}
    perfect = evaluate_region_text(items, {i.item_id: i.category for i in items}, embed=bag_of_words)
    assert perfect.values["region_text.semantic_similarity"] == pytest.approx(100.0)
    assert perfect.values["region_text.semantic_iou"] == 100.0
    full = evaluate_region_text(items, answers, embed=bag_of_words).values
    less = evaluate_region_text(items, dict(list(answers.items())[1:]), embed=bag_of_words).values
    for name in ("region_text.semantic_similarity", "region_text.semantic_iou"):
        assert less[name] <= full[name]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_broken_encoder_is_named(bad):
    with pytest.raises(ValueError, match=r"^embed must return a finite vector other than zero for 'dog'\.$"):
        evaluate_region_text(regions("dog"), {"0": "dog"}, embed=lambda texts: np.full((len(texts), 2), bad))


@pytest.mark.parametrize("shape", [(2,), (2, 4), (1, 4, 1)])
def test_an_encoder_returns_one_vector_a_text(shape):
    with pytest.raises(ValueError, match=r"^embed must return shape \(1, width\), got \("):
        evaluate_region_text(regions("dog"), {}, embed=lambda _: np.ones(shape))


def test_a_category_has_a_word():
    with pytest.raises(ValueError, match=r"^category of item '0' must have a word, got ' _ \. '\.$"):
        regions(" _ . ")
