import dataclasses

import numpy as np
import pandas as pd
import pytest

from evaluation.detection import evaluate
from evaluation.tables import Tables, build_tables
from evaluation.weighted import (
    DETECTION_METRICS,
    by_category,
    has_categories,
    is_defined,
    items,
    metric_under,
)
from tests.evaluation.scenes import coco100, simulate


def slow_average_precision(tables, counts):
    """One category at IoU 0.5, detection by detection, copies and all."""
    images = tables.per_image["image_id"].tolist()
    copies = dict(zip(images, counts, strict=True))
    regions = sum(copies[i] * n for i, n in zip(images, tables.per_image["num_regions"], strict=True))
    rows = tables.matches.sort_values(["score", "image_id", "detection"], ascending=[False, True, True])
    right = claimed = 0
    points = []
    for row in rows.itertuples():
        claimed += copies[row.image_id]
        right += copies[row.image_id] * row.mask_matched_50
        if right:
            points.append((right / regions, right / claimed))
    best = [max((p for r, p in points if r >= level), default=0.0) for level in np.linspace(0, 1, 101)]
    return sum(best) / 101


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_average_precision_is_that_of_the_slow_twin(seed):
    tables = simulate(seed, images=8, regions=20)
    counts = np.random.default_rng(seed).integers(0, 3, size=8)
    fast = metric_under(tables, "mask.ap50", counts[None].astype(np.float64))[0]
    assert fast == pytest.approx(slow_average_precision(tables, counts.tolist()), abs=1e-12)


def only(item, category):
    keep = item.categories == category
    changes = {
        name: getattr(item, name)[keep]
        for name in ("categories", "boxes_xyxy", "region_ids", "is_crowd", "scores")
        if hasattr(item, name)
    }
    masks = tuple(mask for mask, kept in zip(item.masks, keep, strict=True) if kept)
    return dataclasses.replace(item, masks=masks, **changes)


def test_a_category_scores_as_if_there_were_no_other():
    _, _, truths, detections, names = coco100("mask")
    truths, detections = truths[:40], detections[:40]
    tables = build_tables(truths, detections, categories=names)
    wanted = "person"
    number = names.index(wanted)
    alone = evaluate(
        [only(item, number) for item in truths], [only(item, number) for item in detections], categories=names
    )
    expected = {metric.name: metric.value for metric in alone.metrics}
    for name in DETECTION_METRICS:
        if has_categories(name):
            assert by_category(tables, name)[wanted] == pytest.approx(expected[name], abs=1e-9), name


def test_a_category_without_regions_has_no_value():
    tables = simulate(0, images=6)
    more = Tables(per_image=tables.per_image.assign(**{"num_regions.cell": 0}), matches=tables.matches)
    for name in ("mask.ap50", "mask.matched_iou"):
        assert list(by_category(more, name)) == ["nucleus"]


def test_what_is_no_metric_of_a_category_is_refused():
    assert not has_categories("detections_per_image")
    with pytest.raises(ValueError, match=r"^'detections_per_image' has no value of one category\.$"):
        by_category(simulate(0, images=6), "detections_per_image")


def test_items_are_what_a_metric_divides_by():
    tables = simulate(0, images=6)
    images, matches = tables.per_image, tables.matches
    assert items(tables, "detections_per_image").sum() == 6
    assert items(tables, "mask.ap50").tolist() == images["num_regions"].tolist()
    assert items(tables, "mask.precision50").sum() == len(matches)
    assert items(tables, "mask.matched_iou").tolist() == images["mask_tp50"].tolist()


def test_an_image_without_regions_has_no_value_but_a_count_of_detections():
    tables = simulate(0, images=3)
    images = tables.per_image.copy()
    images.loc[1, ["num_regions", "num_regions.nucleus"]] = 0
    bare = Tables(per_image=images, matches=tables.matches)
    assert is_defined(bare, "mask.ap50").tolist() == [True, False, True]
    assert is_defined(bare, "detections_per_image").tolist() == [True, True, True]


def test_without_detections_every_metric_of_regions_is_0():
    tables = simulate(0, images=4)
    images = tables.per_image.assign(num_detections=0)
    bare = Tables(per_image=images, matches=tables.matches.iloc[:0])
    weights = np.ones((3, 4))
    for name in DETECTION_METRICS:
        assert metric_under(bare, name, weights).tolist() == [0.0] * 3, name


def test_detections_of_other_categories_are_left_out():
    tables = simulate(0, images=6)
    other = tables.matches.assign(category="stain", detection=tables.matches["detection"] + 1000, score=1.0)
    more = Tables(per_image=tables.per_image, matches=pd.concat([tables.matches, other]))
    weights = np.ones((1, 6))
    for name in ("mask.ap", "box.ar_10"):
        np.testing.assert_array_equal(metric_under(more, name, weights), metric_under(tables, name, weights))
