"""LVIS files become truths and detections; what breaks a rule is named with its row."""

import copy
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.definition import KINDS
from tasks.data.lvis import read_lvis, read_lvis_results
from tasks.data.records import MaskRle
from tasks.data.rle import decode_mask
from tasks.errors import DataError

DATA = Path(__file__).parents[2] / "data/lvis"
SQUARE = [[2, 2, 2, 12, 12, 12, 12, 2]]
DOCUMENT = {
    "categories": [
        {"id": 7, "name": "dog", "frequency": "f"},
        {"id": 3, "name": "cat", "frequency": "r"},
        {"id": 5, "name": "cup", "frequency": "c"},
    ],
    "images": [
        {"id": 9, "height": 20, "width": 30, "neg_category_ids": [7], "not_exhaustive_category_ids": [3]},
        {"id": 4, "height": 20, "width": 30, "neg_category_ids": [], "not_exhaustive_category_ids": []},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 9,
            "category_id": 3,
            "bbox": [2, 2, 10, 10],
            "area": 99.5,
            "segmentation": SQUARE,
        },
        {
            "id": 2,
            "image_id": 9,
            "category_id": 5,
            "bbox": [2, 2, 10, 10],
            "area": 100,
            "segmentation": SQUARE,
        },
    ],
}
RESULT = {"image_id": 9, "category_id": 5, "score": 0.5, "bbox": [2, 2, 10, 10]}


@pytest.fixture
def write(tmp_path):
    def put(document, name="lvis.json"):
        path = tmp_path / name
        path.write_text(json.dumps(document))
        return path

    return put


def changed(table, index, **values):
    document = copy.deepcopy(DOCUMENT)
    document[table][index] |= values
    return document


def test_places_of_categories_rise_with_their_ids(write):
    split = read_lvis(write(DOCUMENT))
    assert split.category_ids == (3, 5, 7)
    assert [(item.name, item.frequency) for item in split.categories] == (
        [("cat", "r"), ("cup", "c"), ("dog", "f")]
    )
    assert [image.truth.image_id for image in split.images] == [4, 9]
    empty, image = split.images
    assert len(empty.truth.masks) == 0
    assert image.truth.categories.tolist() == [0, 1]
    assert image.truth.boxes_xyxy.tolist() == [[2, 2, 12, 12]] * 2
    assert image.areas.tolist() == [99.5, 100.0]
    assert (image.negative, image.not_exhaustive) == ({2}, {0})
    mask = decode_mask(MaskRle.from_json(image.truth.masks[0]))
    assert mask.sum() == 100
    assert mask[2:12, 2:12].all()


def test_a_part_of_the_real_file(tmp_path):
    path = tmp_path / "lvis.json"
    path.write_bytes(gzip.decompress((DATA / "lvis_val_part.json.gz").read_bytes()))
    document = json.loads(path.read_text())
    split = read_lvis(path)
    assert (len(split.images), len(split.categories)) == (30, 379)
    assert sum(len(image.truth.masks) for image in split.images) == len(document["annotations"]) == 586
    for name, key in (("negative", "neg_category_ids"), ("not_exhaustive", "not_exhaustive_category_ids")):
        ours = {
            image.truth.image_id: {split.category_ids[place] for place in getattr(image, name)}
            for image in split.images
        }
        assert ours == {row["id"]: set(row[key]) for row in document["images"]}


@pytest.mark.parametrize(
    ("table", "index", "values", "message"),
    [
        ("categories", 1, {"id": 7}, r"category 2: id 7 appears a second time, first in category 1\."),
        ("categories", 1, {"frequency": "often"}, r"category 2: category 'cat': frequency must be r, c or f"),
        ("categories", 1, {"name": 5}, r"category 2: a category must have 'name' of type str, got 5\."),
        ("categories", 1, {"name": "dog"}, r"names of categories must differ, 'dog' appears twice\."),
        ("images", 1, {"id": 9}, r"image 2: id 9 appears a second time, first in image 1\."),
        ("images", 1, {"height": 0}, r"image 2: image size must be positive, got 30x0\."),
        ("images", 1, {"width": 30.5}, r"image 2: an image must have 'width' of type int, got 30\.5\."),
        ("images", 1, {"neg_category_ids": [8]}, r"image 2: neg_category_ids: category 8 is unknown\."),
        (
            "images",
            0,
            {"not_exhaustive_category_ids": [3, 3]},
            r"image 1: not_exhaustive_category_ids: a category appears twice\.",
        ),
        ("images", 0, {"neg_category_ids": None}, r"image 1: an image must have 'neg_category_ids' of type"),
        (
            "images",
            0,
            {"neg_category_ids": [5]},
            r"image 9: image 9 of .* category 1 is negative and has reg",
        ),
        ("annotations", 1, {"id": 1}, r"annotation 2: id 1 appears a second time, first in annotation 1\."),
        ("annotations", 1, {"image_id": 5}, r"annotation 2: image_id 5 is unknown\."),
        ("annotations", 1, {"category_id": 4}, r"annotation 2: category_id 4 is unknown\."),
        ("annotations", 1, {"category_id": True}, r"annotation 2: category_id True is unknown\."),
        ("annotations", 1, {"bbox": [2, 2, -1, 5]}, r"annotation 2: bbox must have a positive width and"),
        ("annotations", 1, {"bbox": [2, 2, 5]}, r"annotation 2: bbox must be 4 numbers, got \[2, 2, 5\]\."),
        ("annotations", 1, {"bbox": [2, 2, 40, 5]}, r"annotation 2: bbox .* lies outside the image of 30x20"),
        ("annotations", 1, {"iscrowd": 1}, r"annotation 2: iscrowd must be 0: LVIS has no crowds\."),
        ("annotations", 1, {"area": "9"}, r"annotation 2: an annotation must have 'area' of type int or flo"),
        ("annotations", 1, {"area": -9}, r"image 9: .*number 1: area must be finite and at least 0, got -9"),
        ("annotations", 1, {"segmentation": [[1, 2]]}, r"image 9: annotation id 2: a polygon must have an e"),
        ("annotations", 1, {"segmentation": None}, r"image 9: annotation id 2: segmentation must be poly"),
    ],
)
def test_refuses_annotations_that_break_a_rule(write, table, index, values, message):
    path = write(changed(table, index, **values))
    with pytest.raises(DataError, match=message) as caught:
        read_lvis(path)
    assert caught.value.obj.startswith(str(path))
    assert caught.value.hint == "Correct the file, or fetch it again."


def test_refuses_what_is_no_annotation_file(write, tmp_path):
    with pytest.raises(DataError, match=r"'categories' must be a list of objects\."):
        read_lvis(write([1]))
    with pytest.raises(DataError, match=r"annotation 1: an annotation must be an object, got int\."):
        read_lvis(write(DOCUMENT | {"annotations": [5]}))
    path = tmp_path / "nan.json"
    path.write_text(json.dumps(changed("annotations", 0, area=float("nan"))))
    with pytest.raises(DataError, match=r"NaN is not a JSON number"):
        read_lvis(path)


def test_results_with_boxes_alone(write):
    split = read_lvis(write(DOCUMENT))
    path = write([RESULT, RESULT | {"category_id": 7, "score": 1}], "results.json")
    results = read_lvis_results(path, split)
    assert results.kinds == ("box",)
    none, found = results.detections
    assert (none.image_id, len(none.scores)) == (4, 0)
    assert found.categories.tolist() == [1, 2]
    assert found.scores.tolist() == [0.5, 1.0]
    assert found.boxes_xyxy.tolist() == [[2, 2, 12, 12]] * 2
    assert found.masks == ()


def test_results_with_masks(write):
    split = read_lvis(write(DOCUMENT))
    mask = split.images[1].truth.masks[0]
    row = {name: RESULT[name] for name in ("image_id", "category_id", "score")} | {"segmentation": mask}
    results = read_lvis_results(write([row], "results.json"), split)
    assert results.kinds == KINDS
    assert results.detections[1].boxes_xyxy.tolist() == [[2, 2, 12, 12]]
    assert results.detections[1].masks == (mask,)
    both = read_lvis_results(write([row | {"bbox": [1, 2, 3, 4.5]}], "results.json"), split)
    assert both.kinds == KINDS
    assert both.detections[1].boxes_xyxy.tolist() == [[1, 2, 4, 6.5]]


def test_no_result_at_all(write):
    results = read_lvis_results(write([], "results.json"), read_lvis(write(DOCUMENT)))
    assert [len(found.scores) for found in results.detections] == [0, 0]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (RESULT | {"image_id": 5}, r"image_id 5 is unknown\."),
        (RESULT | {"category_id": 4}, r"category_id 4 is unknown\."),
        (RESULT | {"score": 1.5}, r"score must be finite and in \[0, 1\], got 1\.5\."),
        (RESULT | {"score": True}, r"a detection must have 'score' of type int or float, got True\."),
        (RESULT | {"bbox": [2, 2, 0, 5]}, r"bbox must have a positive width and height"),
        (RESULT | {"bbox": [-5, 2, 9, 5]}, r"bbox .* lies outside the image of 30x20"),
        (RESULT | {"segmentation": SQUARE}, r"has bbox and segmentation, the rows before have bbox\."),
        ({"image_id": 9, "category_id": 5, "score": 0.5}, r"a detection must have bbox, segmentation, or bo"),
        ([9], r"a detection must be an object, got list\."),
    ],
)
def test_refuses_results_that_break_a_rule(write, row, message):
    split = read_lvis(write(DOCUMENT))
    path = write([RESULT, row], "results.json")
    with pytest.raises(DataError, match=rf"detection 2: {message}"):
        read_lvis_results(path, split)


def test_refuses_masks_that_do_not_fit(write):
    split = read_lvis(write(DOCUMENT))
    row = {"image_id": 9, "category_id": 5, "score": 0.5}
    other = {"size": [5, 5], "counts": "55"}
    path = write([row | {"segmentation": other}], "results.json")
    with pytest.raises(DataError, match=r"detection 1: mask size is \[5, 5\], the image has \[20, 30\]\."):
        read_lvis_results(path, split)
    nothing = {"size": [20, 30], "counts": [600]}
    path = write([row | {"segmentation": nothing}], "results.json")
    with pytest.raises(DataError, match=r"detection 1: the mask has no pixel, and there is no bbox\."):
        read_lvis_results(path, split)
    found = read_lvis_results(write([RESULT | {"segmentation": nothing}], "results.json"), split)
    assert np.array_equal(found.detections[1].boxes_xyxy, [[2, 2, 12, 12]])
    with pytest.raises(DataError, match=r"must be a list of detections, got dict\."):
        read_lvis_results(write({}, "results.json"), split)
