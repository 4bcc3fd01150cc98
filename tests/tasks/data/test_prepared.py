"""Prepared records come back as they were written, or not at all."""

import json

import pytest

from tasks.data.prepared import AboutDataset, SplitCounts, dump_records, read_about, read_records
from tasks.data.records import ImageRecord, RegionRecord
from tasks.errors import DataError

REGION = RegionRecord(region_id=1, category="cell", box_xyxy=(0.0, 0.0, 2.5, 3.0))
RECORDS = [
    ImageRecord(image_id=1, file="train/a.jpg", height=4, width=5, sha256="ab", regions=(REGION,)),
    ImageRecord(image_id=2, file="train/b.jpg", height=4, width=5, sha256="cd"),
]
ABOUT = AboutDataset(
    dataset_sha256="d", categories=("cell", "dust"), splits={"train": SplitCounts(images=2, regions=1)}
)


def test_round_trip(tmp_path):
    (tmp_path / "train.jsonl").write_bytes(dump_records(RECORDS))
    assert read_records(tmp_path / "train.jsonl") == RECORDS
    (tmp_path / "dataset.json").write_text(json.dumps(ABOUT.to_json()))
    assert read_about(tmp_path / "dataset.json") == ABOUT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty or was cut off: the last line does not end."),
        (dump_records(RECORDS)[:-1], "is empty or was cut off: the last line does not end."),
        (dump_records([RECORDS[0]] * 2), "image 1 appears a second time."),
        (b"{}\n", "is not a record (KeyError: 'regions')."),
        (b"[]\n", "is not a record (TypeError"),
        (
            dump_records(RECORDS).replace(b"2.5", b"0.0"),
            "is not a record (ValueError: box_xyxy must be finite",
        ),
        (dump_records(RECORDS).replace(b"2.5", b"NaN"), "invalid JSON at byte"),
    ],
)
def test_bad_records(tmp_path, content, message):
    (tmp_path / "train.jsonl").write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_records(tmp_path / "train.jsonl")
    assert message in caught.value.message


@pytest.mark.parametrize(
    "value", [[], {}, {**ABOUT.to_json(), "schema": "x"}, {**ABOUT.to_json(), "splits": 3}]
)
def test_bad_descriptions(tmp_path, value):
    (tmp_path / "dataset.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match="does not describe prepared data"):
        read_about(tmp_path / "dataset.json")


def test_absent_files(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_records(tmp_path / "x")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_about(tmp_path / "x")
