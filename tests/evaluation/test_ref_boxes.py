"""Acc@0.5 by hand, against pycocotools, and on results made by others."""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle_c

from evaluation.definition import IOU_PERCENT
from evaluation.ref_boxes import REF_BOXES, BoxExpression, evaluate_boxes, paired_iou, ratios

DATA = Path(__file__).parents[1] / "data/referring"
SQUARE = (0.0, 0.0, 10.0, 10.0)

SIDE = st.floats(0.0, 900.0, allow_nan=False, width=32)
BOX = st.tuples(SIDE, SIDE, SIDE, SIDE)


def expression(number, box=SQUARE, split="val", image_id=None):
    return BoxExpression(expression_id=number, image_id=image_id or number, split=split, box_xyxy=box)


def scores(expressions, predictions):
    (found,) = evaluate_boxes(expressions, predictions).splits
    return found


def test_hand_case():
    """Of four: equal (IoU 1), lower half (0.5), lower 40 % (0.4), elsewhere (0).

    Accuracy: at 0.50 two of four, at 0.55 one of four. Mean IoU: (1 + 0.5 + 0.4 + 0) / 4 = 0.475.
    """
    predictions = {
        1: [SQUARE],
        2: [(0, 5, 10, 10)],
        3: [(0, 6, 10, 10)],
        4: [(20, 20, 30, 30)],
    }
    found = scores([expression(number) for number in (1, 2, 3, 4)], predictions)
    assert found.value("ref_box.accuracy_50") == 0.5
    assert found.value("ref_box.accuracy_55") == 0.25
    assert found.value("ref_box.accuracy_95") == 0.25
    assert found.value("ref_box.mean_iou") == pytest.approx(0.475)
    assert found.value("ref_box.answered") == 1.0
    assert {metric.count for metric in found.metrics} == {4}
    assert [metric.name for metric in found.metrics] == [spec.name for spec in REF_BOXES.metrics]


def test_exactly_the_threshold_is_right():
    """Half of a square: IoU 0.5 to the last bit; a hair less is wrong."""
    half, less = (0.0, 0.0, 10.0, 5.0), (0.0, 0.0, 10.0, np.nextafter(5.0, 0.0))
    assert scores([expression(1)], {1: [half]}).value("ref_box.accuracy_50") == 1.0
    assert scores([expression(1)], {1: [less]}).value("ref_box.accuracy_50") == 0.0


def test_only_the_first_box_counts():
    """Two boxes each: first right, then first wrong; any of them is right in both."""
    far = (50, 50, 60, 60)
    found = scores([expression(1), expression(2)], {1: [SQUARE, far], 2: [far, SQUARE]})
    assert found.value("ref_box.accuracy_50") == 0.5
    assert found.value("ref_box.oracle_50") == 1.0


@pytest.mark.parametrize(
    ("boxes", "outcome", "num_boxes"),
    [
        ("absent", "no prediction", 0),
        (None, "no prediction", 0),
        ([], "no prediction", 0),
        ([(10, 10, 0, 0)], "box without area", 1),
        ([(0, 10, 10, 0)], "box without area", 1),
        ([(3, 3, 3, 9), SQUARE], "box without area", 2),
        ([(1e-200, 0, 2e-200, 1e-200)], "box without area", 1),
    ],
)
def test_no_usable_first_box_is_wrong_and_counted(boxes, outcome, num_boxes):
    predictions = {1: [SQUARE]} | ({} if boxes == "absent" else {2: boxes})
    result = evaluate_boxes([expression(1), expression(2)], predictions)
    assert result.splits[0].value("ref_box.accuracy_50") == 0.5
    assert result.splits[0].metrics[0].count == 2
    row = result.per_expression.iloc[1]
    assert (row["outcome"], row["num_boxes"], row["iou"]) == (outcome, num_boxes, 0.0)


def test_nobody_answers():
    found = scores([expression(1), expression(2)], {})
    assert {metric.value for metric in found.metrics} == {0.0}


def test_splits_are_kept_apart_and_named():
    expressions = [expression(1, split="val"), expression(2, split="testA"), expression(3, split="testA")]
    result = evaluate_boxes(expressions, {1: [SQUARE], 3: [SQUARE]})
    assert [split.name for split in result.splits] == ["testA", "val"]
    assert [split.value("ref_box.accuracy_50") for split in result.splits] == [0.5, 1.0]
    assert result.per_expression["expression_id"].tolist() == [1, 2, 3]
    assert result.per_expression["split"].tolist() == ["val", "testA", "testA"]


def test_the_table_gives_the_metrics_again():
    expressions = [expression(number) for number in range(1, 6)]
    result = evaluate_boxes(expressions, {1: [SQUARE], 2: [(0, 0, 10, 7)], 3: [(0, 0, 3, 3)]})
    again = ratios(result.per_expression)
    once = np.ones((1, 5))
    for metric in result.splits[0].metrics:
        assert again[metric.name].recompute(once)[0] == pytest.approx(metric.value, abs=1e-12)
    table = result.per_expression
    assert all(
        (table[f"right_{percent}"] == (table["iou"] >= percent / 100)).all() for percent in IOU_PERCENT
    )
    assert len(table) == 5
    assert not table.isna().any().any()


@pytest.mark.parametrize(
    ("boxes", "kind", "shown"),
    [
        ([(0, 0, math.nan, 5)], ValueError, "nan"),
        ([SQUARE, (0, 0, 5, math.inf)], ValueError, "inf"),
        ([(0, 0, 5, 1e300)], ValueError, "1e+300"),
        ([(0, 0, 5)], ValueError, "(0, 0, 5)"),
        ([(0, 0, 5, 5), (1, 2)], ValueError, "(1, 2)"),
        ((0, 0, 5, 5), ValueError, "(0, 0, 5, 5)"),
        ([("0", "0", "5", "5")], TypeError, "'5'"),
        ([(0, 0, None, 5)], TypeError, "None"),
        ("left", TypeError, "left"),
    ],
)
def test_a_box_that_is_none_is_refused(boxes, kind, shown):
    with pytest.raises(kind) as caught:
        evaluate_boxes([expression(8)], {8: boxes})
    assert str(caught.value).startswith(
        "expression 8: boxes_xyxy must be boxes of 4 finite numbers below 1e+09"
    )
    assert shown in str(caught.value)


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (5, 5, 1, 1), (0, 0, math.nan, 1), (0, 0, 1e-200, 1e-200)])
def test_a_truth_without_area_is_refused(box):
    with pytest.raises(ValueError, match=r"^expression 3: "):
        expression(3, box)


def test_unknown_and_repeated_expressions_are_refused():
    with pytest.raises(ValueError, match=r"^1 predictions are of unknown expressions, first: \[2\]\.$"):
        evaluate_boxes([expression(1)], {2: [SQUARE]})
    with pytest.raises(ValueError, match=r"^expression 1 appears a second time\.$"):
        evaluate_boxes([expression(1), expression(1)], {})


@settings(derandomize=True, deadline=None, max_examples=200)
@given(found=BOX, other=BOX)
def test_paired_iou_equals_pycocotools(found, other):
    left, top, right, bottom = other
    other = (left, top, left + 1 + right, top + 1 + bottom)
    (mine,) = paired_iou(np.array([found], dtype=np.float64), np.array([other], dtype=np.float64))
    assert 0.0 <= mine <= 1.0
    if found[0] < found[2] and found[1] < found[3]:
        corner = np.array([found, other], dtype=np.float64)
        corner[:, 2:] -= corner[:, :2]
        assert mine == pytest.approx(rle_c.iou(corner[:1], corner[1:], [0])[0, 0], abs=1e-12)
    else:
        assert mine == 0.0


@settings(derandomize=True, deadline=None, max_examples=100)
@given(boxes=st.lists(st.lists(BOX, max_size=3), min_size=1, max_size=6))
def test_more_boxes_or_fewer_answers_never_help(boxes):
    expressions = [expression(number) for number in range(len(boxes))]
    full = scores(expressions, dict(enumerate(boxes)))
    flooded = scores(expressions, {number: [*item, SQUARE] for number, item in enumerate(boxes) if item})
    fewer = scores(expressions, dict(list(enumerate(boxes))[1:]))
    for percent in IOU_PERCENT:
        name = f"ref_box.accuracy_{percent}"
        assert flooded.value(name) == full.value(name) >= fewer.value(name)
        assert 0.0 <= full.value(name) <= 1.0
    assert full.value("ref_box.accuracy_50") <= full.value("ref_box.oracle_50")


def test_random_baseline_of_google_refexp():
    """Others' results: of 478 expressions a random candidate is right for 88, and some candidate for 375."""
    rows = json.loads(gzip.decompress((DATA / "google_refexp_comprehension.json.gz").read_bytes()))
    expressions, predictions = [], {}
    for row in rows:
        (x, y, width, height), number = row["gt_bbox"], row["refexp_id"]
        expressions.append(expression(number, (x, y, x + width, y + height), image_id=row["annotation_id"]))
        predictions[number] = [(a, b, a + c, b + d) for a, b, c, d in row["predicted_bounding_boxes"]]
    found = scores(expressions, predictions)
    assert found.metrics[0].count == 478
    assert found.value("ref_box.accuracy_50") == 88 / 478
    assert found.value("ref_box.oracle_50") == 375 / 478
