"""cIoU, gIoU, N-acc and T-acc by hand, and from arrays and run lengths alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as rle_c

from evaluation.definition import IOU_PERCENT
from evaluation.ref_masks import REF_MASKS, MaskExpression, evaluate_masks, ratios, split_labels

EMPTY = np.zeros((4, 4), dtype=bool)
FULL = np.ones((4, 4), dtype=bool)
FORMS = ("array", "rle", "mixed")


def cells(*places):
    """A 4x4 mask with the given cells, counted row by row."""
    mask = EMPTY.copy()
    mask.flat[list(places)] = True
    return mask


def rle(mask):
    return rle_c.encode(np.asfortranarray(mask, dtype=np.uint8))


def expression(number, target, *, ignored=None, split="val", subset=""):
    height, width = target["size"] if isinstance(target, dict) else target.shape
    return MaskExpression(
        expression_id=number,
        image_id=number,
        split=split,
        height=height,
        width=width,
        target=target,
        ignored=ignored,
        subset=subset,
    )


def evaluate(pairs, *, form="array", ignored=None):
    """Score (target, prediction) pairs; a prediction of None is absent."""
    first = rle if form == "rle" else np.copy
    second = rle if form != "array" else np.copy
    expressions = [
        expression(number, first(target), ignored=None if ignored is None else second(ignored))
        for number, (target, _) in enumerate(pairs)
    ]
    predictions = {n: second(found) for n, (_, found) in enumerate(pairs) if found is not None}
    return evaluate_masks(expressions, predictions)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("target", "found", "iou"),
    [
        (cells(0, 1, 2, 3), cells(0, 1, 2, 3), 1.0),  # P = G
        (cells(0, 1), cells(14, 15), 0.0),  # disjoint
        (cells(0, 1, 2, 3), cells(2), 0.25),  # P inside G, a fourth of it
        (cells(0, 1, 2), cells(1, 2, 3), 0.5),  # 2 of 4
        (EMPTY, EMPTY, 1.0),  # nothing meant, nothing found
        (EMPTY, cells(7), 0.0),
        (cells(7), EMPTY, 0.0),
        (cells(7), None, 0.0),
        (EMPTY, None, 0.0),  # no answer is not the answer "nothing"
    ],
)
def test_one_expression(target, found, iou, form):
    result = evaluate([(target, found)], form=form)
    assert result.per_expression["iou"].tolist() == [iou]
    assert result.splits[0].value("ref_mask.giou") == iou


@pytest.mark.parametrize("form", FORMS)
def test_ciou_and_giou_are_two_numbers(form):
    """(I, U) of (1, 2) and (0, 8): cIoU = 1 / 10, gIoU = (0.5 + 0) / 2."""
    pairs = [(cells(0, 1), cells(0)), (cells(0, 1, 2, 3), cells(8, 9, 10, 11))]
    result = evaluate(pairs, form=form)
    assert result.per_expression[["intersection", "union"]].to_numpy().tolist() == [[1, 2], [0, 8]]
    assert result.splits[0].value("ref_mask.ciou") == 0.1
    assert result.splits[0].value("ref_mask.giou") == 0.25
    assert result.splits[0].value("ref_mask.precision_50") == 0.5  # 0.5 is at least 0.5
    assert result.splits[0].value("ref_mask.precision_55") == 0.0


@pytest.mark.parametrize("form", FORMS)
def test_no_target_accuracy(form):
    """Three without a target: rejected, a false alarm of 2 cells, no answer. N-acc = 1/3.

    Four with one: found, rejected, no answer, missed with 1 cell. T-acc = 2/4. Precision = 1/4.
    gIoU = (1 + 0 + 0 + 1 + 0 + 0 + 0) / 7. cIoU = 2 / (2 false + 2 found + 2 + 2 + 3) = 2/11.
    """
    pair = cells(0, 1)
    pairs = [
        (EMPTY, EMPTY),
        (EMPTY, cells(3, 4)),
        (EMPTY, None),
        (pair, pair),
        (pair, EMPTY),
        (pair, None),
        (pair, cells(9)),
    ]
    result = evaluate(pairs, form=form)
    (found,) = result.splits
    assert found.value("ref_mask.n_acc") == pytest.approx(1 / 3)
    assert found.value("ref_mask.t_acc") == 0.5
    assert found.value("ref_mask.precision_50") == 0.25
    assert found.value("ref_mask.giou") == pytest.approx(2 / 7)
    assert found.value("ref_mask.ciou") == pytest.approx(2 / 11)
    assert found.value("ref_mask.answered") == pytest.approx(5 / 7)
    counts = {metric.name: metric.count for metric in found.metrics}
    assert (counts["ref_mask.n_acc"], counts["ref_mask.t_acc"], counts["ref_mask.giou"]) == (3, 4, 7)
    assert result.per_expression["outcome"].value_counts().to_dict() == {"answered": 5, "no prediction": 2}


def test_what_does_not_occur_is_undefined_by_name():
    with_target = evaluate([(cells(0), cells(0))]).splits[0]
    assert with_target.undefined == {"ref_mask.n_acc": "every expression has a target"}
    without = evaluate([(EMPTY, EMPTY)]).splits[0]
    assert without.undefined == {
        "ref_mask.ciou": "no pixel is true or predicted",
        "ref_mask.t_acc": "no expression has a target",
        **{f"ref_mask.precision_{percent}": "no expression has a target" for percent in IOU_PERCENT},
    }
    assert [metric.name for metric in without.metrics] == [
        spec.name for spec in REF_MASKS.metrics if spec.name not in without.undefined
    ]


@pytest.mark.parametrize("form", FORMS)
def test_ignored_pixels_leave_both_masks(form):
    """Target 0-3, found 2-5, ignored 3-4: left are 0-2 and 2, 5: IoU 1/4."""
    result = evaluate([(cells(0, 1, 2, 3), cells(2, 3, 4, 5))], form=form, ignored=cells(3, 4))
    row = result.per_expression.iloc[0]
    assert row[["target_pixels", "predicted_pixels", "intersection", "union"]].tolist() == [3, 2, 1, 4]
    assert row["iou"] == 0.25


@pytest.mark.parametrize("form", FORMS)
def test_a_mask_of_ignored_pixels_is_empty(form):
    found = evaluate([(EMPTY, cells(3))], form=form, ignored=cells(3, 4)).splits[0]
    assert found.value("ref_mask.n_acc") == 1.0
    with pytest.raises(
        ValueError,
        match=r"^expression 0: every pixel of the target is ignored; nothing is left to compare\.$",
    ):
        evaluate([(cells(3), cells(3))], form=form, ignored=cells(3, 4))


def test_label_255_is_ignored():
    labels = np.array([[0, 1, 255], [1, 0, 255]], dtype=np.uint8)
    target, ignored = split_labels(labels)
    assert target.tolist() == [[False, True, False], [True, False, False]]
    assert ignored.tolist() == [[False, False, True], [False, False, True]]
    found = evaluate_masks([expression(1, target, ignored=ignored)], {1: labels > 0})
    assert found.splits[0].value("ref_mask.giou") == 1.0


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        (np.full((2, 2), 2, dtype=np.uint8), ValueError, "labels_HW must hold 0, 1 and 255, got 2."),
        (np.zeros((2, 2, 1), dtype=np.uint8), ValueError, "labels_HW must have shape (H, W), got (2, 2, 1)."),
        (np.zeros((2, 2)), TypeError, "labels_HW must be uint8, got float64."),
    ],
)
def test_another_label_is_refused(labels, kind, message):
    with pytest.raises(kind) as caught:
        split_labels(labels)
    assert str(caught.value) == message


def test_short_and_long_queries_stand_beside_their_split():
    one = cells(0)
    expressions = [
        expression(1, one, split="test", subset="short"),
        expression(2, one, split="test", subset="long"),
        expression(3, one, split="test", subset="long"),
        expression(4, one, split="val", subset="long"),
    ]
    result = evaluate_masks(expressions, {1: one, 2: one, 3: EMPTY, 4: one})
    values = {split.name: split.value("ref_mask.giou") for split in result.splits}
    assert values == {
        "test": pytest.approx(2 / 3),
        "test/long": 0.5,
        "test/short": 1.0,
        "val": 1.0,
        "val/long": 1.0,
    }


@settings(derandomize=True, deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), absent=st.booleans(), hidden=st.booleans())
def test_pixel_by_pixel(seed, absent, hidden):
    """The peer counts cells in a loop."""
    generator = np.random.default_rng(seed)
    target, found, ignored = generator.random((3, 5, 7)) < generator.random((3, 1, 1))
    ignored &= hidden
    shared = union = 0
    for t, f, x in zip(target.flat, found.flat, ignored.flat, strict=True):
        shared += bool(t and f and not x and not absent)
        union += bool((t or (f and not absent)) and not x)
    if target.any() and not (target & ~ignored).any():
        return
    expected = shared / union if union else float(not absent)
    for form in FORMS:
        pair = [(target, None if absent else found)]
        row = evaluate(pair, form=form, ignored=ignored).per_expression.iloc[0]
        assert (row["intersection"], row["union"], row["iou"]) == (shared, union, pytest.approx(expected))


def test_the_table_gives_the_metrics_again():
    generator = np.random.default_rng(0)
    masks = generator.random((12, 2, 4, 4)) < 0.5
    masks[:4, 0] = False
    masks[2:6, 1] = False
    result = evaluate([tuple(pair) for pair in masks] + [(cells(0), None)])
    table, again = result.per_expression, ratios(result.per_expression)
    for metric in result.splits[0].metrics:
        assert again[metric.name].recompute(np.ones((1, 13)))[0] == pytest.approx(metric.value, abs=1e-12)
    assert (
        table["union"] == table["target_pixels"] + table["predicted_pixels"] - table["intersection"]
    ).all()
    assert not table.isna().any().any()


@settings(derandomize=True, deadline=None, max_examples=50)
@given(seed=st.integers(0, 10**6))
def test_withholding_an_answer_never_helps(seed):
    """In ciou it counts as an empty mask, elsewhere as wrong."""
    generator = np.random.default_rng(seed)
    masks = generator.random((5, 2, 4, 4)) < generator.random((5, 2, 1, 1)) - 0.2
    pairs = [tuple(pair) for pair in masks]
    full, empty, fewer = (
        evaluate([(pairs[0][0], found), *pairs[1:]]).splits[0] for found in (pairs[0][1], EMPTY, None)
    )
    for metric in fewer.metrics:
        if metric.name == "ref_mask.ciou":
            assert metric.value == empty.value(metric.name)
        else:
            assert metric.value <= min(full.value(metric.name), empty.value(metric.name))
    assert all(0.0 <= metric.value <= 1.0 for metric in full.metrics)


@pytest.mark.parametrize(
    ("found", "kind", "message"),
    [
        (cells(1).astype(float), TypeError, "expression 1: prediction must be bool, got float64."),
        (
            np.ones((4, 5), bool),
            ValueError,
            "expression 1: prediction must have (height, width) (4, 4), got (4, 5).",
        ),
        (
            rle(np.ones((5, 4))),
            ValueError,
            "expression 1: prediction must have (height, width) (4, 4), got (5, 4).",
        ),
        (
            {"size": [4, 4], "counts": [0, 16]},
            TypeError,
            "expression 1: prediction must be a bool array or compressed run lengths, got dict.",
        ),
        (
            [[1]],
            TypeError,
            "expression 1: prediction must be a bool array or compressed run lengths, got list.",
        ),
        ({"size": [4, 4], "counts": "0T1"}, ValueError, "expression 1: prediction covers 36 pixels of 16."),
    ],
)
def test_a_mask_that_is_none_is_refused(found, kind, message):
    with pytest.raises(kind) as caught:
        evaluate_masks([expression(1, cells(0))], {1: found})
    assert str(caught.value) == message


def test_a_truth_of_another_size_is_refused():
    with pytest.raises(
        ValueError, match=r"^expression 1: ignored must have \(height, width\) \(4, 4\), got "
    ):
        expression(1, cells(0), ignored=np.ones((2, 2), bool))
    with pytest.raises(ValueError, match=r"^2 predictions are of unknown expressions, first: \[7, 9\]\.$"):
        evaluate_masks([expression(1, FULL)], {7: FULL, 9: None})


def test_many_masks_of_a_photo():
    """More than 255 run lengths, 640x480: the sums stay exact."""
    mask = np.zeros((480, 640), dtype=bool)
    mask[100:300, 50:450] = True
    encoded = rle(mask)
    half = rle(mask & (np.arange(640) < 250))
    expressions = [expression(number, encoded) for number in range(300)]
    found = evaluate_masks(expressions, dict.fromkeys(range(300), half)).splits[0]
    assert found.value("ref_mask.ciou") == found.value("ref_mask.giou") == 0.5
    assert found.value("ref_mask.precision_50") == 1.0
