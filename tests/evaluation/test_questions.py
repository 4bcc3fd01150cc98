import math
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.questions import (
    QUESTIONS,
    Question,
    edit_distance,
    evaluate_questions,
    exact_match,
    includes,
    levenshtein_similarity,
    vqa_accuracy,
    vqa_accuracy_simple,
)

TEN = ["cat"] * 3 + ["dog"] * 5 + ["fish"] * 2
TEXT = st.text(alphabet="ab c.", max_size=8)


def slow_accuracy(answer, references):
    """The formula with everybody left out in turn; texts are in their normal form already."""
    total = 0.0
    for left_out in range(len(references)):
        others = [text for place, text in enumerate(references) if place != left_out]
        total += min(1.0, others.count(answer) / 3)
    return total / len(references)


def slow_distance(first, second):
    @cache
    def least(i, j):
        if not i or not j:
            return i + j
        replaced = least(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        return min(replaced, least(i - 1, j) + 1, least(i, j - 1) + 1)

    return least(len(first), len(second))


def test_three_of_ten_by_both_formulas():
    """3 times min(1, 2/3), 7 times min(1, 3/3): (2 + 7) / 10. The simple one gives min(1, 3/3)."""
    assert vqa_accuracy("Cat.", TEN) == pytest.approx(0.9)
    assert vqa_accuracy_simple("Cat.", TEN) == 1.0
    assert vqa_accuracy("fish", TEN) == pytest.approx(2 / 10 * 1 / 3 + 8 / 10 * 2 / 3)
    assert vqa_accuracy_simple("fish", TEN) == pytest.approx(2 / 3)
    assert vqa_accuracy("dog", TEN) == vqa_accuracy_simple("dog", TEN) == 1.0
    assert vqa_accuracy("bird", TEN) == vqa_accuracy_simple("bird", TEN) == 0.0


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(["cat", "dog", "2"]), min_size=2, max_size=12))
def test_leaving_out_equals_the_loop_and_never_exceeds_the_simple_form(references):
    for answer in ("cat", "dog", "2", "none"):
        found = vqa_accuracy(answer, references)
        assert found == pytest.approx(slow_accuracy(answer, references))
        assert found <= vqa_accuracy_simple(answer, references) + 1e-12


def test_a_blank_answer_equals_nobody():
    """All of these have the empty normal form."""
    assert vqa_accuracy(" ", ["a", "the"]) == vqa_accuracy_simple("", ["a", "the"]) == 0.0
    with pytest.raises(ValueError, match=r"^leaving one person out needs at least 2 answers, got 1\.$"):
        vqa_accuracy("cat", ["cat"])


def test_anls_by_hand_and_at_its_threshold():
    assert levenshtein_similarity("hello", ["hallo"]) == pytest.approx(0.8)  # 1 of 5
    assert levenshtein_similarity(" HELLO  World", ["hello world"]) == 1.0
    assert levenshtein_similarity("abcd", ["abxy"]) == 0.0  # NL is 0.5: not below
    assert levenshtein_similarity("abcde", ["abcxy"]) == pytest.approx(0.6)  # NL is 0.4
    assert levenshtein_similarity("hello", ["cat", "hallo", "hullu"]) == pytest.approx(0.8)
    assert levenshtein_similarity("", ["a"]) == 0.0


@settings(max_examples=150, deadline=None, derandomize=True)
@given(TEXT, TEXT)
def test_edit_distance_equals_its_recursion(first, second):
    assert edit_distance(first, second) == edit_distance(second, first) == slow_distance(first, second)
    said, truth = " ".join(first.split()), " ".join(second.split())
    longer = max(len(said), len(truth))
    nl = slow_distance(said, truth) / longer if longer else 1.0
    assert levenshtein_similarity(first, [second]) == pytest.approx(
        (1 - nl if nl < 0.5 else 0.0) * bool(said)
    )


def test_exact_match():
    assert exact_match(" Left.", ["left"])
    assert exact_match("dining  table", ["chair", "Dining table."])
    assert not exact_match("the left", ["left"])
    assert not exact_match(".", ["."])


def test_inclusion():
    assert includes("The sign says STOP\nhere.", ["go", "stop here"])
    assert not includes("stop", ["stop here"])
    assert not includes("", ["stop"])
    assert includes("x = \\frac{ A }{b}", ["\\frac{A} {b}"], is_formula=True)
    assert not includes("\\frac{a}{b}", ["\\frac{A}{b}"], is_formula=True)


QUESTIONS_2 = [
    Question(item_id="a", references=("cat", "cat", "cat", "dog"), group="x"),
    Question(item_id="b", references=("stop", "Stop."), group="y"),
]


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("vqa_accuracy", (3 / 4 * 2 / 3 + 1 / 4) / 2),
        ("vqa_accuracy_simple", 1 / 2),
        ("anls", 1 / 2),
        ("exact_match", 1 / 2),
        ("ocrbench_right", 1.0),
    ],
)
def test_a_missing_answer_is_wrong_and_counted(measure, expected):
    result = evaluate_questions(QUESTIONS_2, {"a": "cat"}, measure=measure)
    (metric,) = result.values.metrics
    assert metric.value == pytest.approx(expected)
    assert (metric.name, metric.count, metric.higher_is_better) == (f"questions.{measure}", 2, True)
    assert metric.unit == ("questions" if measure == "ocrbench_right" else "fraction")
    assert result.per_item["is_answered"].tolist() == [True, False]
    assert result.per_item["num_characters"].tolist() == [3, 0]
    assert result.per_item["group"].tolist() == ["x", "y"]
    assert result.per_item["score"][1] == 0.0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(TEXT, TEXT, st.sampled_from(sorted(QUESTIONS)))
def test_losing_an_answer_never_helps(first, second, measure):
    answers = {"a": first, "b": second}
    name = f"questions.{measure}"
    full = evaluate_questions(QUESTIONS_2, answers, measure=measure)
    assert full.per_item["score"].between(0.0, 1.0).all()
    assert math.isfinite(full.values[name])
    less = evaluate_questions(QUESTIONS_2, {"b": second}, measure=measure)
    assert less.values[name] <= full.values[name]


def test_measures_are_told_apart():
    assert len({definition.sha256 for definition in QUESTIONS.values()}) == 5


def test_what_cannot_be_scored_is_named():
    for references in ((), ("cat", " ")):
        with pytest.raises(ValueError, match=r"^question 'a' must have references, none blank, got \("):
            Question(item_id="a", references=references)
    with pytest.raises(ValueError, match=r"^question 'a' needs the answers of at least 2 people, got 1\.$"):
        evaluate_questions([Question(item_id="a", references=("cat",))], {}, measure="vqa_accuracy")
