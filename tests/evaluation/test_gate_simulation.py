"""How often the gate promotes models that are equal, and models that are better."""

import dataclasses
import math

import numpy as np
import pytest

from evaluation.gate import ClassFloor, decide
from evaluation.proportions import wilson_upper
from tests.evaluation.expression_scenes import evidence_of_boxes, simulate_boxes
from tests.evaluation.gate_cases import BOXES, POLICY
from tests.evaluation.scenes import evidence_of, simulate


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


def hits_and_floor(share, regions, trials, confidence):
    """How often a category of a true recall misses a floor of 0.10."""
    hits = np.random.default_rng(0).binomial(regions, share, size=trials) / regions
    if confidence is not None:
        hits = np.array([wilson_upper(hit, objects=regions, confidence=confidence) for hit in hits.tolist()])
    return float((hits < 0.10).mean())


def test_a_floor_with_confidence_spares_sound_categories_and_stops_collapsed_ones():
    """Of 80 categories of 30 regions and a recall of 0.15 a plain floor would reject twelve by luck alone."""
    plain, sure = (hits_and_floor(0.15, 30, 20_000, confidence) for confidence in (None, 0.95))
    assert 0.13 < plain < 0.17
    assert sure < 0.01
    assert hits_and_floor(0.10, 200, 20_000, 0.95) <= 0.05 + 0.01
    assert hits_and_floor(0.0, 25, 1, 0.95) == 1.0
    assert hits_and_floor(0.0, 24, 1, 0.95) == 0.0


def test_class_floors_never_make_equal_models_promote_more_often():
    """The same pairs under the same draws: a floor can only take promotions away."""
    floors = (ClassFloor(metric="mask.recall50", at_least=0.5, min_objects=25, confidence=0.95),)
    for gain in (0.0, 0.1):
        plain, held = verdicts(gain, 3), verdicts(gain, 3, class_floors=floors)
        pairs = set(zip(plain, held, strict=True))
        assert pairs <= {(name, name) for name in plain} | {(name, "reject") for name in plain}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_over_many_pairs_the_rate_of_false_promotions_stays_below_alpha(method):
    """500 pairs of equal models each: at most 25 promotions, which is alpha without any slack."""
    assert pointing_verdicts(0.0, 500, method).count("promote") <= 25
    assert verdicts(0.0, 200, interval=method).count("promote") <= 10
    assert pointing_verdicts(0.08, 100, method).count("promote") >= 60
