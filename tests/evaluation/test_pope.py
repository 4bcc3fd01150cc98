import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.pope import SETTINGS, YesNoQuestion, evaluate_pope, reads_as_yes


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("No, there is not", False),
        ("no", False),
        ("NO!", False),
        ("There is not a dog. Yes.", False),
        ("Yes.", True),
        ("Yes. There is no cat, though.", True),
        ("Nothing of the kind", True),
        ("Notable dogs", True),
        ("A dog", True),
        ("... no", False),
        ("", None),
        (" .,! ", None),
    ],
)
def test_words_are_compared_whole_and_the_first_sentence_is_read(answer, expected):
    assert reads_as_yes(answer) is expected


def questions(*truths, setting="random"):
    return [YesNoQuestion(item_id=str(n), setting=setting, is_yes=truth) for n, truth in enumerate(truths)]


def numbers(result, setting="random"):
    prefix = f"pope.{setting}."
    metrics = result.values.metrics
    return {m.name.removeprefix(prefix): m.value for m in metrics if m.name.startswith(prefix)}


def test_five_numbers_by_hand():
    """yes yes yes no no, answered yes yes no yes no: TP 2, FN 1, FP 1, TN 1."""
    answers = dict(zip("01234", ["Yes", "yes, it is", "No", "Yes", "There is no dog."], strict=True))
    result = evaluate_pope(questions(True, True, True, False, False), answers)
    assert numbers(result) == pytest.approx(
        {"accuracy": 3 / 5, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "yes_ratio": 3 / 5}
    )
    directions = {m.name: m.higher_is_better for m in result.values.metrics}
    assert [name for name, up in directions.items() if not up] == ["pope.random.yes_ratio"]


def test_a_missing_answer_is_wrong_whatever_the_truth():
    """The published reader takes it for yes, which would be right in the first question."""
    result = evaluate_pope(questions(True, False), {"0": " ", "1": ""})
    assert numbers(result) == {"accuracy": 0, "precision": 0, "recall": 0, "f1": 0, "yes_ratio": 0}
    assert result.per_item["read"].tolist() == ["nothing", "nothing"]
    assert result.per_item["is_positive"].tolist() == [False, True]


def test_saying_always_no_scores_0_and_not_nothing():
    result = evaluate_pope(questions(True, False), {"0": "no", "1": "no"})
    assert numbers(result) == {"accuracy": 0.5, "precision": 0, "recall": 0, "f1": 0, "yes_ratio": 0}


def test_settings_stand_alone():
    items = [YesNoQuestion(item_id=setting, setting=setting, is_yes=True) for setting in SETTINGS]
    result = evaluate_pope(items, {"random": "yes", "popular": "no", "adversarial": "yes"})
    assert [numbers(result, setting)["accuracy"] for setting in SETTINGS] == [1.0, 0.0, 1.0]
    assert result.values.undefined == {}


def test_what_has_no_value_is_named():
    undefined = evaluate_pope(questions(False), {"0": "no"}).values.undefined
    assert undefined["pope.random.f1"] == "no question has the answer yes"
    assert undefined["pope.popular.accuracy"] == "no question has this setting"
    assert len(undefined) == 13


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["yes", "no", ""])), min_size=1, max_size=10))
def test_counts_equal_those_of_a_loop_and_losing_an_answer_never_helps(pairs):
    items = questions(*(truth for truth, _ in pairs))
    answers = {str(n): answer for n, (_, answer) in enumerate(pairs)}
    found = numbers(evaluate_pope(items, answers))
    said = [{"yes": True, "no": False, "": not truth}[answer] for truth, answer in pairs]
    right = sum(s and t for s, (t, _) in zip(said, pairs, strict=True))
    positives, claimed = sum(t for t, _ in pairs), sum(said)
    assert found["accuracy"] == pytest.approx(
        sum(s == t for s, (t, _) in zip(said, pairs, strict=True)) / len(pairs)
    )
    if positives:
        precision, recall = right / claimed if claimed else 0.0, right / positives
        both = precision + recall
        assert found["precision"] == precision
        assert found["recall"] == recall
        assert found["f1"] == pytest.approx(2 * precision * recall / both if both else 0.0)
    less = numbers(evaluate_pope(items, {k: v for k, v in answers.items() if k != "0"}))
    for name in ("accuracy", "recall", "f1"):
        assert less.get(name, 0.0) <= found.get(name, 0.0)


def test_questions_are_checked():
    with pytest.raises(ValueError, match=r"^setting of 'a' must be one of \('random', 'popular', 'adversar"):
        YesNoQuestion(item_id="a", setting="easy", is_yes=True)
    with pytest.raises(TypeError, match=r"^is_yes of 'a' must be a bool, got 'no'\.$"):
        YesNoQuestion(item_id="a", setting="random", is_yes="no")
