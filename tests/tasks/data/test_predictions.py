"""No file that a scorer could misread gets past the reader."""

import dataclasses
import json

import numpy as np
import pytest

from tasks.data.predictions import (
    PredictionsHeader,
    check_detection,
    read_predictions,
    write_predictions,
)
from tasks.data.records import DetectionRecord, ImagePrediction, ImageRecord
from tasks.data.rle import encode_mask
from tasks.errors import DataError, IntegrityError

HEADER = PredictionsHeader(dataset_sha256="d" * 64, split="val", model_sha256="m" * 64, images=3)
RECORDS = [
    ImageRecord(image_id=number, file=f"val/{number}.jpg", height=10, width=12, sha256="")
    for number in (5, 3, 9)
]


def detection(score=0.5):
    mask = np.zeros((10, 12), dtype=np.bool_)
    mask[2:5, 3:7] = True
    return DetectionRecord(
        category="cell", score=score, box_xyxy=(3.0, 2.0, 7.0, 5.0), mask=encode_mask(mask)
    )


PREDICTIONS = [
    ImagePrediction(image_id=3, height=10, width=12),
    ImagePrediction(image_id=5, height=10, width=12, detections=(detection(0.9), detection(0.1))),
    ImagePrediction(image_id=9, height=10, width=12, detections=(detection(),)),
]


def read(path, **changes):
    expected = {
        "dataset_sha256": HEADER.dataset_sha256,
        "split": "val",
        "categories": ["cell", "dust"],
        "model_sha256": HEADER.model_sha256,
    }
    return read_predictions(path, RECORDS, **{**expected, **changes})


@pytest.fixture
def path(tmp_path):
    write_predictions(tmp_path / "val.jsonl", HEADER, PREDICTIONS)
    return tmp_path / "val.jsonl"


def rewrite(path, line, change):
    """Change the parsed value of one line, counted from 1; NaN stays writable."""
    lines = path.read_text().splitlines()
    value = json.loads(lines[line - 1])
    change(value)
    lines[line - 1] = json.dumps(value)
    path.write_text("\n".join(lines) + "\n")


def test_round_trip_in_the_order_of_the_records(path):
    header, predictions = read(path)
    assert header == HEADER
    assert predictions == [PREDICTIONS[1], PREDICTIONS[0], PREDICTIONS[2]]


def test_same_predictions_same_bytes(path, tmp_path):
    write_predictions(tmp_path / "again.jsonl", HEADER, iter(PREDICTIONS))
    assert (tmp_path / "again.jsonl").read_bytes() == path.read_bytes()


def test_the_writer_counts(tmp_path):
    with pytest.raises(ValueError, match=r"2 images were predicted, the header says 3\."):
        write_predictions(tmp_path / "x", HEADER, PREDICTIONS[:2])
    with pytest.raises(ValueError, match=r"image 3 was predicted twice\."):
        write_predictions(tmp_path / "x", HEADER, [PREDICTIONS[0]] * 3)
    assert list(tmp_path.iterdir()) == []


def set_detection(**values):
    return lambda line: line["detections"][0].update(values)


NAN, INF = float("nan"), float("inf")
BAD_DETECTIONS = {
    "nan box": (set_detection(box_xyxy=[NAN] * 4), "NaN is not a JSON number"),
    "one nan": (set_detection(box_xyxy=[3, 2, NAN, 5]), "NaN is not a JSON number"),
    "infinite box": (set_detection(box_xyxy=[3, 2, INF, 5]), "Infinity is not a JSON number"),
    "nan score": (set_detection(score=NAN), "NaN is not a JSON number"),
    "high score": (set_detection(score=1.01), "score must be finite and in [0, 1], got 1.01"),
    "negative score": (set_detection(score=-1), "score must be finite and in [0, 1], got -1"),
    "text score": (set_detection(score="0.9"), "score and box_xyxy must be numbers, got '0.9'"),
    "null score": (set_detection(score=None), "score and box_xyxy must be numbers, got None"),
    "true score": (set_detection(score=True), "score and box_xyxy must be numbers, got True"),
    "text box": (set_detection(box_xyxy=["3", 2, 7, 5]), "score and box_xyxy must be numbers"),
    "short box": (set_detection(box_xyxy=[3, 2, 7]), "box_xyxy must be 4 numbers, got [3, 2, 7]"),
    "empty box": (set_detection(box_xyxy=[3, 2, 3, 5]), "box_xyxy must be finite with left < right"),
    "swapped box": (set_detection(box_xyxy=[7, 5, 3, 2]), "box_xyxy must be finite with left < right"),
    "outside box": (set_detection(box_xyxy=[3, 2, 1e9, 5]), "ends outside the image of 12x10"),
    "category": (set_detection(category="moon"), "category 'moon' is not one of ['cell', 'dust']"),
    "category number": (set_detection(category=1), "category 1 is not one of"),
    "mask of another size": (set_detection(mask={"size": [12, 10], "counts": "h3"}), "mask is 10x12"),
    "mask too short": (set_detection(mask={"size": [10, 12], "counts": "13"}), "counts fill 4 pixels"),
    "mask as list": (set_detection(mask={"size": [10, 12], "counts": [120]}), "mask must be {"),
    "mask size text": (set_detection(mask={"size": ["10", 12], "counts": "h3"}), "mask size must be two"),
    "mask null": (set_detection(mask=None), "mask must be {"),
    "extra key": (set_detection(area=3), "must be an object with the keys"),
}


@pytest.mark.parametrize(("change", "message"), BAD_DETECTIONS.values(), ids=BAD_DETECTIONS.keys())
def test_bad_detections(path, change, message):
    rewrite(path, 3, change)
    with pytest.raises(DataError) as caught:
        read(path)
    assert message in caught.value.message
    assert caught.value.obj.startswith(f"{path} line 3")
    if "JSON" not in message:
        assert caught.value.obj == f"{path} line 3, image 5, detection 1"


BAD_LINES = {
    "unknown image": (3, lambda line: line.update(image_id=4), "image 4 is not in the split."),
    "text id": (3, lambda line: line.update(image_id="5"), "image '5' is not in the split."),
    "true id": (3, lambda line: line.update(image_id=True), "image True is not in the split."),
    "list id": (3, lambda line: line.update(image_id=[5]), "image [5] is not in the split."),
    "repeated": (3, lambda line: line.update(image_id=3), "image 3 appears a second time."),
    "size": (3, lambda line: line.update(width=13), "size is 13x10, the image has 12x10."),
    "extra key": (3, lambda line: line.update(note=1), "must be an object with the keys"),
    "no list": (3, lambda line: line.update(detections={}), "must be an object with the keys"),
    "schema": (1, lambda line: line.update(schema="x/1"), "must be a header with schema"),
    "extra in header": (1, lambda line: line.update(note=1), "the header must have"),
    "count as text": (1, lambda line: line.update(images="3"), "the header must have"),
    "count": (1, lambda line: line.update(images=4), "the header says 4 images, 3 follow."),
}


@pytest.mark.parametrize(("line", "change", "message"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_bad_lines(path, line, change, message):
    rewrite(path, line, change)
    with pytest.raises(DataError) as caught:
        read(path)
    assert message in caught.value.message
    assert caught.value.obj.startswith(f"{path} line {line}")


def test_partial_coverage(path):
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:3]) + "\n")
    with pytest.raises(DataError, match=r"1 of 3 images have no line, first: \[9\]\."):
        read(path)


def test_every_cut_is_noticed(path):
    content = path.read_bytes()
    for cut in range(0, len(content), 7):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError):
            read(path)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read(path)


@pytest.mark.parametrize("name", ["dataset_sha256", "split", "model_sha256"])
def test_other_data_or_another_model(path, name):
    with pytest.raises(IntegrityError) as caught:
        read(path, **{name: "other"})
    assert caught.value.message == f"{name} is {getattr(HEADER, name)!r}, expected 'other'."


def test_the_model_need_not_be_known(path):
    assert read(path, model_sha256=None)[0] == HEADER


def test_rounding_at_the_border_is_no_fault():
    near = dataclasses.replace(detection(), box_xyxy=(3.0, 2.0, 12.6, 5.0))
    check_detection(near, RECORDS[0], frozenset({"cell"}))
