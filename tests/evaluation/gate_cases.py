"""Policies and evidence that the tests of the gate share."""

from functools import cache

from evaluation.gate import Ceiling, Floor, NonInferior, Policy, Primary
from evaluation.ref_boxes import REF_BOXES
from tests.evaluation.scenes import evidence_of, simulate

POLICY = Policy(
    split="val",
    floors=(Floor(metric="mask.ap50", at_least=0.45), Floor(metric="mask.recall50", at_least=0.55)),
    ceilings=(Ceiling(metric="detections_per_image", at_most=400.0),),
    primary=Primary(metric="mask.ap50", min_gain=0.0),
    non_inferior=(
        NonInferior(metric="mask.recall50", max_drop=0.01),
        NonInferior(metric="mask.matched_iou", max_drop=0.01),
    ),
    alpha=0.05,
    resamples=400,
    seed=1,
)
BOXES = Policy(
    split="val",
    definition=REF_BOXES.name,
    floors=(Floor(metric="ref_box.accuracy_50", at_least=0.5),),
    ceilings=(),
    primary=Primary(metric="ref_box.accuracy_50", min_gain=0.0),
    non_inferior=(NonInferior(metric="ref_box.mean_iou", max_drop=0.01),),
    interval="bca",
    alpha=0.05,
    resamples=200,
    seed=1,
)


@cache
def candidate():
    return evidence_of(simulate(1, found=0.85))


@cache
def champion():
    return evidence_of(simulate(2, found=0.75), bundle_id="a" * 16, sequence=3)


@cache
def twin():
    return evidence_of(simulate(3, found=0.75), bundle_id="b" * 16)
