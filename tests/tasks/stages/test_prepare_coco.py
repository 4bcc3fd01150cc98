"""Training records hold boxes and no trace of a mask; only validated data is prepared."""

import json

import pytest

from tasks.data.commit import commit_file, verify_directory
from tasks.data.importing import import_coco
from tasks.data.prepared import read_about, read_records
from tasks.errors import DataError, IntegrityError
from tasks.stages.prepare_coco import run
from tests.tiny.faults import edited
from tests.tiny.shapes import CATEGORIES, write_shapes_world


@pytest.fixture
def world(tmp_path):
    return write_shapes_world(tmp_path / "world", num_train=3, num_val=2)


def prepare(world, folder, **changes):
    """Import, state that validation passed, and prepare."""
    manifest = import_coco(world, folder / "dataset")
    report = {
        "schema": "groundwork.validation/1",
        "dataset_sha256": manifest.sha256,
        "passed": True,
        **changes,
    }
    commit_file(folder / "report.json", json.dumps(report).encode())
    run(dataset=folder / "dataset", validation=folder / "report.json", out=folder / "prepared")
    return folder / "prepared"


def test_what_is_written(world, tmp_path):
    out = prepare(world, tmp_path)
    manifest = verify_directory(out, schema="groundwork.prepared/1")
    assert sorted(manifest.files) == ["dataset.json", "train.jsonl", "val.jsonl"]
    about = read_about(out / "dataset.json")
    assert about.categories == CATEGORIES
    assert about.dataset_sha256 == verify_directory(tmp_path / "dataset").sha256
    for split, masks in (("train", False), ("val", True)):
        records = read_records(out / f"{split}.jsonl")
        regions = [region for record in records for region in record.regions]
        assert (about.splits[split].images, about.splits[split].regions) == (len(records), len(regions))
        assert all((region.mask is not None) is masks for region in regions)
        document = json.loads((world / f"annotations/instances_{split}.json").read_bytes())
        assert len(regions) == len(document["annotations"])


def test_the_same_data_gives_the_same_bytes(world, tmp_path):
    first = verify_directory(prepare(world, tmp_path / "a"))
    assert verify_directory(prepare(world, tmp_path / "b")) == first


def test_train_has_no_trace_of_a_mask(world, tmp_path):
    before = (prepare(world, tmp_path / "before") / "train.jsonl").read_bytes()
    assert b"mask" not in before
    assert b"area" not in before
    with edited(world, "train") as document:
        for number, row in enumerate(document["annotations"]):
            row["segmentation"] = [[0, 0, 1e9, number, "garbage", None]]
            row["area"] = -number
    assert (prepare(world, tmp_path / "after") / "train.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"passed": False}, "says that the dataset did not pass."),
        ({"passed": "true"}, "says that the dataset did not pass."),
        ({"dataset_sha256": "0" * 64}, "is about dataset 0000"),
        ({"schema": "x/1"}, "is not a report with schema"),
    ],
)
def test_data_that_nobody_checked(world, tmp_path, changes, message):
    with pytest.raises(DataError) as caught:
        prepare(world, tmp_path, **changes)
    assert message in caught.value.message
    assert caught.value.hint == "Run `dvc repro validate_coco`."
    assert not (tmp_path / "prepared").exists()


def test_no_report_or_other_bytes(world, tmp_path):
    prepare(world, tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        run(dataset=tmp_path / "dataset", validation=tmp_path / "none.json", out=tmp_path / "x")
    (tmp_path / "dataset" / "train" / "train_000.jpg").write_bytes(b"")
    with pytest.raises(IntegrityError, match=r"changed train/train_000\.jpg"):
        run(dataset=tmp_path / "dataset", validation=tmp_path / "report.json", out=tmp_path / "x")
    assert not (tmp_path / "x").exists()
