from typing import Any

import pytest

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
