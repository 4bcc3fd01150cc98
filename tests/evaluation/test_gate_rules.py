"""Odd values, classes, images, samples and floods against the rules of a gate."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.gate import (
    Ceiling,
    ClassFloor,
    Floor,
    MustPass,
    Policy,
    Primary,
    SampleSize,
    decide,
)
from evaluation.tables import Tables
from tasks.config import load_file
from tests.evaluation.expression_scenes import boxes_of, evidence_of_boxes, simulate_boxes
from tests.evaluation.gate_cases import BOXES, POLICY, candidate, champion
from tests.evaluation.scenes import ROOT, evidence_of, simulate

ODD_FLOATS = [math.nan, math.inf, -math.inf, -0.0, 5e-324, -5e-324, -1.0, 1.0001, 1.0 + 2**-52, None, "0.9"]
FULL = dataclasses.replace(
    POLICY,
    class_floors=(ClassFloor(metric="mask.recall50", at_least=0.5),),
    must_pass=(MustPass(metric="mask.recall50", at_least=0.3, image_ids=(1, 2, 3)),),
    sample_sizes=(SampleSize(metric="mask.ap50", images=30, objects=500),),
    ceilings=(
        *POLICY.ceilings,
        Ceiling(metric="detections_per_image", at_most=600.0, each_image=True),
    ),
)


def test_sound_evidence_passes_every_rule():
    assert decide(candidate(), champion(), FULL).verdict == "promote"


@pytest.mark.parametrize("value", ODD_FLOATS, ids=repr)
@pytest.mark.parametrize("name", FULL.metrics)
def test_odd_values_of_a_metric_can_only_reject(name, value):
    spoiled = dataclasses.replace(candidate(), metrics={**candidate().metrics, name: value})
    decision = decide(spoiled, champion(), FULL)
    assert decision.verdict == "reject"
    assert decision.objections
    json.dumps(decision.to_json(), allow_nan=False)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, -5e-324, 1.0001, 1.0 + 2**-52])
@pytest.mark.parametrize("column", ["score", "mask_iou"])
def test_odd_values_in_the_tables_can_only_reject(column, value):
    matches = candidate().tables.matches.copy()
    matches.loc[int(matches["mask_matched_50"].to_numpy().argmax()), column] = value
    tables = Tables(per_image=candidate().tables.per_image, matches=matches)
    decision = decide(dataclasses.replace(candidate(), tables=tables), champion(), FULL)
    assert decision.verdict == "reject"
    assert decision.objections
    json.dumps(decision.to_json(), allow_nan=False)


def test_a_class_that_collapses_rejects_however_the_mean_rises():
    tables = candidate().tables
    images, matches = tables.per_image, tables.matches
    is_rare = images["image_id"] == 7
    regions = images["num_regions.nucleus"]
    parted = images.drop(columns="num_regions.nucleus").assign(
        **{"num_regions.cell": regions.where(is_rare, 0), "num_regions.nucleus": regions.where(~is_rare, 0)}
    )
    on_seven = matches["image_id"] == 7
    names = pd.array(["cell" if rare else "nucleus" for rare in on_seven], dtype="str")
    lost = matches.assign(category=names)
    for column in [name for name in lost if "_matched_" in name]:
        lost[column] = lost[column] & ~on_seven
    collapsed = evidence_of(Tables(per_image=parted, matches=lost))
    lenient = dataclasses.replace(POLICY, floors=(Floor(metric="mask.ap50", at_least=0.1),))
    assert decide(collapsed, None, lenient, first=True).verdict == "promote"
    strict = dataclasses.replace(lenient, class_floors=FULL.class_floors)
    decision = decide(collapsed, None, strict, first=True)
    assert decision.verdict == "reject"
    assert decision.reasons == ("mask.recall50 of category 'cell' is 0.0000, but must be at least 0.5.",)


def test_categories_too_rare_to_judge_are_listed_in_the_decision():
    floor = ClassFloor(metric="mask.recall50", at_least=0.1, min_objects=10**6)
    rules = dataclasses.replace(POLICY, class_floors=(FULL.class_floors[0], floor))
    decision = decide(candidate(), champion(), rules)
    regions = int(candidate().tables.per_image["num_regions"].sum())
    assert [(item.category, item.objects) for item in decision.not_judged] == [("nucleus", regions)]
    assert decision.to_json()["not_judged"] == [
        {"metric": "mask.recall50", "category": "nucleus", "objects": regions, "min_objects": 10**6}
    ]
    assert decision.remarks == (
        f"mask.recall50 is not judged for categories of fewer than 1000000 regions: 'nucleus' ({regions}).",
    )
    assert decision.verdict == "reject", "a floor that judges nothing must not pass"


def test_a_needed_metric_without_a_value_rejects_whatever_the_reason():
    """A judge that is down leaves no value; nothing is put in its place."""
    why = "the judge failed at 'q7': TimeoutError: no answer in 60 s"
    values = {name: value for name, value in candidate().metrics.items() if name != "mask.ap50"}
    silent = dataclasses.replace(
        candidate(), metrics=values, undefined={**candidate().undefined, "mask.ap50": why}
    )
    decision = decide(silent, champion(), POLICY)
    assert decision.verdict == "reject"
    assert decision.objections == (f"candidate: mask.ap50 is undefined: {why}.",)
    assert "mask.ap50" not in decision.candidate.metrics


def test_an_image_that_must_pass_and_does_not_is_an_objection():
    rule = MustPass(metric="mask.recall50", at_least=0.9999, image_ids=(1,))
    decision = decide(candidate(), champion(), dataclasses.replace(POLICY, must_pass=(rule,)))
    assert decision.verdict == "reject"
    assert decision.objections[0].startswith("candidate: image 1 must pass: mask.recall50 on it is 0.")
    gone = dataclasses.replace(rule, image_ids=(400,))
    decision = decide(candidate(), champion(), dataclasses.replace(POLICY, must_pass=(gone,)))
    assert decision.objections == (
        "candidate: image 400 must pass, but is not there or has nothing to score mask.recall50 on.",
    )


def test_too_small_a_sample_cannot_promote():
    size = SampleSize(metric="mask.ap50", images=40, objects=1)
    decision = decide(candidate(), champion(), dataclasses.replace(POLICY, sample_sizes=(size,)))
    assert decision.verdict == "reject"
    assert "at least 1 in 40 are needed." in decision.objections[0]


def flooded(tables, *, an_image, lucky, seed=0):
    """Add detections of score 0; a share ``lucky`` of the regions that were missed is hit by one of them."""
    generator = np.random.default_rng(seed)
    images, parts = tables.per_image.copy(), [tables.matches]
    like = tables.matches[~tables.matches["mask_matched_50"]].iloc[:1]
    columns = ("image_id", "num_detections", "mask_fn50")
    for image_id, count, missed in images[list(columns)].itertuples(index=False):
        part = pd.concat([like] * an_image, ignore_index=True)
        part["image_id"], part["score"] = image_id, 0.0
        part["detection"] = np.arange(an_image) + count
        hits = int(generator.binomial(missed, lucky))
        for column in [name for name in part if "_matched_" in name]:
            part[column] = np.arange(an_image) < hits
        for column in ("mask_iou", "box_iou", "mask_iou_at_box_match"):
            part.loc[part.index < hits, column] = 0.99
        parts.append(part)
    images["num_detections"] += an_image
    return Tables(per_image=images, matches=pd.concat(parts, ignore_index=True))


@pytest.mark.parametrize("an_image", [60, 400])
def test_many_boxes_of_score_0_cannot_win(an_image):
    """They do raise recall, so a gate that saw nothing else would promote them."""
    gate = load_file(ROOT / "configs" / "gates" / "coco_recall.yaml", Policy)
    gate = dataclasses.replace(gate, sample_sizes=(), resamples=200)
    blind = dataclasses.replace(
        gate,
        ceilings=(),
        non_inferior=(),
        floors=gate.floors[:2],
        primary=Primary(metric="box.ar_all", min_gain=0.0),
    )
    mine = simulate(2, regions=12, found=0.75, false=5)
    flood = evidence_of(flooded(mine, an_image=an_image, lucky=0.5))
    champion = evidence_of(mine, sequence=1)
    assert decide(flood, champion, blind).verdict == "promote"
    for primary in (gate.primary, blind.primary):
        decision = decide(flood, champion, dataclasses.replace(gate, primary=primary))
        assert decision.verdict == "reject"


def test_one_image_full_of_boxes_is_seen_although_the_mean_is_low():
    counts = candidate().tables.per_image["num_detections"]
    mean = Ceiling(metric="detections_per_image", at_most=float(counts.mean()) + 1)
    each = dataclasses.replace(mean, each_image=True)
    assert decide(candidate(), None, dataclasses.replace(POLICY, ceilings=(mean,)), first=True).verdict == (
        "promote"
    )
    decision = decide(candidate(), None, dataclasses.replace(POLICY, ceilings=(mean, each)), first=True)
    assert decision.verdict == "reject"
    assert (
        f" on image {counts.argmax() + 1} is {counts.max():.4f}, but must be at most" in decision.reasons[0]
    )


def test_bca_is_used_where_the_policy_says_so():
    plain = decide(candidate(), champion(), POLICY)
    bca = decide(candidate(), champion(), dataclasses.replace(POLICY, interval="bca"))
    assert (plain.interval, bca.interval) == ("percentile", "bca")
    assert bca.verdict == "promote"
    assert bca.comparisons[0].difference == plain.comparisons[0].difference
    assert bca.comparisons[0].interval != plain.comparisons[0].interval
    assert bca.decision_id != plain.decision_id


def test_models_that_point_are_judged_by_their_own_definition():
    weak, strong = (evidence_of_boxes(simulate_boxes(seed, found=0.6 + seed / 5)) for seed in (0, 1))
    weak = dataclasses.replace(weak, sequence=2)
    decision = decide(strong, weak, BOXES)
    assert (decision.verdict, decision.definition["name"]) == ("promote", "referring-boxes/1")
    assert decide(weak, dataclasses.replace(strong, sequence=3), BOXES).verdict == "reject"
    assert decide(candidate(), None, BOXES, first=True).verdict == "reject"
    assert decide(strong, None, POLICY, first=True).verdict == "reject"


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.floats(), st.sampled_from(["iou", "best_iou"]), st.sampled_from(sorted(BOXES.metrics)))
def test_no_float_but_the_true_one_promotes_who_points(value, column, name):
    boxes = simulate_boxes(0, images=30)
    sound = evidence_of_boxes(boxes)
    lie = dataclasses.replace(sound, metrics={**sound.metrics, name: value})
    if value != sound.metrics[name]:
        assert decide(lie, None, BOXES, first=True).verdict == "reject"
    changed = boxes.per_expression.copy()
    changed.loc[0, column] = value
    verdict = decide(dataclasses.replace(sound, tables=boxes_of(changed)), None, BOXES, first=True).verdict
    if column == "iou" and abs(value - boxes.per_expression["iou"][0]) > 1e-6:
        assert verdict == "reject"
