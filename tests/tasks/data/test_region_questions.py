"""Questions out of samples: their ids, their kinds, and the answers that follow them."""

import pytest

from tasks.data.region_questions import kind_of, questions_of, spoken
from tasks.data.region_records import RegionMark, RegionSample, RegionTurn, SampleRegion

REGION = SampleRegion(box_xyxy=(0.0, 0.0, 4.0, 4.0))


def sample(sample_id="7/choose", *, turns=None, regions=2):
    usual = (
        RegionTurn(role="user", parts=("What is ", RegionMark(1), "?")),
        RegionTurn(role="assistant", parts=("A cup",)),
        RegionTurn(role="user", parts=("Which one is left? ",)),
        RegionTurn(role="assistant", parts=(RegionMark(0), " is.")),
        RegionTurn(role="user", parts=("Why?",)),
    )
    return RegionSample(
        dataset="d",
        split="val",
        sample_id=sample_id,
        file="a.png",
        size=(10, 10),
        regions=(REGION,) * regions,
        turns=turns or usual,
    )


def test_each_turn_of_the_user_is_a_question():
    found = questions_of([sample()])
    assert [question.question_id for question in found] == [
        "d/val/7/choose#1",
        "d/val/7/choose#2",
        "d/val/7/choose#3",
    ]
    assert [question.turn for question in found] == [0, 2, 4]
    assert [question.text for question in found] == ["What is region2?", "Which one is left?", "Why?"]
    assert [question.reference for question in found] == ["A cup", "region1 is.", None]
    assert {question.kind for question in found} == {"choose"}


def test_regions_are_spoken_of_by_name():
    turn = RegionTurn(role="user", parts=(RegionMark(0), " beside ", RegionMark(11)))
    assert spoken(turn) == "region1 beside region12"


@pytest.mark.parametrize(
    ("sample_id", "kind"),
    [
        ("12/describe-text", "describe-text"),
        ("12/describe-label", "describe-label"),
        ("a/b/exists-nearest", "exists-nearest"),
        ("choose", "choose"),
        ("3/000000123", "dialogue"),
        ("3", "dialogue"),
        ("3/described", "dialogue"),
    ],
)
def test_the_end_of_an_id_tells_the_kind(sample_id, kind):
    assert kind_of(sample(sample_id)) == kind
