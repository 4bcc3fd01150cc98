import dataclasses
from typing import Any

import pytest

from tasks.report.sources import Override
from tasks.report.verdict import read_verdict

FLOOR = {"metric": "mask.ap50", "value": 0.7, "at_least": 0.6, "passed": True}
CHAMPION = {"bundle_id": "b", "sequence": 3}


def _decision(verdict: str, *outcomes: str, **changes: Any) -> dict[str, Any]:
    names = ("mask.matched_iou", "mask.ap50", "box.recall50")
    comparisons = [
        {"metric": name, "outcome": outcome} for name, outcome in zip(names, outcomes, strict=False)
    ]
    return {
        "verdict": verdict,
        "reasons": ["because."],
        "objections": [],
        "comparisons": comparisons,
        "floors": [FLOOR, FLOOR],
        "candidate": {"bundle_id": "a"},
        "champion": CHAMPION,
    } | changes


@pytest.mark.parametrize(
    ("decision", "kind", "sentence"),
    [
        (
            _decision("promote", champion=None),
            "promote",
            "All 2 limits are met and there is no champion yet: this model becomes the first.",
        ),
        (
            _decision("promote", "better", "not worse"),
            "promote",
            "All 2 limits are met and mask matched IoU is better beyond chance; 1 other is not worse: "
            "this model replaces the champion.",
        ),
        (
            _decision("inconclusive", "inconclusive", "not worse"),
            "inconclusive",
            "All 2 limits are met, but these images are too few to tell whether mask matched IoU held up "
            "against the champion. The champion stays.",
        ),
        (
            _decision("inconclusive", champion=None),
            "inconclusive",
            "All 2 limits are met, but there is nothing to compare with. There is still no champion.",
        ),
        (
            _decision("reject", "not better", "worse", floors=[FLOOR, FLOOR | {"passed": False}]),
            "reject",
            "1 of 2 limits are met; mask matched IoU is not better and mask AP50 is worse than the "
            "champion's. The champion stays.",
        ),
        (
            _decision("reject", objections=["candidate: mask.ap50 is missing."]),
            "reject",
            "The evidence cannot be judged, so nothing is promoted. The champion stays.",
        ),
    ],
)
def test_a_decision_in_one_sentence(decision: dict[str, Any], kind: str, sentence: str) -> None:
    verdict = read_verdict(decision, in_force=False)
    assert (verdict.kind, verdict.sentence) == (kind, sentence)


OVERRIDE = Override(
    who="grace", when="2026-11-21T10:00:00+00:00", why="a demo", until="2026-12-31", sequence=4, is_over=False
)


@pytest.mark.parametrize(
    ("verdict", "is_over", "kind", "sentence"),
    [
        (
            "reject",
            False,
            "override",
            "The gate rejected it. grace made it champion all the same on 2026-11-21, in "
            "entry 4 of the ledger; this holds until 2026-12-31. The reason given: a demo",
        ),
        (
            "inconclusive",
            True,
            "ended",
            "The gate left it open. grace made it champion all the same on 2026-11-21, in "
            "entry 4 of the ledger; this ended on 2026-12-31. The reason given: a demo",
        ),
    ],
)
def test_an_override_is_said_before_everything_else(verdict, is_over, kind, sentence) -> None:
    override = dataclasses.replace(OVERRIDE, is_over=is_over)
    found = read_verdict(_decision(verdict, "not better"), in_force=True, override=override)
    assert (found.kind, found.sentence) == (kind, sentence)
    assert found.word == {"override": "Champion by override", "ended": "Override is over"}[kind]


def test_remarks_are_shown_and_an_older_decision_has_none() -> None:
    decision = _decision("promote", "better", remarks=["This is model 3."])
    assert read_verdict(decision, in_force=False).remarks == ("This is model 3.",)
    assert read_verdict(_decision("promote", "better"), in_force=False).remarks == ()


def test_a_split_that_was_used_too_often_is_the_reason() -> None:
    decision = _decision("inconclusive", "better", "not worse", uses=21, max_uses=20)
    assert read_verdict(decision, in_force=False).sentence == (
        "All 2 limits are met, but so many models were judged on these images that one wins by luck. The "
        "champion stays."
    )


def test_the_champion_is_called_so() -> None:
    verdict = read_verdict(_decision("promote", "better"), in_force=True)
    assert (verdict.kind, verdict.word) == ("champion", "Already champion")
    assert verdict.sentence == "This model is the champion. Below stands the decision that made it so."


def test_an_objection_is_not_said_twice() -> None:
    verdict = read_verdict(
        _decision("reject", objections=["bad."], reasons=["1 objections.", "bad."]), in_force=False
    )
    assert (verdict.objections, verdict.reasons) == (("bad.",), ("1 objections.",))


def test_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(ValueError, match=r"verdict must be one of .* got 'maybe'"):
        read_verdict(_decision("maybe"), in_force=False)
