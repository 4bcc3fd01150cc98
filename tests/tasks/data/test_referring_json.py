"""JSON lines and documents of expressions, real ones and broken ones."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from evaluation.ref_boxes import paired_iou
from tasks.data.referring_json import read_expression_document, read_expression_lines
from tasks.data.rle import mask_box
from tasks.errors import DataError

DATA = Path(__file__).parents[2] / "data/referring"

LINE = {
    "img_id": "COCO_train2014_000000580957_4",
    "image_id": 580957,
    "sent": "white bowl",
    "bbox": [468.3, 0.91, 171.7, 116.12],
    "width": 640,
    "height": 428,
}
IMAGE = {"id": 7, "file_name": "7.jpg", "width": 8, "height": 6}
ENTRY = {
    "ref_id": 3,
    "image_id": 7,
    "width": 8,
    "height": 6,
    "sent": "the cup",
    "split": "val",
    "no_target": False,
    "bbox": [1, 1, 4, 3],
}


def lines(tmp_path, *rows, **changes):
    path = tmp_path / "val.jsonl"
    path.write_text("".join(json.dumps(row | changes) + "\n" for row in rows))
    return path


def document(tmp_path, *refs, images=(IMAGE,)):
    path = tmp_path / "refs.json"
    path.write_text(json.dumps({"images": images, "refs": refs}))
    return path


@pytest.mark.parametrize("name", ["refcoco_val", "refcoco+_val", "refcocog_val"])
def test_reads_official_lines(name):
    source = f"{name.removesuffix('_val')}/{'umd' if 'cog' in name else 'unc'}"
    records = read_expression_lines(DATA / f"{name}.jsonl", source=source, split="val")
    assert [record.expression_id for record in records] == list(range(1, 41))
    assert {(record.source, record.split) for record in records} == {(source, "val")}
    raw = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text().splitlines()]
    for record, row in zip(records, raw, strict=True):
        (region,) = record.regions
        x, y, width, height = row["bbox"]
        assert region.box_xyxy == pytest.approx((x, y, x + width, y + height))
        assert region.box_xyxy[2] <= record.width
        assert region.box_xyxy[3] <= record.height
        assert (record.expression, record.image_id) == (row["sent"], row["image_id"])
        number = int(row["img_id"].rpartition("_")[2])
        assert region.region_id == (number if "cog" in name else None)
        assert record.file == f"COCO_train2014_{row['image_id']:012d}.jpg"


def test_expressions_of_one_object_share_a_key(tmp_path):
    records = read_expression_lines(lines(tmp_path, LINE, LINE), source="refcoco/unc", split="testA")
    assert [record.object_key for record in records] == [LINE["img_id"]] * 2
    assert [record.expression_id for record in records] == [1, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sent": 5}, "a line must have 'sent' of type str, got 5."),
        ({"sent": ""}, "expression must have 1 to 10000 characters, got 0."),
        ({"image_id": "580957"}, "a line must have 'image_id' of type int, got '580957'."),
        ({"image_id": True}, "a line must have 'image_id' of type int, got True."),
        ({"bbox": None}, "a line must have 'bbox' of type list, got None."),
        ({"bbox": [1, 2, 3]}, "bbox must be 4 numbers, got [1, 2, 3]."),
        ({"bbox": [1, 2, 3, "4"]}, "bbox must be 4 numbers, got [1, 2, 3, '4']."),
        ({"bbox": [1, 2, 0, 4]}, "bbox must have a positive width and height, got [1, 2, 0, 4]."),
        ({"bbox": [700, 2, 5, 4]}, "bbox [700, 2, 5, 4] lies outside the image of 640x428."),
        ({"bbox": [600, 2, 45, 4]}, "bbox [600, 2, 45, 4] lies outside the image of 640x428."),
        ({"image_id": 5}, "img_id must be COCO_train2014_<image>_<number> of image 5, got 'COCO_train2014_"),
        ({"img_id": "../x"}, "img_id must be COCO_train2014_<image>_<number> of image 580957, got '../x'."),
        (
            {"extra": 1},
            "a line must have the keys ['bbox', 'height', 'image_id', 'img_id', 'sent', 'width'], got",
        ),
    ],
)
def test_a_broken_line_is_named(tmp_path, changes, message):
    path = lines(tmp_path, LINE)
    with path.open("a") as stream:
        stream.write(json.dumps(LINE | changes) + "\n")
    with pytest.raises(DataError) as caught:
        read_expression_lines(path, source="refcoco/unc", split="val")
    assert caught.value.obj == f"{path} line 2"
    assert caught.value.message.startswith(message)
    assert caught.value.hint == "Correct the file, or fetch it again."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty or was cut off: the last line does not end."),
        (b'{"a": 1}', "is empty or was cut off: the last line does not end."),
        (b"[]\n", "a line must be an object, got list."),
        (b"{\n", "invalid JSON at byte 1: "),
        (b'{"bbox": NaN}\n', "invalid JSON at byte 9: NaN is not a JSON number."),
    ],
)
def test_a_broken_file_of_lines_is_refused(tmp_path, content, message):
    path = tmp_path / "val.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_expression_lines(path, source="refcoco/unc", split="val")
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize("read", [read_expression_lines, read_expression_document])
def test_an_absent_file_is_named(tmp_path, read):
    with pytest.raises(DataError, match=r"gone: cannot be read: No such file or directory\."):
        read(tmp_path / "gone", source="x", **({"split": "val"} if read is read_expression_lines else {}))


def test_reads_real_documents(tmp_path):
    records = read_expression_document(DATA / "refcocos_val.json", source="refcocos")
    assert len(records) == 18
    assert {record.split for record in records} == {"val"}
    masks = [region for record in records for region in record.regions if region.mask is not None]
    assert len(masks) == 3
    part = read_expression_document(DATA / "refcocos_train_part.json", source="refcocos")
    assert [len(record.regions) for record in part].count(0) == 3
    assert part[0].expression == "letter X on the wall"
    assert part[0].regions == ()
    assert [record.distractors for record in part][:2] == [8, 12]
    tight = np.array([mask_box(region.mask) for region in masks])
    drawn = np.array([region.box_xyxy for region in masks])
    assert (paired_iou(tight, drawn) > 0.65).all(), "people draw boxes by eye"
    shutil.copy(DATA / "refcocos_val.json", tmp_path / "again.json")
    boxes = read_expression_document(tmp_path / "again.json", source="refcocos", masks=False)
    assert all(region.mask is None for record in boxes for region in record.regions)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_id": 8}, "image 8 is not among the images."),
        ({"width": 9}, "size is 9x6, the image has 8x6."),
        ({"no_target": True}, "no_target is True, but bbox is [1, 1, 4, 3]."),
        ({"bbox": None}, "no_target is False, but bbox is None."),
        ({"no_target": 0}, "a reference must have 'no_target' of type bool, got 0."),
        ({"distractors": 4}, "a reference must have 'distractors' of type str or NoneType, got 4."),
        ({"distractors": "-4"}, "distractors must be digits, got '-4'."),
        ({"distractors": "1e3"}, "distractors must be digits, got '1e3'."),
        ({"ann_id": "5"}, "a reference must have 'ann_id' of type int or NoneType, got '5'."),
        ({"segmentation": [[1, 2, 3]]}, "a polygon must have an even count of at least 6 numbers, got 3."),
        ({"segmentation": {"size": [5, 5], "counts": "0"}}, "mask size is [5, 5], the image has [6, 8]."),
    ],
)
def test_a_broken_reference_is_named(tmp_path, changes, message):
    path = document(tmp_path, ENTRY, ENTRY | changes)
    with pytest.raises(DataError) as caught:
        read_expression_document(path, source="refcocos")
    assert (caught.value.obj, caught.value.message) == (f"{path} reference 2", message)


def test_a_box_must_be_there_unless_there_is_no_target(tmp_path):
    entry = {key: value for key, value in ENTRY.items() if key != "bbox"}
    with pytest.raises(DataError, match=r"no_target is False, but bbox is None\."):
        read_expression_document(document(tmp_path, entry), source="refcocos")
    (record,) = read_expression_document(document(tmp_path, entry | {"no_target": True}), source="refcocos")
    assert record.regions == ()


def test_a_broken_document_is_refused(tmp_path):
    path = document(tmp_path, ENTRY, images=[IMAGE, IMAGE])
    with pytest.raises(DataError, match=r"image 7 appears twice\."):
        read_expression_document(path, source="refcocos")
    path.write_text("[]")
    with pytest.raises(DataError, match=r"must have the lists 'images' and 'refs'\."):
        read_expression_document(path, source="refcocos")
