import numpy as np
import pandas as pd
import pytest

from evaluation.definition import DETECTION
from evaluation.expressions import Expressions, by_image, expressions_under
from evaluation.ref_boxes import BoxExpression, evaluate_boxes
from evaluation.ref_masks import REF_MASKS, MaskExpression, evaluate_masks
from tests.evaluation.expression_scenes import boxes_of, simulate_boxes


def three_boxes():
    """Image 7: one right, one wrong; image 9: one without an answer."""
    truths = [
        BoxExpression(expression_id=number, image_id=image, split="val", box_xyxy=(0, 0, 10, 10))
        for number, image in ((1, 9), (2, 7), (3, 7))
    ]
    return boxes_of(evaluate_boxes(truths, {2: [(0, 0, 10, 10)], 3: [(0, 0, 10, 4)]}).per_expression)


def two_masks():
    """Intersection and union 1 and 2 on image 1; no target and none found on image 2."""
    target = np.array([[True, True]])
    truths = [
        MaskExpression(expression_id=n, image_id=n, split="val", height=1, width=2, target=mask)
        for n, mask in ((1, target), (2, ~target))
    ]
    found = {1: np.array([[True, False]]), 2: np.zeros((1, 2), dtype=bool)}
    table = evaluate_masks(truths, found).per_expression
    return Expressions(definition=REF_MASKS, per_expression=table)


def test_expressions_have_the_weight_of_their_image():
    boxes = three_boxes()
    assert boxes.image_ids.tolist() == [7, 9]
    weights = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 3.0], [1.0, 2.0]])
    # Right: 1 of 2 on image 7, 0 of 1 on image 9.
    values = expressions_under(boxes, "ref_box.accuracy_50", weights)
    np.testing.assert_allclose(values, [1 / 3, 1 / 2, 0.0, 1 / 4])
    over, under, count = by_image(boxes, "ref_box.mean_iou")
    np.testing.assert_allclose(over, [1.4, 0.0])
    assert (under.tolist(), count.tolist()) == ([2.0, 1.0], [2.0, 1.0])


def test_sums_of_pixels_and_shares_of_some_expressions():
    masks = two_masks()
    once = np.ones((1, 2))
    names = ("ref_mask.ciou", "ref_mask.giou", "ref_mask.n_acc")
    assert [expressions_under(masks, name, once)[0] for name in names] == [0.5, 0.75, 1.0]
    with pytest.raises(ValueError, match=r"^1 of 2 resamples hold nothing to score\.$"):
        expressions_under(masks, "ref_mask.n_acc", np.array([[1.0, 1.0], [2.0, 0.0]]))


def test_sound_tables_have_no_problem():
    assert three_boxes().problems() == []
    assert two_masks().problems() == []
    assert simulate_boxes(0).problems() == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.iloc[:0], "per_expression has no row"),
        (lambda t: t.drop(columns="image_id"), "per_expression has no column 'image_id'"),
        (
            lambda t: t.assign(expression_id=t["expression_id"] + 0.5),
            "per_expression has a column 'expression_id' of type float64",
        ),
        (lambda t: t.assign(expression_id=1), "per_expression names an expression twice"),
        (
            lambda t: t.drop(columns="right_75"),
            "per_expression cannot be read (KeyError: 'right_75')",
        ),
        (
            lambda t: pd.concat([t, t], axis=1),
            "per_expression has two columns of one name",
        ),
    ],
)
def test_tables_of_another_form_are_named(change, problem):
    assert boxes_of(change(three_boxes().per_expression)).problems() == [problem]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), -1.0, 1.0001])
def test_an_overlap_that_is_no_fraction_is_named(value):
    table = three_boxes().per_expression.assign(iou=[0.0, 0.5, value])
    assert boxes_of(table).problems() == [
        "ref_box.mean_iou has expressions that are no share: not from 0 to the whole, or no number"
    ]


def test_text_in_place_of_numbers_is_named():
    table = three_boxes().per_expression.assign(iou=["0.9", "x", "1"])
    (problem,) = boxes_of(table).problems()
    assert problem.startswith("per_expression cannot be read (ValueError: ")


def test_a_definition_of_something_else_is_refused():
    with pytest.raises(ValueError, match=r"^definition must be one of \['referring-boxes/1', .*'coco-inst"):
        Expressions(definition=DETECTION, per_expression=pd.DataFrame())
