"""Records of referring expressions: what they refuse, how they travel, what evaluation gets."""

import json
import warnings

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from evaluation.ref_boxes import evaluate_boxes
from evaluation.ref_masks import evaluate_masks
from tasks.data.referring import ReferredRegion, ReferringRecord, to_box_expression, to_mask_expression
from tasks.data.rle import encode_mask


def mask_of(top, left, bottom, right):
    mask = np.zeros((6, 8), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def region(top, left, bottom, right, *, number=1, masked=True):
    mask = encode_mask(mask_of(top, left, bottom, right)) if masked else None
    return ReferredRegion(region_id=number, box_xyxy=(left, top, right, bottom), mask=mask)


def record(*regions, **changes):
    values = {
        "expression_id": 1,
        "object_key": "47",
        "source": "refcoco/unc",
        "split": "val",
        "expression": "left man",
        "image_id": 9,
        "file": "COCO_train2014_000000000009.jpg",
        "height": 6,
        "width": 8,
        "regions": regions,
    }
    return ReferringRecord(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expression": " \t"}, "expression must have 1 to 10000 characters, got 2."),
        ({"expression": "a" * 10_001}, "expression must have 1 to 10000 characters, got 10001."),
        ({"expression": "a\x00b"}, "expression is empty or holds a control character: 'a\\x00b'."),
        ({"expression": "a\ud800"}, "expression is empty or holds a control character: 'a\\ud800'."),
        ({"file": "../x.jpg"}, "file must stay inside the dataset, got '../x.jpg'."),
        ({"file": "/x.jpg"}, "file must stay inside the dataset, got '/x.jpg'."),
        ({"file": ""}, "file is empty or holds a control character: ''."),
        ({"split": ""}, "split is empty or holds a control character: ''."),
        ({"height": 0}, "image size must be positive, got 8x0."),
        ({"distractors": -1}, "distractors must be at least 0, got -1."),
        ({"crowds": -1}, "crowds must be at least 0, got -1."),
    ],
)
def test_no_record_holds(changes, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        record(**changes)
    assert str(caught.value) == message


def test_a_box_without_area_is_refused():
    with pytest.raises(ValueError, match=r"^box_xyxy must be finite with left < right and top < bottom"):
        ReferredRegion(region_id=None, box_xyxy=(1.0, 1.0, 1.0, 2.0))


@pytest.mark.parametrize(
    "item",
    [
        record(),
        record(region(0, 0, 3, 3), region(2, 2, 5, 5, number=2)),
        record(region(0, 0, 3, 3), crowds=2, distractors=0),
        record(
            ReferredRegion(region_id=None, box_xyxy=(0.5, 0.5, 2.25, 3.0)), expression="l'homme à gauche 🚲"
        ),
    ],
)
def test_survives_json(item):
    assert ReferringRecord.from_json(json.loads(json.dumps(item.to_json(), allow_nan=False))) == item


def test_evaluation_of_a_box():
    found = evaluate_boxes([to_box_expression(record(region(0, 0, 4, 4)))], {1: [(0, 0, 4, 2)]})
    assert found.splits[0].value("ref_box.accuracy_50") == 1.0
    assert found.per_expression["image_id"].tolist() == [9]


@pytest.mark.parametrize("regions", [(), (region(0, 0, 2, 2), region(3, 3, 5, 5))])
def test_boxes_are_about_one_region(regions):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        to_box_expression(record(*regions))
    assert str(caught.value) == (
        f"expression 1 of refcoco/unc speaks of {len(regions)} regions; accuracy of boxes is about exactly 1."
    )


def test_regions_are_united_not_summed():
    """3x3 and 3x3 that share one cell: 17 cells."""
    expression = to_mask_expression(record(region(0, 0, 3, 3), region(2, 2, 5, 5, number=2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools and NumPy 2
        mask = coco_mask.decode(expression.target)
    assert (mask == (mask_of(0, 0, 3, 3) | mask_of(2, 2, 5, 5))).all()
    assert mask.sum() == 17


def test_no_region_is_an_empty_mask():
    expression = to_mask_expression(record())
    found = evaluate_masks([expression], {1: np.zeros((6, 8), dtype=bool)}).splits[0]
    assert found.value("ref_mask.n_acc") == found.value("ref_mask.giou") == 1.0


def test_a_region_without_a_mask_has_no_mask_score():
    with pytest.raises(ValueError, match=r"^expression 1 of refcoco/unc: 1 of 2 regions have no mask\.$"):
        to_mask_expression(record(region(0, 0, 3, 3), region(2, 2, 5, 5, number=2, masked=False)))
