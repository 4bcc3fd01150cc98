import dataclasses
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest

from evaluation.limits import (
    apply_limits,
    apply_single_limits,
    left_out,
    left_out_sentences,
    limit_sentence,
)
from evaluation.policy import Ceiling, ClassFloor, Floor, MustPass, Policy, Primary, SampleSize
from evaluation.proportions import wilson_upper
from evaluation.tables import Tables
from tests.evaluation.expression_scenes import evidence_of_boxes, simulate_boxes
from tests.evaluation.scenes import evidence_of, simulate

PLAIN = {
    "split": "val",
    "floors": (Floor(metric="mask.ap50", at_least=0.45),),
    "ceilings": (),
    "primary": Primary(metric="mask.ap50", min_gain=0.0),
    "non_inferior": (),
    "alpha": 0.05,
    "resamples": 100,
    "seed": 1,
}


def policy(**changes):
    return Policy(**(PLAIN | changes))


def in_two_categories(tables):
    """Call what is on odd images ``odd`` and what is on even images ``even``."""
    is_odd = tables.per_image["image_id"] % 2 == 1
    count = tables.per_image["num_regions.nucleus"]
    images = tables.per_image.drop(columns="num_regions.nucleus").assign(
        **{"num_regions.odd": count.where(is_odd, 0), "num_regions.even": count.where(~is_odd, 0)}
    )
    names = np.where(tables.matches["image_id"] % 2 == 1, "odd", "even")
    return Tables(per_image=images, matches=tables.matches.assign(category=pd.array(names, dtype="str")))


@cache
def candidate():
    return evidence_of(in_two_categories(simulate(1, images=10, found=0.85)))


def test_plain_limits_read_what_the_evidence_states():
    rules = policy(ceilings=(Ceiling(metric="detections_per_image", at_most=1.0),))
    floor, ceiling = apply_limits(candidate(), rules)
    assert (floor.passed, ceiling.passed) == (True, False)
    assert floor.value == candidate().metrics["mask.ap50"]
    for value in (math.nan, math.inf, -1.0, 1.0001, None, "0.9", True):
        spoiled = dataclasses.replace(candidate(), metrics={"mask.ap50": value})
        assert [(item.value, item.passed) for item in apply_limits(spoiled, rules)] == [(None, False)] * 2


def recall_of(parity):
    rows = candidate().tables.per_image
    rows = rows[rows["image_id"] % 2 == parity]
    return rows["mask_tp50"].sum() / rows["num_regions"].sum()


def test_the_lowest_category_speaks_for_a_rule_that_all_meet():
    results, objections = apply_single_limits(
        candidate(), policy(class_floors=(ClassFloor(metric="mask.recall50", at_least=0.1),))
    )
    assert objections == []
    lowest = min((recall_of(1), "odd"), (recall_of(0), "even"))
    assert [(item.value, item.category) for item in results] == [(pytest.approx(lowest[0]), lowest[1])]
    assert limit_sentence(results[0]) == (
        f"mask.recall50 of category {lowest[1]!r} is {lowest[0]:.4f}, and must be at least 0.1."
    )


def test_every_category_that_misses_is_named():
    rules = policy(class_floors=(ClassFloor(metric="mask.recall50", at_least=0.99),))
    results, _ = apply_single_limits(candidate(), rules)
    worst_first = sorted([(recall_of(1), "odd"), (recall_of(0), "even")])
    assert [(item.category, item.passed) for item in results] == [(name, False) for _, name in worst_first]
    assert limit_sentence(results[0]).endswith(", but must be at least 0.99.")


def test_a_category_that_is_not_there_is_an_objection():
    floor = ClassFloor(metric="mask.recall50", at_least=0.0, categories=("odd", "cell"))
    results, objections = apply_single_limits(candidate(), policy(class_floors=(floor,)))
    assert [item.category for item in results] == ["odd"]
    assert objections == ["candidate: category 'cell' has no region, so mask.recall50 of it is undefined."]


def in_shares(tables, names):
    """Call what is on the images 1, 2, ... by these names, one image each; the rest is ``many``."""
    name_of = {place + 1: name for place, name in enumerate(names)}
    images = tables.per_image.drop(columns="num_regions.nucleus")
    for name in [*names, "many"]:
        is_own = [name_of.get(image_id, "many") == name for image_id in images["image_id"]]
        images[f"num_regions.{name}"] = tables.per_image["num_regions.nucleus"].where(is_own, 0)
    category = [name_of.get(image_id, "many") for image_id in tables.matches["image_id"]]
    return Tables(per_image=images, matches=tables.matches.assign(category=pd.array(category, dtype="str")))


@cache
def uneven():
    return evidence_of(in_shares(simulate(1, images=10, found=0.85), ["a", "b"]))


def test_categories_with_few_regions_are_listed_and_not_judged():
    count = {name: int(uneven().tables.regions_of(name).sum()) for name in ("a", "b", "many")}
    few, more = sorted(("a", "b"), key=count.get)
    floor = ClassFloor(metric="mask.recall50", at_least=0.999, min_objects=count[more])
    assert count[few] < count[more] < count["many"]
    rules = policy(class_floors=(floor,))
    results, objections = apply_single_limits(uneven(), rules)
    assert ({item.category for item in results}, objections) == ({more, "many"}, [])
    left = left_out(uneven(), rules)
    assert [(item.category, item.objects, item.min_objects) for item in left] == [
        (few, count[few], count[more])
    ]
    assert left_out_sentences(left) == [
        f"mask.recall50 is not judged for categories of fewer than {count[more]} regions: "
        f"{few!r} ({count[few]})."
    ]
    assert left_out(uneven(), policy(class_floors=(dataclasses.replace(floor, min_objects=0),))) == []


def test_a_floor_that_judges_nothing_or_names_nobody_is_an_objection():
    floor = ClassFloor(metric="mask.recall50", at_least=0.0, min_objects=10**6)
    _, objections = apply_single_limits(uneven(), policy(class_floors=(floor,)))
    assert objections == [
        "candidate: no category has 1000000 regions, so the floor of mask.recall50 judges nothing."
    ]
    wrong = dataclasses.replace(floor, categories=("many", "mony"), min_objects=5)
    _, objections = apply_single_limits(uneven(), policy(class_floors=(wrong,)))
    assert objections == ["candidate: category 'mony' has no region, so mask.recall50 of it is undefined."]
    assert left_out(uneven(), policy(class_floors=(wrong,))) == []


def test_a_category_misses_a_floor_only_beyond_chance_where_the_rule_says_so():
    tables = uneven().tables
    value = apply_single_limits(
        uneven(),
        policy(class_floors=(ClassFloor(metric="mask.recall50", at_least=0.0, categories=("a",)),)),
    )[0][0].value
    regions = int(tables.regions_of("a").sum())
    upper = wilson_upper(value, objects=regions, confidence=0.95)
    sure = ClassFloor(metric="mask.recall50", at_least=upper, categories=("a",), confidence=0.95)
    (met,), _ = apply_single_limits(uneven(), policy(class_floors=(sure,)))
    assert (met.passed, met.value, met.upper, met.objects) == (True, value, upper, regions)
    assert value < upper
    assert limit_sentence(met) == (
        f"mask.recall50 of category 'a' is {value:.4f} (of {regions} regions, {upper:.4f} at most), and must "
        f"be at least {upper}."
    )
    higher = dataclasses.replace(sure, at_least=np.nextafter(upper, 1.0))
    (missed,), _ = apply_single_limits(uneven(), policy(class_floors=(higher,)))
    assert not missed.passed


def test_images_that_must_pass_are_named_when_they_do_not():
    rows = candidate().tables.per_image.set_index("image_id")
    recall = rows["mask_tp50"] / rows["num_regions"]
    best, worst = int(recall.idxmax()), int(recall.idxmin())
    limit = (recall[best] + recall[worst]) / 2
    rule = MustPass(metric="mask.recall50", at_least=limit, image_ids=(best, worst, 77))
    results, objections = apply_single_limits(candidate(), policy(must_pass=(rule,)))
    assert [(item.image_id, item.passed) for item in results] == [(worst, False)]
    assert objections == [
        "candidate: image 77 must pass, but is not there or has nothing to score mask.recall50 on.",
        f"candidate: image {worst} must pass: mask.recall50 on it is {recall[worst]:.4f}, at least {limit} "
        "is needed.",
    ]
    kept = dataclasses.replace(rule, image_ids=(best,))
    results, objections = apply_single_limits(candidate(), policy(must_pass=(kept,)))
    assert (objections, results[0].image_id) == ([], best)
    assert limit_sentence(results[0]).startswith(f"mask.recall50 on image {best} is ")


def test_the_fullest_image_is_held_to_a_ceiling_of_each_image():
    counts = candidate().tables.per_image.set_index("image_id")["num_detections"]
    ceiling = Ceiling(metric="detections_per_image", at_most=float(counts.max()), each_image=True)
    (result,), _ = apply_single_limits(candidate(), policy(ceilings=(ceiling,)))
    assert (result.image_id, result.value, result.passed) == (counts.idxmax(), counts.max(), True)
    lower = dataclasses.replace(ceiling, at_most=ceiling.at_most - 1)
    (result,), _ = apply_single_limits(candidate(), policy(ceilings=(lower,)))
    assert not result.passed
    assert apply_limits(candidate(), policy(ceilings=(lower,)))[1:] == []


def test_too_small_a_sample_is_an_objection():
    regions = candidate().tables.per_image["num_regions"].sum()
    rules = [
        SampleSize(metric="mask.ap50", images=10, objects=int(regions)),
        SampleSize(metric="mask.ap50", images=11, objects=1),
        SampleSize(metric="mask.ap50", images=1, objects=int(regions) + 1),
    ]
    _, objections = apply_single_limits(candidate(), policy(sample_sizes=tuple(rules)))
    assert objections == [
        f"candidate: mask.ap50 rests on {regions} objects in 10 images, at least 1 in 11 are needed.",
        f"candidate: mask.ap50 rests on {regions} objects in 10 images, at least {regions + 1} in 1 are "
        "needed.",
    ]


def test_what_expressions_do_not_have_is_never_met():
    boxes = evidence_of_boxes(simulate_boxes(0, images=5))
    assert left_out(boxes, policy(class_floors=(ClassFloor(metric="mask.ap50", at_least=0.0),))) == []
    rules = policy(
        class_floors=(ClassFloor(metric="mask.ap50", at_least=0.0),),
        ceilings=(Ceiling(metric="detections_per_image", at_most=9.0, each_image=True),),
    )
    (result,), objections = apply_single_limits(boxes, rules)
    assert (result.value, result.passed) == (None, False)
    assert objections == ["candidate: mask.ap50 cannot be told by category: there are expressions only."]
