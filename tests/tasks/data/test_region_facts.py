"""COCO, LVIS and RefCOCO records as facts; a region without a pixel or outside its image stops everything."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tasks.data.coco import read_box
from tasks.data.lvis import read_lvis
from tasks.data.records import ImageRecord, RegionRecord
from tasks.data.referring import ReferredRegion, ReferringRecord
from tasks.data.region_facts import (
    FactRegion,
    RegionFacts,
    facts_of_expressions,
    facts_of_images,
    facts_of_lvis,
    labels_of,
    lvis_files,
    read_place,
)
from tasks.data.region_records import SampleRegion
from tasks.data.rle import encode_mask
from tasks.errors import DataError

BOX = (1.0, 1.0, 3.0, 4.0)
MASK = encode_mask(np.eye(6, 8, dtype=bool))
EMPTY = encode_mask(np.zeros((6, 8), dtype=bool))


def image(*regions):
    return ImageRecord(image_id=5, file="train/5.jpg", height=6, width=8, sha256="0" * 64, regions=regions)


def region(number, **changes):
    values = {"region_id": number, "category": "cup", "box_xyxy": BOX, "mask": MASK}
    return RegionRecord(**(values | changes))


def test_coco_regions_with_their_categories():
    (facts,) = facts_of_images(
        [image(region(1), region(2, is_crowd=True), region(3, category="dog", mask=None))],
        dataset="c",
        split="val",
    )
    assert (facts.dataset, facts.split, facts.image_id, facts.file, facts.size) == (
        "c",
        "val",
        "5",
        "train/5.jpg",
        (6, 8),
    )
    assert [fact.region for fact in facts.regions] == [
        SampleRegion(box_xyxy=BOX, mask=MASK, label="cup"),
        SampleRegion(box_xyxy=BOX, label="dog"),
    ]
    assert labels_of([facts]) == ("cup", "dog")


def test_an_empty_mask_is_named():
    with pytest.raises(DataError, match="the mask is empty: no pixel belongs to it") as caught:
        facts_of_images([image(region(7, mask=EMPTY))], dataset="c", split="val")
    assert caught.value.obj == "c val image 5 region 7"


def test_a_region_outside_is_named():
    with pytest.raises(DataError, match=r"region 1 of 1: box .* lies outside the image of 8x6") as caught:
        facts_of_images([image(region(7, box_xyxy=(0.0, 0.0, 9.0, 6.0)))], dataset="c", split="val")
    assert caught.value.obj == "c val image 5"


def expression(number, text, *regions, **changes):
    values = {
        "expression_id": number,
        "object_key": "1",
        "source": "refcoco/unc",
        "split": "val",
        "expression": text,
        "image_id": 5,
        "file": "5.jpg",
        "height": 6,
        "width": 8,
        "regions": regions,
    }
    return ReferringRecord(**(values | changes))


def test_expressions_are_gathered_by_region_and_image():
    cup = ReferredRegion(region_id=1, box_xyxy=BOX, mask=MASK)
    dog = ReferredRegion(region_id=2, box_xyxy=BOX)
    records = [
        expression(1, "the cup", cup),
        expression(2, "the dog", dog),
        expression(3, "a white cup", cup),
        expression(4, "the cup", cup),
        expression(5, "both", cup, dog),
        expression(6, "the elephant"),
        expression(7, "elsewhere", cup, image_id=6),
        expression(8, "other split", cup, split="testA"),
        expression(9, "the cup and the crowd", cup, crowds=1),
    ]
    facts = facts_of_expressions(records)
    assert [(image.image_id, image.split) for image in facts] == [("5", "val"), ("6", "val"), ("5", "testA")]
    assert [fact.texts for fact in facts[0].regions] == [("the cup", "a white cup"), ("the dog",)]
    assert facts[0].regions[0].region.mask == MASK
    assert facts[0].dataset == "refcoco/unc"
    unnamed = [
        expression(1, "one", replace(cup, region_id=None)),
        expression(2, "same box", replace(cup, region_id=None)),
    ]
    assert [fact.texts for fact in facts_of_expressions(unnamed)[0].regions] == [("one", "same box")]


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ({"bbox": [1, 1, 2, 3]}, (BOX, None)),
        ({"bbox": [-0.5, 0, 9, 6.5]}, ((0.0, 0.0, 8, 6), None)),
        ({"segmentation": MASK.to_json()}, (None, MASK)),
        ({"bbox": [1, 1, 2, 3], "segmentation": MASK.to_json()}, (BOX, MASK)),
    ],
)
def test_places(row, place):
    assert read_place(row, (6, 8)) == place


def test_a_line_beside_a_polygon_is_left_out():
    square = [1, 1, 4, 1, 4, 4, 1, 4]
    assert read_place({"segmentation": [square, [1, 1, 2, 2]]}, (6, 8)) == read_place(
        {"segmentation": [square]}, (6, 8)
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "an annotation must have 'bbox', 'segmentation', or both"),
        ({"bbox": [1, 2, 3]}, "bbox must be 4 numbers"),
        ({"bbox": [1, 2, 3, "4"]}, "bbox must be 4 numbers"),
        ({"bbox": [1, 2, 0, 4]}, "bbox must have a positive width and height"),
        ({"bbox": [1, 2, float("nan"), 4]}, "bbox must have a positive width and height"),
        ({"bbox": [5, 2, 5, 4]}, r"bbox \[5, 2, 5, 4\] lies outside the image of 8x6"),
        ({"bbox": [-2, 2, 5, 4]}, "lies outside the image of 8x6"),
        ({"segmentation": [[1, 1, 2, 2]]}, "at least 6 numbers, got 4"),
        (
            {"segmentation": {"size": [6, 7], "counts": [42]}},
            r"mask size is \[6, 7\], the image has \[6, 8\]",
        ),
    ],
)
def test_bad_places_are_refused(row, message):
    with pytest.raises(ValueError, match=message):
        read_place(row, (6, 8))
    if "bbox" in row:
        with pytest.raises(ValueError, match=message):
            read_box(row["bbox"], (6, 8))


def test_facts_refuse_blank_texts_and_names():
    with pytest.raises(ValueError, match="a text about a region is blank"):
        FactRegion(region=SampleRegion(box_xyxy=BOX), texts=(" ",))
    with pytest.raises(ValueError, match="facts must have a dataset and an image id"):
        RegionFacts(dataset="d", split="", image_id="", file="a.jpg", size=(1, 1), regions=())


def lvis_document():
    return {
        "images": [
            {
                "id": 9,
                "height": 6,
                "width": 8,
                "coco_url": "http://images.cocodataset.org/train2017/000000000009.jpg",
                "neg_category_ids": [],
                "not_exhaustive_category_ids": [],
            }
        ],
        "categories": [{"id": 3, "name": "aerosol_can", "frequency": "r"}],
        "annotations": [
            {
                "id": 1,
                "image_id": 9,
                "category_id": 3,
                "area": 6.0,
                "bbox": [0, 0, 6, 6],
                "segmentation": MASK.to_json(),
            }
        ],
    }


def test_lvis_regions_with_spoken_categories(tmp_path):
    path = tmp_path / "lvis.json"
    path.write_text(json.dumps(lvis_document()))
    (facts,) = facts_of_lvis(read_lvis(path), lvis_files(path), dataset="lvis", split="train")
    assert facts.file == "train2017/000000000009.jpg"
    assert facts.regions[0].region == SampleRegion(
        box_xyxy=(0.0, 0.0, 6.0, 6.0), mask=MASK, label="aerosol can"
    )
    with pytest.raises(DataError, match=r"image 9 of lvis: has no file"):
        facts_of_lvis(read_lvis(path), {}, dataset="lvis", split="train")


@pytest.mark.parametrize("url", ["x.jpg", "http://a/b/", 3])
def test_lvis_images_need_a_file(tmp_path, url):
    document = lvis_document()
    document["images"][0]["coco_url"] = url
    path = tmp_path / "lvis.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="coco_url") as caught:
        lvis_files(path)
    assert caught.value.obj.endswith("lvis.json image 1")
