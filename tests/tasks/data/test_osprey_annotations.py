"""Captions in COCO form: of annotations, and of images that each are one expression."""

import json

import numpy as np
import pytest

from tasks.data.osprey_annotations import read_captioned_images, read_captioned_regions
from tasks.data.region_records import SampleRegion
from tasks.data.rle import encode_mask
from tasks.errors import DataError

MASK = encode_mask(np.eye(6, 8, dtype=bool))


def document(**changes):
    values = {
        "images": [
            {"id": 1, "file_name": "VG_100K/1.jpg", "height": 6, "width": 8},
            {"id": 2, "file_name": "VG_100K/2.jpg", "height": 6, "width": 8},
        ],
        "annotations": [
            annotation(1),
            annotation(2, caption="ignored", ignore=True),
            annotation(3, caption="a <image>", ignore=False, iscrowd=1),  # a caption is about a crowd, too
        ],
    }
    return values | changes


def annotation(number, **changes):
    values = {
        "id": number,
        "image_id": 1,
        "bbox": [0, 0, 6, 6],
        "segmentation": MASK.to_json(),
        "caption": "a dog",
        "category_id": 1,
    }
    return values | changes


def written(folder, value):
    path = folder / "captions.json"
    path.write_text(json.dumps(value))
    return path


def test_captions_of_regions(tmp_path):
    first, second = read_captioned_regions(written(tmp_path, document()), dataset="vg", split="s")
    assert (first.dataset, first.split, first.image_id, first.file) == ("vg", "s", "1", "VG_100K/1.jpg")
    assert [fact.texts for fact in first.regions] == [("a dog",), ("a <image>",)]
    assert first.regions[0].region == SampleRegion(box_xyxy=(0.0, 0.0, 6.0, 6.0), mask=MASK)
    assert second.regions == ()


def test_categories_are_labels(tmp_path):
    path = written(tmp_path, document(categories=[{"id": 1, "name": "dog"}]))
    assert read_captioned_regions(path, dataset="vg")[0].regions[0].region.label == "dog"


@pytest.mark.parametrize(
    ("changes", "message", "place"),
    [
        ({"images": {}}, "'images' must be a list of objects", ""),
        ({"images": [{"id": "1"}]}, "must be an object with an integer 'id'", " images 1"),
        ({"images": [{"id": 1}, {"id": 1}]}, "id 1 appears a second time, first in images 1", " images 2"),
        ({"annotations": [annotation(4, ignore="false")]}, "ignore must be 0, 1, true or", " annotation 4"),
        ({"annotations": [annotation(4, ignore=None)]}, "ignore must be 0, 1, true or", " annotation 4"),
        ({"annotations": [annotation(1, image_id=9)]}, "image 9 is not in the file", " annotation 1"),
        ({"annotations": [annotation(4, caption=3)]}, "an annotation must have 'caption'", " annotation 4"),
        ({"annotations": [annotation(4, caption=" ")]}, "a text about a region is blank", " annotation 4"),
        (
            {"annotations": [{"id": 4, "image_id": 1, "caption": "x", "bbox": [0, 0, 1, 1]}]},
            "must have 'segm",
            "",
        ),
        (
            {"annotations": [annotation(4, segmentation={"size": [6, 8], "counts": [48]})]},
            "the mask is empty",
            " annotation 4",
        ),
        (
            {"annotations": [annotation(4, bbox=[7, 0, 9, 1])]},
            "lies outside the image of 8x6",
            " annotation 4",
        ),
        (
            {"images": [{"id": 1, "file_name": "a", "height": 6}]},
            "its image must have 'width'",
            " annotation 1",
        ),
        (
            {"images": [{"id": 1, "file_name": "a", "height": 6}], "annotations": []},
            "an image must have 'width'",
            " image 1",
        ),
    ],
)
def test_bad_rows_are_named(tmp_path, changes, message, place):
    path = written(tmp_path, document(**changes))
    with pytest.raises(DataError, match=message) as caught:
        read_captioned_regions(path, dataset="vg")
    assert caught.value.obj.startswith(f"{path}{place}")


def expressions(**changes):
    images = [
        {"id": number, "file_name": "9.jpg", "height": 6, "width": 8, "original_id": 9, "caption": text}
        for number, text in ((1, "left dog"), (2, "the brown dog"))
    ]
    annotations = [annotation(number, image_id=number, original_id=55) for number in (1, 2)]
    return {"images": images, "annotations": annotations} | changes


def test_images_that_are_expressions(tmp_path):
    found = read_captioned_images(written(tmp_path, expressions()), dataset="refcoco")
    assert [image.regions[0].texts for image in found] == [("left dog",), ("the brown dog",)]
    assert [image.file for image in found] == ["9.jpg", "9.jpg"]


def test_an_expression_has_one_annotation(tmp_path):
    rows = expressions()["annotations"]
    for annotations, count in ((rows[:1], 0), ([*rows, annotation(3, image_id=2)], 2)):
        path = written(tmp_path, expressions(annotations=annotations))
        with pytest.raises(DataError, match=f"must have exactly one annotation, got {count}") as caught:
            read_captioned_images(path, dataset="refcoco")
        assert caught.value.obj == f"{path} image 2"
    images = expressions()["images"]
    del images[0]["original_id"]
    with pytest.raises(DataError, match="an image must have 'original_id' of type int"):
        read_captioned_images(written(tmp_path, expressions(images=images)), dataset="refcoco")
