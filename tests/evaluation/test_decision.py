import dataclasses
import json

import pytest

from evaluation.decision import Comparison, Decision, LimitResult, Side

DECISION = Decision(
    decision_id="0" * 16,
    verdict="reject",
    reasons=("a",),
    objections=(),
    comparisons=(
        Comparison(
            metric="mask.ap50",
            candidate=0.5,
            champion=0.4,
            difference=0.1,
            interval=(0.0, 0.2),
            margin=0.0,
            outcome="inconclusive",
        ),
    ),
    floors=(
        LimitResult(metric="mask.ap50", value=None, at_least=0.5, passed=False),
        LimitResult(metric="mask.ap50", value=0.2, at_least=0.5, category="cell", passed=False),
        LimitResult(metric="detections_per_image", value=9.0, at_most=5.0, image_id=3, passed=False),
    ),
    candidate=Side(bundle_id="c", model_sha256="m", sequence=None, metrics={"mask.ap50": 0.5}),
    champion=None,
    policy_sha256="p",
    dataset_sha256="d",
    definition_sha256="e",
    definition={"name": "coco-instances/1"},
    alpha=0.05,
    interval="bca",
    resamples=100,
    seed=1,
)


def test_limits_carry_only_what_they_are_about_and_a_value_always():
    document = DECISION.to_json()
    assert [list(floor) for floor in document["floors"]] == [
        ["metric", "value", "at_least", "passed"],
        ["metric", "value", "at_least", "category", "passed"],
        ["metric", "value", "at_most", "image_id", "passed"],
    ]
    assert document["schema"] == "groundwork.decision/1"
    assert document["definition"] == {"name": "coco-instances/1"}
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_a_number_that_is_none_cannot_be_written():
    spoiled = dataclasses.replace(DECISION, alpha=float("nan"))
    with pytest.raises(ValueError, match="not JSON compliant"):
        spoiled.to_json()
