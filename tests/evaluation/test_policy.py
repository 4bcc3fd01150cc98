import dataclasses

import pytest

from evaluation.policy import Ceiling, Floor, NonInferior, Policy, Primary
from tasks.config import load_file
from tests.evaluation.scenes import ROOT


def policy(**changes):
    values = {
        "split": "val",
        "floors": (Floor(metric="mask.ap50", at_least=0.45),),
        "ceilings": (Ceiling(metric="detections_per_image", at_most=400.0),),
        "primary": Primary(metric="mask.ap50", min_gain=0.0),
        "non_inferior": (NonInferior(metric="mask.recall50", max_drop=0.01),),
        "alpha": 0.05,
        "resamples": 200,
        "seed": 1,
    }
    return Policy(**(values | changes))


def test_the_committed_gate_loads_and_judges_by_the_interval():
    gate = load_file(ROOT / "configs" / "gates" / "segmenter.yaml", Policy)
    assert gate.primary == Primary(metric="mask.ap50", min_gain=0.0)
    assert gate.metrics == ("mask.ap50", "mask.recall50", "mask.matched_iou", "detections_per_image")
    assert gate.compared == ("mask.ap50", "mask.recall50", "mask.matched_iou")
    assert gate.resamples == 2000


def test_any_change_of_the_rules_changes_their_hash():
    changed = [
        policy(split="train"),
        policy(floors=(Floor(metric="mask.ap50", at_least=0.44),)),
        policy(ceilings=()),
        policy(primary=Primary(metric="mask.ap50", min_gain=0.01)),
        policy(non_inferior=()),
        policy(alpha=0.1),
        policy(resamples=201),
        policy(seed=2),
    ]
    assert len({policy().sha256, *(item.sha256 for item in changed)}) == len(changed) + 1
    assert policy().sha256 == policy().sha256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"floors": ()}, r"^floors must name at least one metric: without one anything could pass\.$"),
        ({"floors": (Floor(metric="mask.ap51", at_least=0.4),)}, r"^unknown metric 'mask\.ap51'; "),
        (
            {"floors": (Floor(metric="mask.ap50", at_least=float("nan")),)},
            r"^at_least of mask\.ap50 must lie in the range of the metric, got nan\.$",
        ),
        (
            {"floors": (Floor(metric="mask.ap50", at_least=-1.0),)},
            r"^at_least of mask\.ap50 must lie in the range of the metric, got -1\.0\.$",
        ),
        (
            {"ceilings": (Ceiling(metric="detections_per_image", at_most=float("inf")),)},
            r"^at_most of detections_per_image must lie in the range of the metric, got inf\.$",
        ),
        (
            {"primary": Primary(metric="mask.ap_small", min_gain=0.0)},
            r"^'mask\.ap_small' has no interval: it cannot be recomputed for a sample of images\.$",
        ),
        (
            {"primary": Primary(metric="mask.ap50", min_gain=-0.1)},
            r"^min_gain must lie from 0 to 1, got -0\.1\.$",
        ),
        (
            {"non_inferior": (NonInferior(metric="mask.ap50", max_drop=float("nan")),)},
            r"^max_drop must lie from 0 to 1, got nan\.$",
        ),
        ({"alpha": 0.0}, r"^alpha must lie from 0\.001 to 0\.2, got 0\.0\.$"),
        ({"resamples": 10}, r"^resamples must lie from 100 to 1e\+06, got 10\.$"),
        ({"seed": -1}, r"^seed must lie from 0 to "),
    ],
)
def test_rules_that_cannot_be_applied_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        policy(**changes)


def test_rules_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy().alpha = 1.0
