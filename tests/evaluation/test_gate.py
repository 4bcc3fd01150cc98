import dataclasses
import json
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.definition import DETECTION
from evaluation.gate import (
    Ceiling,
    ClassFloor,
    Floor,
    MustPass,
    NonInferior,
    Policy,
    Primary,
    SampleSize,
    decide,
)
from evaluation.ref_boxes import REF_BOXES
from evaluation.tables import Tables
from tasks.config import load_file
from tests.evaluation.expression_scenes import boxes_of, evidence_of_boxes, simulate_boxes
from tests.evaluation.scenes import ROOT, evidence_of, simulate

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


@cache
def candidate():
    return evidence_of(simulate(1, found=0.85))


@cache
def champion():
    return evidence_of(simulate(2, found=0.75), bundle_id="a" * 16, sequence=3)


@cache
def twin():
    return evidence_of(simulate(3, found=0.75), bundle_id="b" * 16)


def test_a_better_candidate_is_promoted_with_sentences_that_hold_the_numbers():
    decision = decide(candidate(), champion(), POLICY)
    assert decision.verdict == "promote"
    assert [item.outcome for item in decision.comparisons] == ["better", "not worse", "not worse"]
    gain = decision.comparisons[0]
    assert gain.difference == pytest.approx(gain.candidate - gain.champion)
    assert decision.reasons[0] == (f"mask.ap50 is {gain.candidate:.4f}, and must be at least 0.45.")
    assert decision.reasons[3] == (
        f"mask.ap50 is better: {gain.candidate:.4f} against {gain.champion:.4f} of the champion, difference "
        f"{gain.difference:+.4f} with 95% interval [{gain.interval[0]:+.4f}, {gain.interval[1]:+.4f}], "
        "margin +0.0000."
    )


def test_what_a_person_took_out_of_service_is_rejected_however_good():
    good = decide(candidate(), champion(), POLICY)
    held = decide(candidate(), champion(), POLICY, withdrawn="taken out of service by A, because: B.")
    assert (good.verdict, held.verdict) == ("promote", "reject")
    assert held.objections == ("candidate: taken out of service by A, because: B.",)
    assert held.decision_id != good.decision_id


def test_a_worse_candidate_is_rejected():
    decision = decide(evidence_of(simulate(5, found=0.6)), candidate(), POLICY)
    assert decision.verdict == "reject"
    assert decision.comparisons[0].outcome == "not better"
    assert decision.reasons[-1].startswith("mask.recall50 is worse: ")


def test_a_gain_inside_the_noise_is_inconclusive():
    decision = decide(twin(), champion(), POLICY)
    assert decision.verdict == "inconclusive"
    assert decision.reasons[0].startswith("mask.ap50 stays open: ")
    low, high = decision.comparisons[0].interval
    assert low <= 0.0 < high


def test_the_champion_itself_is_no_better():
    decision = decide(dataclasses.replace(champion(), sequence=None), champion(), POLICY)
    assert decision.verdict == "reject"
    assert decision.comparisons[0].interval == (0.0, 0.0)


def test_a_gain_in_one_metric_does_not_pay_for_a_loss_in_another():
    sloppy = evidence_of(simulate(4, found=0.9, iou=0.74, false=2))
    decision = decide(sloppy, champion(), POLICY)
    outcomes = {item.metric: item.outcome for item in decision.comparisons}
    assert outcomes["mask.matched_iou"] == "worse"
    assert decision.verdict == "reject"


def test_without_a_champion_only_a_first_promotion_that_was_asked_for_promotes():
    silent = decide(candidate(), None, POLICY)
    assert silent.verdict == "inconclusive"
    assert silent.reasons == ("no champion to compare with, and no first promotion was asked for.",)
    asked = decide(candidate(), None, POLICY, first=True)
    assert asked.verdict == "promote"
    assert asked.reasons[-1] == "there is no champion, and a first promotion was asked for."
    assert silent.decision_id != asked.decision_id


def test_first_changes_nothing_while_there_is_a_champion():
    assert decide(twin(), champion(), POLICY, first=True) == decide(twin(), champion(), POLICY)


def test_limits_hold_for_a_first_promotion_too():
    strict = dataclasses.replace(POLICY, floors=(Floor(metric="mask.ap50", at_least=0.99),))
    decision = decide(candidate(), None, strict, first=True)
    assert decision.verdict == "reject"
    assert decision.reasons[0].endswith(", but must be at least 0.99.")


def test_recall_cannot_be_bought_by_flooding():
    tight = dataclasses.replace(POLICY, ceilings=(Ceiling(metric="detections_per_image", at_most=100.0),))
    decision = decide(evidence_of(simulate(1, found=0.85, false=300)), None, tight, first=True)
    assert decision.verdict == "reject"
    assert any(reason.endswith(", but must be at most 100.0.") for reason in decision.reasons)


SPOILED = {
    "another dataset": {"dataset_sha256": "e" * 64},
    "another split": {"split": "train"},
    "another definition": {"definition_sha256": "f" * 64},
    "half the images": {"images_expected": 78},
    "no metrics": {"metrics": {}},
}


@pytest.mark.parametrize("changes", SPOILED.values(), ids=SPOILED)
@pytest.mark.parametrize("side", ["candidate", "champion"])
def test_evidence_about_something_else_can_only_reject(side, changes):
    sides = {"candidate": candidate(), "champion": champion()}
    sides[side] = dataclasses.replace(sides[side], **changes)
    decision = decide(sides["candidate"], sides["champion"], POLICY)
    assert decision.verdict == "reject"
    assert decision.objections
    assert decision.reasons[0] == (f"{len(decision.objections)} objections: the evidence cannot be judged.")
    assert not decision.comparisons
    json.dumps(decision.to_json(), allow_nan=False)


def test_predictions_of_other_images_can_only_reject():
    tables = candidate().tables
    images = tables.per_image.assign(image_id=tables.per_image["image_id"] + 100)
    matches = tables.matches.assign(image_id=tables.matches["image_id"] + 100)
    moved = dataclasses.replace(candidate(), tables=Tables(per_image=images, matches=matches))
    decision = decide(moved, champion(), POLICY)
    assert decision.verdict == "reject"
    assert decision.objections == ("the images differ: 39 only of the candidate, 39 only of the champion.",)


def test_a_resample_without_regions_leaves_the_comparison_open():
    full = simulate(1, images=6, found=0.95)
    images = full.per_image.copy()
    images.loc[1:, ["num_regions", "num_regions.nucleus", "num_detections"]] = 0
    bare = Tables(per_image=images, matches=full.matches[full.matches["image_id"] == 1])
    decision = decide(evidence_of(bare), evidence_of(bare, sequence=1), POLICY)
    assert decision.verdict == "inconclusive"
    assert "resamples hold no region." in decision.reasons[0]


def test_a_handful_of_images_proves_nothing():
    """One image resampled is always itself: its interval has no width, whatever the models are."""
    pair = [evidence_of(simulate(seed, images=5, found=found)) for seed, found in ((1, 0.95), (2, 0.6))]
    decision = decide(*pair, POLICY)
    assert decision.verdict == "inconclusive"
    assert decision.reasons == (
        "5 images are too few to compare: at least 6 are needed, or luck in every one of them is likelier "
        "than 2.5%.",
    )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.floats(), st.sampled_from(sorted(candidate().metrics)))
def test_no_float_but_the_true_one_promotes(value, name):
    """Every float there is, in every metric: NaN, infinity, -1, 1.0001 and plain lies."""
    spoiled = dataclasses.replace(candidate(), metrics={**candidate().metrics, name: value})
    decision = decide(spoiled, None, POLICY, first=True)
    if not DETECTION.spec(name).accepts(value):
        assert decision.verdict == "reject"
    if name in POLICY.metrics and value != candidate().metrics[name]:
        assert decision.verdict == "reject"
    assert not any(math.isnan(number) for number in decision.candidate.metrics.values())
    json.dumps(decision.to_json(), allow_nan=False)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.one_of(st.none(), st.booleans(), st.text(), st.integers(max_value=-1), st.lists(st.floats())))
def test_nothing_that_is_no_fraction_promotes(value):
    spoiled = dataclasses.replace(candidate(), metrics={**candidate().metrics, "mask.ap50": value})
    assert decide(spoiled, None, POLICY, first=True).verdict == "reject"


def test_equal_inputs_give_the_same_decision_and_any_other_input_another_id():
    decision = decide(candidate(), champion(), POLICY)
    assert decision == decide(candidate(), champion(), POLICY)
    assert len(decision.decision_id) == 16
    others = [
        decide(dataclasses.replace(candidate(), bundle_id="x" * 16), champion(), POLICY),
        decide(candidate(), dataclasses.replace(champion(), bundle_id="x" * 16), POLICY),
        decide(candidate(), dataclasses.replace(champion(), sequence=4), POLICY),
        decide(candidate(), champion(), dataclasses.replace(POLICY, seed=2)),
        decide(candidate(), None, POLICY),
    ]
    assert len({decision.decision_id, *(item.decision_id for item in others)}) == 6


def test_the_document_has_every_field_and_is_strict_json():
    document = decide(candidate(), champion(), POLICY).to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert list(document) == [
        "schema",
        "decision_id",
        "verdict",
        "reasons",
        "objections",
        "comparisons",
        "floors",
        "candidate",
        "champion",
        "policy_sha256",
        "dataset_sha256",
        "definition_sha256",
        "definition",
        "alpha",
        "interval",
        "resamples",
        "seed",
    ]
    assert document["floors"][0].keys() == {"metric", "value", "at_least", "passed"}
    assert document["floors"][2].keys() == {"metric", "value", "at_most", "passed"}
    assert document["champion"]["sequence"] == 3
    assert document["definition"]["sha256"] == document["definition_sha256"] == DETECTION.sha256
    assert [metric["name"] for metric in document["definition"]["metrics"]] == list(POLICY.metrics)
    assert document["candidate"]["metrics"]["mask.ap50"] == candidate().metrics["mask.ap50"]


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


def verdicts(gain, trials, **changes):
    """Judge pairs of models, each on its own 39 images; the challenger finds ``gain`` more of the regions."""
    quick = dataclasses.replace(POLICY, resamples=200, **changes)
    names = []
    for world in range(trials):
        weak, strong = (simulate(seed, found=0.75 + seed * gain, world=world) for seed in (0, 1))
        champion = evidence_of(weak, sequence=1, only=POLICY.metrics)
        names.append(decide(evidence_of(strong, only=POLICY.metrics), champion, quick).verdict)
    return names


def pointing_verdicts(gain, trials, method):
    """Judge pairs of models on 150 images of three expressions on average."""
    gate = dataclasses.replace(BOXES, non_inferior=(), interval=method)
    names = []
    for world in range(trials):
        pair = [simulate_boxes(seed, found=0.7 + seed * gain, world=world) for seed in (0, 1)]
        weak, strong = (evidence_of_boxes(tables) for tables in pair)
        names.append(decide(strong, dataclasses.replace(weak, sequence=1), gate).verdict)
    return names


def test_equal_models_are_promoted_no_more_often_than_alpha():
    trials = 60
    slack = 2 * math.sqrt(trials * POLICY.alpha * (1 - POLICY.alpha))
    assert verdicts(0.0, trials).count("promote") <= trials * POLICY.alpha + slack


def test_a_real_gain_is_seen():
    assert verdicts(0.05, 20).count("promote") >= 12


def test_equal_models_that_point_are_promoted_less_often_than_alpha():
    """100 pairs, at most 5: expected is half of alpha, as only one side of the interval can promote."""
    assert pointing_verdicts(0.0, 100, "bca").count("promote") <= 100 * BOXES.alpha


def test_a_real_gain_of_a_model_that_points_is_seen():
    assert pointing_verdicts(0.1, 30, "bca").count("promote") >= 24


@pytest.mark.slow
@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_over_many_pairs_the_rate_of_false_promotions_stays_below_alpha(method):
    """500 pairs of equal models each: at most 25 promotions, which is alpha without any slack."""
    assert pointing_verdicts(0.0, 500, method).count("promote") <= 25
    assert verdicts(0.0, 200, interval=method).count("promote") <= 10
    assert pointing_verdicts(0.08, 100, method).count("promote") >= 60
