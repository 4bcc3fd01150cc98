"""Boxes of COCO documents: what is read, what is never looked at, what is refused."""

import copy
import json
from pathlib import Path

import pytest

from models.segmentation.detectron2_records import box_records

SAMPLE = Path(__file__).resolve().parents[3] / "data" / "sample"
DOCUMENT = {
    "images": [
        {"id": 7, "file_name": "b.png", "height": 20, "width": 30},
        {"id": 3, "file_name": "deep/a.png", "height": 10, "width": 12},
    ],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 9, "bbox": [1, 2.5, 4.0, 5], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 4, "bbox": [0, 0, 30.5, 20], "iscrowd": 1},
    ],
    "categories": [{"id": 9, "name": "cell"}, {"id": 4, "name": "nucleus"}],
}


class Unread(dict):
    """An annotation whose mask must not be looked at."""

    def __getitem__(self, key):
        assert key != "segmentation"
        return super().__getitem__(key)

    def get(self, key, default=None):
        assert key != "segmentation"
        return super().get(key, default)


def changed(table, row, **values):
    document = copy.deepcopy(DOCUMENT)
    document[table][row].update(values)
    return document


def test_boxes_become_corners_and_categories_places():
    found = box_records(DOCUMENT, "images")
    assert found.category_names == ("nucleus", "cell")
    assert found.category_ids == (4, 9)
    first, second = found.records
    assert first == {
        "file_name": "images/deep/a.png", "height": 10, "width": 12, "image_id": 3, "annotations": [],
    }  # fmt: skip
    assert second["annotations"] == [
        {"bbox": [1.0, 2.5, 5.0, 7.5], "bbox_mode": 0, "category_id": 1, "iscrowd": 0},
        {"bbox": [0.0, 0.0, 30.5, 20.0], "bbox_mode": 0, "category_id": 0, "iscrowd": 1},
    ]


def test_masks_are_never_looked_at():
    document = copy.deepcopy(DOCUMENT)
    document["annotations"] = [Unread(row, segmentation="no") for row in document["annotations"]]
    assert box_records(document, "images") == box_records(DOCUMENT, "images")


def test_the_sample():
    document = json.loads((SAMPLE / "annotations" / "instances_train.json").read_text())
    found = box_records(document, str(SAMPLE / "train"))
    assert found.category_names == ("nucleus",)
    assert len(found.records) == len(document["images"])
    assert sum(len(record["annotations"]) for record in found.records) == len(document["annotations"])
    assert all(Path(record["file_name"]).is_file() for record in found.records)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], r"'images' must be a list of objects, as in a COCO instances file\."),
        (DOCUMENT | {"annotations": None}, r"'annotations' must be a list of objects"),
        (DOCUMENT | {"categories": []}, r"'categories' is empty; there is nothing to learn from\."),
        (changed("categories", 0, id=4), r"category 4 \('nucleus'\) occurs twice\."),
        (changed("categories", 0, name=""), r"a category needs an integer id and a name, got 9 and ''\."),
        (changed("images", 0, id=3), r"image 3 needs an integer id of its own\."),
        (changed("images", 0, id=True), r"image True needs an integer id of its own\."),
        (
            changed("images", 0, height=0),
            r"image 7 needs a height and a width in pixels, got 0, 30\.",
        ),
        (
            changed("images", 0, file_name="../b.png"),
            r"image 7 needs a file_name below the image root, got '\.\./b\.png'\.",
        ),
        (changed("images", 0, file_name="/b.png"), r"below the image root, got '/b\.png'\."),
        (changed("annotations", 1, id=1), r"annotation 1 needs an integer id of its own\."),
        (changed("annotations", 0, id=[1]), r"annotation \[1\] needs an integer id of its own\."),
        (changed("annotations", 0, image_id={}), r"annotation 1 is of image {}, which does not exist\."),
        (changed("annotations", 0, image_id=8), r"annotation 1 is of image 8, which does not exist\."),
        (changed("annotations", 0, category_id=1), r"annotation 1 is of category 1, there are \[4, 9\]\."),
        (
            changed("annotations", 0, bbox=[1, 2, float("nan"), 4]),
            r"annotation 1: bbox must be 4 finite numbers \[left, top, width, height\], got \[1, 2, nan, 4\]",
        ),
        (changed("annotations", 0, bbox=[1, 2, 3]), r"bbox must be 4 finite numbers"),
        (changed("annotations", 0, bbox=[1, 2, True, 4]), r"bbox must be 4 finite numbers"),
        (changed("annotations", 0, bbox="all"), r"bbox must be 4 finite numbers .* got 'all'\."),
        (
            changed("annotations", 0, bbox=[1, 2, 0, 4]),
            r"annotation 1: bbox has no area, got \[1, 2, 0, 4\]; correct it or leave it out of the file\.",
        ),
        (
            changed("annotations", 0, bbox=[1, 2, 32, 4]),
            r"bbox \[1, 2, 32, 4\] leaves image 7 of 20 x 30 pixels \(height x width\) by 3\.",
        ),
        (changed("annotations", 0, iscrowd="no"), r"annotation 1: iscrowd must be 0 or 1, got 'no'\."),
    ],
)
def test_what_is_refused(document, message):
    with pytest.raises(ValueError, match=message):
        box_records(document, "images")
