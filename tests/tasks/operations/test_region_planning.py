from pathlib import Path

import pytest

from tasks.errors import UsageError
from tasks.operations.region_planning import PlanRequest, plan_training

REPOSITORY = Path(__file__).resolve().parents[3]
REQUEST = {
    "recipe": "osprey_tiny", "gpus": 2, "memory": 1.0, "samples": 100, "text": 40, "answer": 8, "regions": 2,
}  # fmt: skip


def test_every_stage_is_planned_both_ways():
    document = plan_training(PlanRequest(**REQUEST), REPOSITORY)
    for stage in document["stages"]:
        assert sum(stage["trained"].values()) <= sum(stage["parameters"].values())
        assert stage["ddp"]["memory"]["weights"] == 2 * stage["fsdp"]["memory"]["weights"]
        assert stage["ddp"]["steps"] == stage["fsdp"]["steps"] > 0
    assert "Nothing was measured" in document["note"]


def test_one_stage_and_changes():
    first = plan_training(PlanRequest(**REQUEST), REPOSITORY)["stages"][0]["name"]
    changes = ("stages.0.global_batch=4",)
    document = plan_training(PlanRequest(**REQUEST, stage=first, changes=changes), REPOSITORY)
    assert [stage["name"] for stage in document["stages"]] == [first]
    estimate = document["stages"][0]["ddp"]
    assert estimate["micro_batch"] * estimate["accumulation"] == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stage": "later"}, "there is no stage 'later'"),
        ({"gpus": 3}, "must be a multiple of the GPUs, got 3"),
        ({"gpus": 0}, "GPUs and memory must be at least 1, got 0"),
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"answer": 41}, "answer must be between 1 and text"),
        ({"text": 100_000}, "positions, the language model reads"),
        ({"recipe": "tokenpacker_tiny"}, "the model sees no regions, got samples with 2"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(changed, message):
    with pytest.raises(UsageError, match=message):
        plan_training(PlanRequest(**(REQUEST | changed)), REPOSITORY)
