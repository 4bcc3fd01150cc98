import dataclasses
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.definition import DETECTION
from evaluation.gate import (
    Ceiling,
    Floor,
    decide,
)
from evaluation.tables import Tables
from tests.evaluation.gate_cases import POLICY, candidate, champion, twin
from tests.evaluation.scenes import evidence_of, simulate


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


def test_a_look_too_many_leaves_every_gain_open():
    bounded = dataclasses.replace(POLICY, max_uses=20)
    last = decide(candidate(), champion(), bounded, uses=20)
    over = decide(candidate(), champion(), bounded, uses=21)
    uncounted = decide(candidate(), champion(), bounded)
    assert (last.verdict, over.verdict, uncounted.verdict) == ("promote", "inconclusive", "inconclusive")
    assert last.remarks == ("This is model 20 of at most 20 that is judged on split 'val' of this dataset.",)
    assert over.reasons == (
        "split 'val' may judge 20 models, 21 different models were judged on this version of it: what wins "
        "now may win by luck; judge on new data.",
    )
    assert "nobody counted how many models were judged on" in uncounted.reasons[0]
    assert decide(evidence_of(simulate(5, found=0.6)), candidate(), bounded, uses=21).verdict == "reject"
    assert decide(candidate(), None, bounded, first=True, uses=21).verdict == "inconclusive"


def test_what_is_counted_and_remarked_changes_no_verdict():
    plain = decide(candidate(), champion(), POLICY)
    told = decide(candidate(), champion(), POLICY, uses=3, remarks=("The champion stands by an override.",))
    assert (told.verdict, told.reasons) == (plain.verdict, plain.reasons)
    assert (told.uses, told.max_uses, plain.uses, plain.remarks) == (3, None, None, ())
    assert told.remarks == (
        "This is model 3 that is judged on split 'val' of this dataset.",
        "The champion stands by an override.",
    )
    others = [decide(candidate(), champion(), POLICY, uses=uses) for uses in (3, 4)]
    assert len({plain.decision_id, told.decision_id, *(item.decision_id for item in others)}) == 4


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
        "not_judged",
        "uses",
        "max_uses",
        "remarks",
    ]
    assert document["floors"][0].keys() == {"metric", "value", "at_least", "passed"}
    assert document["floors"][2].keys() == {"metric", "value", "at_most", "passed"}
    assert document["champion"]["sequence"] == 3
    assert document["definition"]["sha256"] == document["definition_sha256"] == DETECTION.sha256
    assert [metric["name"] for metric in document["definition"]["metrics"]] == list(POLICY.metrics)
    assert document["candidate"]["metrics"]["mask.ap50"] == candidate().metrics["mask.ap50"]
