"""COCO tables become records and back without a number moving."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tasks.data.coco import (
    category_names,
    clip_box,
    read_box,
    read_flag,
    read_mask,
    read_split,
    to_document,
    to_records,
)
from tasks.data.rle import decode_mask, encode_mask
from tasks.errors import DataError
from tests.tiny.faults import edited, manifest_of
from tests.tiny.shapes import CATEGORIES, write_shapes_world


@pytest.fixture
def world(tmp_path):
    return write_shapes_world(tmp_path / "world", num_train=3, num_val=2)


def hashes(folder):
    return {name: entry[0] for name, entry in manifest_of(folder).files.items()}


def test_records_hold_what_the_file_says(world):
    split = read_split(world, "val")
    records = to_records(split, hashes(world), masks=True)
    assert [record.file for record in records] == ["val/val_000.jpg", "val/val_001.jpg"]
    assert category_names(split) == CATEGORIES
    rows = {row["id"]: row for row in split.annotations}
    regions = [region for record in records for region in record.regions]
    assert sorted(region.region_id for region in regions) == sorted(rows)
    for region in regions:
        row = rows[region.region_id]
        left, top, right, bottom = region.box_xyxy
        assert [left, top, right - left, bottom - top] == row["bbox"]
        assert region.mask.to_json() == row["segmentation"]
        assert region.category == CATEGORIES[row["category_id"] - 1]
        assert not region.is_crowd


def test_back_to_coco(world):
    split = read_split(world, "val")
    document = to_document(to_records(split, hashes(world), masks=True), category_names(split))
    assert document["images"] == list(split.images)
    assert document["annotations"] == list(split.annotations)
    assert document["categories"] == list(split.categories)


def test_order_of_the_file_does_not_matter(world):
    before = to_records(read_split(world, "train"), hashes(world), masks=True)
    sha256 = hashes(world)
    with edited(world, "train") as document:
        for table in document.values():
            table.reverse()
    split = read_split(world, "train")
    assert category_names(split) == CATEGORIES
    assert to_records(split, sha256, masks=True) == before


def test_without_masks_nothing_of_a_mask_is_read(world):
    before = to_records(read_split(world, "train"), hashes(world), masks=False)
    assert all(region.mask is None for record in before for region in record.regions)
    sha256 = hashes(world)
    with edited(world, "train") as document:
        for row in document["annotations"]:
            row["segmentation"], row["area"] = "garbage", -1
    assert to_records(read_split(world, "train"), sha256, masks=False) == before


def test_three_ways_to_write_one_mask():
    mask = np.zeros((6, 8), dtype=np.bool_)
    mask[1:4, 2:7] = True
    compressed = encode_mask(mask).to_json()
    runs = coco_mask.decode({**compressed, "counts": compressed["counts"].encode()}).T.ravel()
    changes = np.flatnonzero(np.diff(runs)) + 1
    counts = np.diff([0, *changes, runs.size]).tolist()
    for segmentation in (compressed, {"size": [6, 8], "counts": counts}, [[2, 1, 7, 1, 7, 4, 2, 4]]):
        assert (decode_mask(read_mask(segmentation, 6, 8)) == mask).all()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], "no polygon"),
        ([1, 2, 3, 4, 5, 6], "must be a list of polygons"),
        ([[0, 0, 1e9, 0, 5, 5]], "outside the image of 8x6"),
        (None, "segmentation must be polygons or"),
        ("x", "segmentation must be polygons or"),
        ({"size": [6, 8]}, "segmentation must be polygons or"),
        ({"size": [8, 6], "counts": "`1"}, r"mask size is \[8, 6\], the image has \[6, 8\]"),
        ({"size": [10**6, 10**6], "counts": "`1"}, r"mask size is \[1000000, 1000000\]"),
        ({"size": [6, 8], "counts": "13"}, "counts fill 4 pixels"),
        ({"size": [6, 8], "counts": [49]}, "counts fill 49 pixels"),
        ({"size": [6, 8], "counts": [48.0]}, "counts must be text or a list of integers"),
        ({"size": [6, 8], "counts": None}, "counts must be text or a list of integers, got NoneType"),
    ],
)
def test_bad_masks(segmentation, message):
    with pytest.raises(ValueError, match=message):
        read_mask(segmentation, 6, 8)


def test_a_rounding_error_ends_at_the_border():
    assert clip_box([-0.4, 2, 8.9, 3], 6, 8) == (0.0, 2.0, 8.0, 5.0)
    assert clip_box([1, 2, 3, 4], 10, 10) == (1.0, 2.0, 4.0, 6.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("images"),
        lambda document: document.update(annotations={}),
        lambda document: document["categories"].append(3),
    ],
)
def test_files_without_tables(world, change):
    with edited(world, "val") as document:
        change(document)
    with pytest.raises(DataError, match="must be a list of objects"):
        read_split(world, "val")


def test_a_box_ends_at_the_border_and_no_more_than_a_pixel_is_cut():
    assert read_box([-0.5, 0, 9, 6.5], (6, 8)) == (0.0, 0.0, 8.0, 6.0)
    with pytest.raises(ValueError, match=r"bbox \[-500, -500, 5000, 550\] lies outside the image of 100x100"):
        read_box([-500, -500, 5000, 550], (100, 100))


@pytest.mark.parametrize("value", ["0", "false", None, 2, -1, 1.0, 0.0, []])
def test_flags_are_0_or_1(value):
    assert [read_flag({"ignore": given}, "ignore") for given in (0, 1, False, True)] == [False, True] * 2
    assert not read_flag({}, "ignore")
    with pytest.raises(ValueError, match="ignore must be 0, 1, true or false, got "):
        read_flag({"ignore": value}, "ignore")
