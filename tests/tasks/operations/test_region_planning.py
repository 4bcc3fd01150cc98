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
    assert "Not counted: what turns masks into tokens" in document["note"]


def test_one_stage_and_changes():
    changes = ("stages.0.global_batch=4",)
    asked = PlanRequest(**(REQUEST | {"regions": 0}), stage="align", changes=changes)
    document = plan_training(asked, REPOSITORY)
    assert [stage["name"] for stage in document["stages"]] == ["align"]
    assert document["stages"][0]["sample_tokens"] == document["stages"][0]["image_tokens"] + 40
    estimate = document["stages"][0]["ddp"]
    assert estimate["micro_batch"] * estimate["accumulation"] == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stage": "later"}, "there is no stage 'later'"),
        (
            {"gpus": 3, "changes": ("stages.0.epochs=2",)},
            r"^osprey_tiny --set stages\.0\.epochs=2: .* must be a multiple of the GPUs, got 3\. Say other "
            r"--gpus, .*, or correct `--set stages\.0\.epochs=2`",
        ),
        ({"gpus": 0}, "GPUs and memory must be at least 1, got 0"),
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"answer": 41}, "answer must be between 1 and text"),
        ({"text": 100_000}, "positions, the language model reads"),
        ({"recipe": "tokenpacker_tiny"}, "--regions 2: the model sees no regions, got samples with 2"),
        ({"regions": 101}, "--regions 101: the model sees at most 100 regions of an image, got .* with 101"),
        (
            {"regions": 0},
            r"--regions 0: stage 'regions' trains 'regions', .* do not reach\. Give as many .* --regions 8",
        ),
        ({"memory": float("inf")}, "--memory inf: must be a number of GiB, got inf"),
        ({"memory": float("nan")}, "--memory nan: must be a number of GiB, got nan"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(changed, message):
    with pytest.raises(UsageError, match=message):
        plan_training(PlanRequest(**(REQUEST | changed)), REPOSITORY)
