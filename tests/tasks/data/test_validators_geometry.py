"""Boxes and masks of every bad kind are findings, in this process, without a crash."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.coco import CocoSplit, clip_box
from tasks.data.records import RegionRecord
from tasks.data.rle import encode_mask
from tasks.data.validators_geometry import check_bbox, check_geometry
from tests.tasks.data.test_rle import BAD_POLYGONS

SQUARE = {"bbox": [2, 3, 10, 8], "area": 80, "segmentation": [[2, 3, 12, 3, 12, 11, 2, 11]]}


def findings(name="val", **values):
    """Check one annotation of an image of 30 by 20 pixels; a value of None removes the key."""
    row = {"id": 7, "image_id": 1, "category_id": 1, **SQUARE, **values}
    image = {"id": 1, "file_name": "a.jpg", "width": 30, "height": 20}
    split = CocoSplit(
        name=name,
        file=f"annotations/instances_{name}.json",
        images=(image,),
        annotations=({key: value for key, value in row.items() if value is not None},),
        categories=(),
    )
    return list(check_geometry(split))


def rle(top, bottom, left, right):
    mask = np.zeros((20, 30), dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return encode_mask(mask).to_json()


def test_clean():
    assert findings() == []
    assert findings(segmentation=rle(3, 11, 2, 12)) == []
    assert (
        findings(
            iscrowd=1,
            segmentation={"size": [20, 30], "counts": [43, 8, 12, 8, 529]},
            area=16,
            bbox=[2, 3, 2, 8],
        )
        == []
    )


FAULTS = {
    "no numbers": ({"bbox": ["1", 2, 3, 4]}, "box-invalid"),
    "three numbers": ({"bbox": [1, 2, 3]}, "box-invalid"),
    "no list": ({"bbox": {"x": 1}}, "box-invalid"),
    "nan": ({"bbox": [1, 2, math.nan, 4]}, "box-invalid"),
    "infinite": ({"bbox": [1, 2, math.inf, 4]}, "box-invalid"),
    "bool": ({"bbox": [True, 2, 3, 4]}, "box-invalid"),
    "no width": ({"bbox": [2, 3, 0, 8]}, "box-invalid"),
    "negative height": ({"bbox": [2, 11, 10, -8]}, "box-invalid"),
    "left of the image": ({"bbox": [-3, 3, 15, 8]}, "box-outside"),
    "beyond the image": ({"bbox": [2, 3, 10, 20]}, "box-outside"),
    "only in the margin": ({"bbox": [30.2, 3, 0.5, 8]}, "box-outside"),
    "area 0": ({"area": 0}, "area-invalid"),
    "negative area": ({"area": -80}, "area-invalid"),
    "text area": ({"area": "80"}, "area-invalid"),
    "another area": ({"area": 200}, "area-mismatch"),
    "another area of run lengths": ({"area": 84, "segmentation": rle(3, 11, 2, 12)}, "area-mismatch"),
    "mask elsewhere": ({"segmentation": rle(9, 17, 15, 25)}, "box-mask-mismatch"),
    "empty mask": ({"segmentation": rle(0, 0, 0, 0)}, "mask-empty"),
    "thin polygon": ({"segmentation": [[2, 3, 2, 3, 2, 3]]}, "mask-empty"),
    "no mask": ({"segmentation": None}, "mask-missing"),
    "mask of another size": ({"segmentation": {"size": [30, 20], "counts": "hb0"}}, "rle-invalid"),
    "mask of 931 GiB": ({"segmentation": {"size": [10**6, 10**6], "counts": "hb0"}}, "rle-invalid"),
    "counts too long": ({"segmentation": {"size": [20, 30], "counts": [601]}}, "rle-invalid"),
    "negative counts": ({"segmentation": {"size": [20, 30], "counts": [-1, 601]}}, "rle-invalid"),
    "text mask": ({"segmentation": "x"}, "rle-invalid"),
    "no polygon": ({"segmentation": []}, "polygon-invalid"),
    **{
        f"polygon {name}": ({"segmentation": [polygon]}, "polygon-invalid")
        for name, polygon in BAD_POLYGONS.items()
    },
}


@pytest.mark.parametrize(("values", "rule"), FAULTS.values(), ids=FAULTS.keys())
def test_faults(values, rule):
    found = findings(**values)
    assert [finding.rule for finding in found] == [rule]
    assert found[0].obj == "annotations/instances_val.json: annotation 7 of image 1"


def test_boxes_alone_are_enough_to_learn_from():
    assert findings("train", segmentation=None, area=None) == []


def test_unknown_images_are_left_to_the_table_rules():
    assert findings(image_id=2) == findings(image_id=[1]) == []


@given(st.lists(st.one_of(st.floats(), st.integers(-50, 50), st.floats(-2, 32)), min_size=4, max_size=4))
@settings(derandomize=True, deadline=None, max_examples=500)
def test_a_box_that_passes_can_become_a_record(bbox):
    if check_bbox(bbox, 20, 30) is None:
        region = RegionRecord(region_id=1, category="cell", box_xyxy=clip_box(bbox, 20, 30))
        assert region.box_xyxy[2] <= 30
        assert region.box_xyxy[3] <= 20
