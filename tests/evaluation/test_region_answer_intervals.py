"""Intervals against a slow twin that copies the questions of the drawn images and scores them anew."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from evaluation.bootstrap import draw_weights
from evaluation.meteor import COUNTS
from evaluation.region_answer_intervals import region_answer_intervals
from evaluation.region_answers import RegionItem, evaluate_region_answers

NOUNS = ("cup", "dog", "car", "tree")
RESAMPLES, SEED, ALPHA = 10, 3, 0.1
IDF = "caption.cider_d"
"""Its idf is kept, so scoring anew is no twin of it."""


def world():
    """Five images; not every one has every form of question."""
    generator = np.random.default_rng(0)
    items, said = [], {}
    for image in range(5):
        for number in range(2 + image):
            noun, other = generator.choice(NOUNS, 2)
            forms = ("Yes.", "No.", noun, f"the {noun} on the green table")
            reference = forms[(image + number) % 4 if image else 2]
            name = f"{image}-{number}"
            items.append(RegionItem(item_id=name, image=f"{image}.png", kind="x", reference=reference))
            answers = (reference, f"the {other} on a table", "Yes", "")
            said[name] = answers[int(generator.integers(4))]
    return items, said


def aligner(captions, references):
    """Counts of words that are equal in place; a stand-in with the shape of the program's."""
    rows = np.zeros((len(captions), len(COUNTS)))
    for row, caption, texts in zip(rows, captions, references, strict=True):
        said, expected = caption.split(), texts[0].split()
        equal = sum(first == second for first, second in zip(said, expected, strict=False))
        for name, value in (
            ("caption_words", len(said)), ("reference_words", len(expected)),
            ("exact_caption_content", equal), ("exact_reference_content", equal),
            ("chunks", min(equal, 2)), ("caption_matches", equal), ("reference_matches", equal),
        ):  # fmt: skip
            row[COUNTS.index(name)] = value
    return rows


def embed(texts):
    return np.array([[len(text), text.count("e") + 1.0, text.count("a") - 2.0] for text in texts])


def has(metric, item):
    """Whether an image with this question is drawn for a metric."""
    family, _, name = metric.partition(".")
    if name == "recall":
        return item.form == "yes-no" and item.reference.startswith("Yes")
    return {
        "answers": True,
        "yes_no": item.form == "yes-no",
        "region_text": item.form != "yes-no",
        "caption": item.form == "sentence",
    }[family]


@cache
def scored_anew(images):
    """Copy the questions of each drawn image as often as it was drawn, and score them; one result a draw."""
    items, said = world()
    results = []
    for weights in draw_weights(len(images), resamples=RESAMPLES, seed=SEED):
        copies, answers = [], {}
        for image, weight in zip(images, weights, strict=True):
            for copy in range(int(weight)):
                for item in items:
                    if item.image == image:
                        copies.append(replace(item, item_id=f"{item.item_id}/{copy}"))
                        answers[copies[-1].item_id] = said[item.item_id]
        results.append(evaluate_region_answers(copies, answers, embed=embed, aligner=aligner).values)
    return results


def slow_values(metric, items):
    images = tuple(dict.fromkeys(item.image for item in items if has(metric, item)))
    # Without a question answered yes in truth, precision and F1 of a resample are 0.
    return [
        0.0 if values.undefined.get(metric, "").startswith("no question has") else values[metric]
        for values in scored_anew(images)
    ]


def test_every_metric_agrees_with_scoring_anew():
    items, said = world()
    result = evaluate_region_answers(items, said, embed=embed, aligner=aligner)
    found = region_answer_intervals(result, resamples=RESAMPLES, seed=SEED, alpha=ALPHA)
    assert set(found) == {metric.name for metric in result.values.metrics}
    assert len(found) == 16
    for metric, interval in found.items():
        assert interval.value == result.values[metric]
        assert interval.low <= interval.high
        if metric != IDF:
            low, high = np.quantile(slow_values(metric, items), [ALPHA / 2, 1 - ALPHA / 2])
            assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high)), metric


def test_two_images_are_needed():
    items, said = world()
    one = [item for item in items if item.image == "1.png"]
    answers = {item.item_id: said[item.item_id] for item in one}
    result = evaluate_region_answers(one, answers)
    assert region_answer_intervals(result, resamples=10, seed=0, alpha=0.05) == {}


def test_a_share_outside_the_interval_must_be_one():
    items, said = world()
    result = evaluate_region_answers(items, said)
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        region_answer_intervals(result, resamples=10, seed=0, alpha=1.0)
