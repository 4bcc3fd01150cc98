import pytest

from evaluation.answers import align, definition_of
from evaluation.definition import MetricSpec


def test_missing_and_blank_answers_are_empty_texts_in_their_place():
    assert align(["a", "b", "c"], {"c": " \n", "b": " a cat "}) == ["", "a cat", ""]


def test_nothing_to_score_unknown_and_repeated_ids_are_errors():
    with pytest.raises(ValueError, match=r"^no items to score; refusing to report a metric over nothing\.$"):
        align([], {})
    with pytest.raises(ValueError, match=r"^item 'a' stands twice; ids must be unique\.$"):
        align(["a", "b", "a"], {})
    with pytest.raises(ValueError, match=r"^answer to unknown item 'z'; expected one of the 1 items\.$"):
        align(["a"], {"z": "yes"})


@pytest.mark.parametrize("answer", [None, 3, float("nan"), ["cat"]])
def test_an_answer_is_text(answer):
    with pytest.raises(TypeError, match=r"^answer to item 'a' must be text, got "):
        align(["a"], {"a": answer})


def test_a_convention_is_part_of_the_identity():
    spec = MetricSpec(name="x.y", meaning="any")
    one, two = (definition_of("x/1", conventions=(text,), metrics=(spec,)) for text in ("at least", "above"))
    assert one.sha256 != two.sha256
    assert one.iou_percent == one.caps == one.areas == ()
