import dataclasses
import json

import numpy as np
import pytest

from evaluation.bootstrap import recompute, supports
from evaluation.definition import DETECTION, KINDS
from evaluation.detection import evaluate
from evaluation.instances import ImageTruth
from tests.evaluation.scenes import VECTORS, coco100, detections_of, nuclei, read

OFFICIAL = {"ap": 0, "ap50": 1, "ap75": 2, "ar_1": 6, "ar_10": 7, "ar_100": 8}
"""Quantity -> its place among the twelve numbers of COCO."""


def evaluated(scene):
    _, _, truths, detections, names = scene
    return evaluate(truths, detections, categories=names)


def values(result):
    return {metric.name: metric.value for metric in result.metrics}


@pytest.mark.parametrize(("kind", "name"), [("box", "bbox"), ("mask", "segm")])
def test_published_numbers_of_100_images(kind, name):
    """No image has 100 detections, so that "all" changes nothing.

    The numbers by area are left out: there the areas of polygons decide, here those of masks. The scorer's
    test compares them with pycocotools to the last bit.
    """
    published = read(VECTORS / "cocoapi_val2014_100" / "pycocotools_stats.json")[name]
    ours = values(evaluated(coco100(kind)))
    for quantity, place in OFFICIAL.items():
        assert ours[f"{kind}.{quantity}"] == pytest.approx(published[place], abs=1e-12), quantity


@pytest.mark.parametrize("scene", [lambda: coco100("mask"), lambda: nuclei(copies=2)], ids=["coco", "nuclei"])
def test_the_tables_give_every_number_of_the_scorer(scene):
    result = evaluated(scene())
    once = np.ones((1, len(result.tables.per_image)))
    checked = 0
    for name, value in values(result).items():
        if supports(name):
            assert float(recompute(result.tables, name, once)[0]) == pytest.approx(value, abs=1e-9), name
            checked += 1
    assert checked == len(DETECTION.metrics) - 2 * 3


def test_perfect_predictions_score_1():
    document = nuclei()[0]
    results = [item | {"score": 0.5} for item in document["annotations"]]
    _, _, truths, _, names = nuclei()
    ours = values(evaluate(truths, detections_of(document, results), categories=names))
    for kind in KINDS:
        assert ours[f"{kind}.ap"] == pytest.approx(1.0)
        assert ours[f"{kind}.ar_all"] == ours[f"{kind}.recall50"] == 1.0
        assert ours[f"{kind}.ar_100"] < 1.0
    assert ours["mask.matched_iou"] == ours["mask.iou_at_box_match"] == ours["mask.precision50"] == 1.0
    assert ours["detections_per_image"] == pytest.approx(1937 / 39)


def test_no_detection_is_a_named_outcome_and_scores_0():
    document, _, truths, _, names = nuclei()
    result = evaluate(truths, detections_of(document, []), categories=names)
    assert result.outcome == "no detections"
    assert set(values(result).values()) == {0.0}
    assert result.undefined.keys() == {"box.ap_large", "mask.ap_large"}
    assert result.tables.problems() == []
    json.dumps(result.curves, allow_nan=False)


def test_no_region_leaves_every_score_undefined_and_never_minus_1():
    _, _, truths, detections, names = nuclei()
    none = {"region_ids": np.zeros(0, np.int64), "categories": np.zeros(0, np.int64), "masks": ()}
    none |= {"boxes_xyxy": np.zeros((0, 4)), "is_crowd": np.zeros(0, bool)}
    bare = [ImageTruth(image_id=t.image_id, height=t.height, width=t.width, **none) for t in truths]
    result = evaluate(bare, detections, categories=names)
    assert result.outcome == "no regions"
    assert values(result) == {"detections_per_image": pytest.approx(1937 / 39)}
    assert result.undefined["mask.ap50"] == "no image has a region"
    assert len(result.undefined) == len(DETECTION.metrics) - 1
    json.dumps(result.curves, allow_nan=False)


def test_undefined_metrics_say_why_and_counts_say_over_what():
    result = evaluated(nuclei())
    assert result.undefined == {
        f"{kind}.ap_large": "no region has an area of at least 9216 px" for kind in KINDS
    }
    counts = {metric.name: metric.count for metric in result.metrics}
    assert counts["mask.ap50"] == 1937
    assert counts["mask.ap_small"] + counts["mask.ap_medium"] == 1937
    assert counts["detections_per_image"] == 39
    assert counts["mask.matched_iou"] == result.tables.per_image["mask_tp50"].sum()


def test_flooding_buys_recall_but_not_precision():
    few, many = values(evaluated(nuclei(images=8))), values(evaluated(nuclei(copies=4, images=8)))
    assert many["mask.recall50"] > few["mask.recall50"]
    assert many["mask.precision50"] < few["mask.precision50"] * 0.7
    assert many["detections_per_image"] == pytest.approx(4 * few["detections_per_image"])


def test_curves_are_the_precision_over_101_points():
    result = evaluated(nuclei())
    assert result.curves["recall"] == pytest.approx(np.linspace(0, 1, 101).tolist())
    by_key = {(curve["kind"], curve["iou"]): curve for curve in result.curves["precision_recall"]}
    for kind in KINDS:
        for iou, name in ((0.5, "ap50"), (0.75, "ap75")):
            curve = by_key[kind, iou]
            assert np.mean(curve["precision"]) == pytest.approx(values(result)[f"{kind}.{name}"], abs=1e-12)
            assert len(curve["score"]) == 101


def test_sizes_share_out_every_region():
    result = evaluated(nuclei())
    sizes = result.curves["sizes"]
    assert sum(row["regions"] for row in sizes) == 1937
    assert sum(row["mask_found50"] for row in sizes) == result.tables.per_image["mask_tp50"].sum()
    assert sum(row["box_found50"] for row in sizes) == result.tables.per_image["box_tp50"].sum()
    assert all(("mask_matched_iou" in row) == (row["mask_found50"] > 0) for row in sizes)


def test_boxes_alone_give_the_same_numbers_and_say_what_was_left_out():
    _, _, truths, detections, names = coco100("mask")
    both = evaluate(truths, detections, categories=names)
    bare = [dataclasses.replace(item, masks=()) for item in detections]
    boxes = evaluate(truths, bare, categories=names, kinds=("box",))
    known = values(both)
    assert values(boxes) == {
        name: known[name] for name in known if name.startswith("box.") or name == "detections_per_image"
    }
    assert set(boxes.undefined.values()) == {"masks were not compared"}
    assert not [name for name in (*boxes.tables.matches, *boxes.tables.per_image) if "mask" in name]
    assert {curve["kind"] for curve in boxes.curves["precision_recall"]} == {"box"}
    rows = zip(boxes.curves["sizes"], both.curves["sizes"], strict=True)
    assert all(mine["box_found50"] == other["box_found50"] for mine, other in rows)
    assert [line for line in boxes.tables.problems() if line.startswith("matches has no column 'mask_iou'")]


def test_masks_alone_give_the_same_numbers():
    _, _, truths, detections, names = coco100("mask")
    known = values(evaluate(truths, detections, categories=names))
    masks = evaluate(truths, detections, categories=names, kinds=("mask",))
    assert values(masks) == {
        name: value
        for name, value in known.items()
        if not name.startswith("box.") and name != "mask.iou_at_box_match"
    }
    assert set(masks.undefined.values()) == {"boxes were not compared"}


@pytest.mark.parametrize("kinds", [(), ("mask", "box"), ("box", "box"), ("contour",)])
def test_kinds_that_are_none_are_refused(kinds):
    _, _, truths, detections, names = coco100("box")
    with pytest.raises(ValueError, match=r"^kinds must be some of \('box', 'mask'\) in this order, got \("):
        evaluate(truths, detections, categories=names, kinds=kinds)
