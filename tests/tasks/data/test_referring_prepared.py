"""Prepared expressions: one identity, every byte checked, nothing that contradicts itself."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from tasks.data.commit import commit_directory, describe
from tasks.data.referring_json import read_expression_document, read_expression_lines
from tasks.data.referring_prepared import (
    REFERRING_SCHEMA,
    AboutReferring,
    ReferringCounts,
    read_about,
    read_split,
    write_prepared,
)
from tasks.errors import DataError, IntegrityError

FILES = Path(__file__).resolve().parents[2] / "data" / "referring"


@pytest.fixture(scope="module")
def records():
    return read_expression_lines(FILES / "refcoco_val.jsonl", source="refcoco/unc", split="val")


@pytest.fixture
def prepared(tmp_path, records):
    write_prepared(tmp_path / "prepared", records)
    return tmp_path / "prepared"


def recommit(folder, change):
    """Change the files of a committed directory as if they had always been so."""
    copy = folder.with_name("copy")

    def write(staging):
        for path in folder.iterdir():
            if path.name != "manifest.json":
                shutil.copy(path, staging)
        change(staging)

    commit_directory(copy, write, schema=REFERRING_SCHEMA)
    return copy


def test_round_trip(prepared, records):
    about, found = read_split(prepared, "val")
    assert found == records
    assert about == read_about(prepared)
    images = len({record.image_id for record in records})
    assert about.splits == {"val": ReferringCounts(images=images, expressions=40)}
    assert about.source == "refcoco/unc"


def test_masks_and_expressions_of_nothing_travel(tmp_path):
    records = read_expression_document(FILES / "refcocos_train_part.json", source="refcocos")
    write_prepared(tmp_path / "prepared", records)
    _, found = read_split(tmp_path / "prepared", "train")
    assert found == records
    assert [record.distractors for record in found][:2] == [8, 12]
    assert any(not record.regions for record in found)
    assert any(region.mask for record in found for region in record.regions)


def test_the_identity_is_that_of_the_records(tmp_path, records):
    same = write_prepared(tmp_path / "a", records)
    again = write_prepared(tmp_path / "b", [dataclasses.replace(record) for record in records])
    assert same == again
    assert len(same.dataset_sha256) == 64
    assert same.dataset_sha256 != _changed(tmp_path / "c", records, expression="another").dataset_sha256
    assert same.dataset_sha256 != _changed(tmp_path / "d", records, split="testA").dataset_sha256


def _changed(out, records, **change) -> AboutReferring:
    return write_prepared(out, [dataclasses.replace(records[0], **change), *records[1:]])


def test_splits_may_number_their_expressions_alike(tmp_path, records):
    other = [dataclasses.replace(record, split="testA") for record in records]
    about = write_prepared(tmp_path / "prepared", [*records, *other])
    assert list(about.splits) == ["val", "testA"]
    assert read_split(tmp_path / "prepared", "testA")[1] == other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expression_id": 2}, "appears a second time: a split is one file."),
        ({"source": "refcoco/google"}, "is of 'refcoco/unc', others of 'refcoco/google'."),
        ({"split": "../val"}, "the split must be letters, digits and _ . + -, at most 64."),
        ({"split": "a" * 65}, "the split must be letters, digits and _ . + -, at most 64."),
        ({"height": 7}, "image 580957 is ('COCO_train2014_000000580957.jpg', 428, 640), and elsewhere"),
    ],
)
def test_records_that_contradict_each_other(tmp_path, records, change, message):
    with pytest.raises(DataError) as caught:
        _changed(tmp_path / "prepared", records, **change)
    assert message in caught.value.message
    assert caught.value.obj.startswith("expression ")
    assert list(tmp_path.iterdir()) == []


def test_no_record_is_no_dataset(tmp_path):
    with pytest.raises(DataError, match=r"there is none\."):
        write_prepared(tmp_path / "prepared", [])


def test_a_split_that_is_not_there(prepared):
    with pytest.raises(DataError, match=r"has no split 'test'; it has \['val'\]\."):
        read_split(prepared, "test")


def test_damage_is_noticed(prepared):
    path = prepared / "val.jsonl"
    path.write_text(path.read_text().replace("bowl", "dish", 1))
    with pytest.raises(IntegrityError, match=r"changed val\.jsonl"):
        read_split(prepared, "val")


def test_records_changed_behind_a_new_manifest_are_another_dataset(prepared):
    def change(folder):
        path = folder / "val.jsonl"
        path.write_text(path.read_text().replace("bowl", "dish", 1))

    with pytest.raises(IntegrityError, match=r"names dataset [0-9a-f]{12}, its records are those of "):
        read_about(recommit(prepared, change))


@pytest.mark.parametrize(
    "about",
    [
        [],
        {},
        {"dataset_sha256": "x", "source": "x", "splits": []},
        {"dataset_sha256": "x", "source": "x", "splits": {"val": {"images": 1}}},
    ],
    ids=str,
)
def test_about_that_describes_nothing(prepared, about):
    copy = recommit(prepared, lambda folder: (folder / "dataset.json").write_text(json.dumps(about)))
    with pytest.raises(DataError, match=r"does not describe prepared expressions \("):
        read_about(copy)


def relabel(folder, lines):
    """Write other lines, and the identity that fits them."""
    (folder / "val.jsonl").write_text("".join(f"{line}\n" for line in lines))
    about = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").unlink()
    about["dataset_sha256"] = describe(folder, schema=REFERRING_SCHEMA).sha256
    (folder / "dataset.json").write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "holds 39 expressions about 6 images; dataset.json says 40 about 7."),
        (lambda lines: [*lines[:-1], "[]"], "is not a record (TypeError"),
        (lambda lines: [*lines[:-1], '{"expression_id":1}'], "is not a record (KeyError: 'regions')."),
    ],
)
def test_lines_that_are_no_records(prepared, change, message):
    lines = (prepared / "val.jsonl").read_text().splitlines()
    copy = recommit(prepared, lambda folder: relabel(folder, change(lines)))
    with pytest.raises(DataError) as caught:
        read_split(copy, "val")
    assert message in caught.value.message
