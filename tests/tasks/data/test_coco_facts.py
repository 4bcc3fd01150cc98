"""COCO files of any name as facts; each way a file can be wrong is named."""

import json

import pytest

from tasks.data.coco_facts import read_coco_facts
from tasks.errors import DataError

SQUARE = [[1, 1, 5, 1, 5, 5, 1, 5]]


def document(**changes):
    rows = {
        "images": [
            {"id": 3, "file_name": "c.jpg", "height": 10, "width": 20},
            {"id": 1, "file_name": "a.jpg", "height": 8, "width": 8},
        ],
        "annotations": [
            {"id": 5, "image_id": 3, "category_id": 2, "bbox": [1, 1, 4, 4], "segmentation": SQUARE},
            {"id": 6, "image_id": 3, "category_id": 9, "bbox": [0, 0, 2, 2], "iscrowd": 0},
            {"id": 7, "image_id": 3, "category_id": 9, "bbox": [0, 0, 2, 2], "iscrowd": 1},
        ],
        "categories": [{"id": 2, "name": "cup"}, {"id": 9, "name": "dog"}],
    }
    return rows | changes


def read(folder, **changes):
    path = folder / "any name.json"
    path.write_text(json.dumps(document(**changes)))
    return read_coco_facts(path, dataset="d", split="val")


def test_objects_with_categories_and_no_crowds(tmp_path):
    first, second = read(tmp_path)
    assert (first.image_id, first.file, first.size) == ("3", "c.jpg", (10, 20))
    assert [fact.region.label for fact in first.regions] == ["cup", "dog"]
    assert first.regions[0].region.box_xyxy == (1.0, 1.0, 5.0, 5.0)
    assert first.regions[0].region.mask is not None
    assert first.regions[1].region.mask is None
    assert second.regions == ()


def wrong(**changes):
    return {"annotations": [document()["annotations"][0] | changes]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "'images' must be a list of objects"),
        ({"images": [{"id": "1"}]}, "images 1: must be an object with an integer 'id'"),
        (
            {"categories": [{"id": 2, "name": "a"}] * 2},
            "categories 2: id 2 appears a second time, first in categories 1.",
        ),
        (wrong(iscrowd="0"), "annotation 5: iscrowd must be 0, 1, true or false, got '0'"),
        (wrong(iscrowd="false"), "annotation 5: iscrowd must be 0, 1, true or false, got 'false'"),
        (wrong(iscrowd=None), "annotation 5: iscrowd must be 0, 1, true or false, got 'None'"),
        (wrong(image_id=8), "annotation 5: image 8 is not in the file"),
        (wrong(category_id=8), "annotation 5: category 8 has no name in the file"),
        (wrong(bbox=[0, 0, 40, 4]), "lies outside the image of 20x10"),
        (wrong(bbox=None, segmentation=None), "must have 'bbox', 'segmentation', or both"),
        ({"images": [{"id": 3, "file_name": "../c.jpg", "height": 10, "width": 20}]}, "image 3: file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, changes, message):
    with pytest.raises(DataError) as caught:
        read(tmp_path, **changes)
    assert message in str(caught.value)
    assert "any name.json" in caught.value.obj
