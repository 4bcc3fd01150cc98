import math

import pytest

from evaluation.judged import JudgedQuestion, Verdict, evaluate_judged

QUESTIONS = [
    JudgedQuestion(item_id="a", group="description", question="What is it?", reference="A dog."),
    JudgedQuestion(item_id="b", group="description", question="What is it?", reference="A cat."),
    JudgedQuestion(item_id="c", group="reasoning", question="Why?", reference="It rains."),
]
ANSWERS = {"a": "a dog", "b": "a cat", "c": "rain"}
RATINGS = {"a": (8, 6), "b": (10, 9), "c": (2, 5)}


def judge(question, answer):
    reference, model = RATINGS[question.item_id]
    return Verdict(reference=reference, model=model)


def test_the_ratio_of_sums_by_hand():
    """100 * (6 + 9) / (8 + 10); reasoning is better than its reference; all: 100 * 20 / 20."""
    result = evaluate_judged(QUESTIONS, ANSWERS, judge=judge)
    assert result.values["judged.description"] == pytest.approx(100 * 15 / 18)
    assert result.values["judged.reasoning"] == 250.0
    assert result.values["judged.all"] == 100.0
    assert [m.count for m in result.values.metrics] == [3, 2, 1]
    assert result.per_item["model_rating"].tolist() == [6.0, 9.0, 5.0]
    assert result.per_item["failure"].isna().all()


def test_a_missing_answer_is_rated_0_whatever_the_judge_says():
    asked = []

    def generous(question, answer):
        asked.append((question.item_id, answer))
        return Verdict(reference=10, model=10)

    result = evaluate_judged(QUESTIONS, {"a": "a dog", "b": "  "}, judge=generous)
    assert asked == [("a", "a dog"), ("b", ""), ("c", "")]
    assert result.values["judged.all"] == pytest.approx(100 / 3)
    assert result.per_item["is_answered"].tolist() == [True, False, False]


def test_a_judge_that_fails_leaves_no_metric_and_is_not_asked_again():
    asked = []

    def overloaded(question, answer):
        asked.append(question.item_id)
        if question.item_id == "b":
            raise TimeoutError("429 too many requests")
        return judge(question, answer)

    result = evaluate_judged(QUESTIONS, ANSWERS, judge=overloaded)
    reason = "the judge failed at 'b': TimeoutError: 429 too many requests"
    assert asked == ["a", "b"]
    assert result.values.metrics == ()
    assert result.values.undefined == dict.fromkeys(
        ("judged.all", "judged.description", "judged.reasoning"), reason
    )
    assert result.per_item["model_rating"].isna().tolist() == [False, True, True]
    assert result.per_item["failure"].tolist()[1:] == [reason, f"not judged: {reason}"]


@pytest.mark.parametrize("rating", [math.nan, math.inf, -1, 10.5, True, "9", None])
def test_a_rating_that_is_none_is_a_failure(rating):
    for verdict in (Verdict(reference=rating, model=5), Verdict(reference=5, model=rating)):
        result = evaluate_judged(QUESTIONS, ANSWERS, judge=lambda *_, verdict=verdict: verdict)
        assert result.values.metrics == ()
        expected = r"the judge failed at 'a': ratings must be numbers in [0, 10], got Verdict("
        assert result.values.undefined["judged.all"].startswith(expected)


def test_a_judge_that_returns_something_else_is_a_failure():
    undefined = evaluate_judged(QUESTIONS, ANSWERS, judge=lambda *_: (5, 5)).values.undefined
    assert undefined["judged.all"] == "the judge failed at 'a': expected a Verdict, got (5, 5)"


def test_worthless_references_have_no_ratio():
    def strict(question, answer):
        return Verdict(reference=0 if question.item_id == "c" else 5, model=5)

    result = evaluate_judged(QUESTIONS, ANSWERS, judge=strict)
    assert result.values.undefined == {"judged.reasoning": "the judge rated every reference 0"}
    assert result.values["judged.all"] == 150.0


def test_another_scale_is_another_definition():
    one = evaluate_judged(QUESTIONS, ANSWERS, judge=judge)
    two = evaluate_judged(QUESTIONS, ANSWERS, judge=judge, highest=100.0)
    assert one.values.definition_sha256 != two.values.definition_sha256


def test_input_is_checked():
    with pytest.raises(ValueError, match=r"^question 'a' must have a reference answer\.$"):
        JudgedQuestion(item_id="a", group="x", question="What?", reference=" ")
    whole = [JudgedQuestion(item_id="a", group="all", question="What?", reference="x")]
    with pytest.raises(ValueError, match=r"^group of question 'a' must not be 'all': it is the whole\.$"):
        evaluate_judged(whole, {}, judge=judge)
    for highest in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^highest must be positive and finite, got "):
            evaluate_judged(QUESTIONS, ANSWERS, judge=judge, highest=highest)
