"""All rules together: silent on good data, complete on bad data."""

import shutil
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.coco import CocoSplit
from tasks.data.tables import annotation_tables
from tasks.data.validation import inspect_dataset
from tasks.data.validators_geometry import check_geometry
from tasks.data.validators_tables import check_tables
from tests.tiny.faults import edited, manifest_of
from tests.tiny.shapes import write_shapes_world

SAMPLE = Path(__file__).parents[3] / "data" / "sample"


def test_the_real_sample_has_no_finding():
    inspection = inspect_dataset(SAMPLE, manifest_of(SAMPLE))
    assert inspection.findings.lines() == []
    assert inspection.counts == {
        "train": {
            "images": 120,
            "regions": 5579,
            "crowds": 0,
            "regions_per_category": {"nucleus": 5579},
        },
        "val": {"images": 39, "regions": 1937, "crowds": 0, "regions_per_category": {"nucleus": 1937}},
    }


def test_shapes_world_has_no_finding(tmp_path):
    folder = write_shapes_world(tmp_path)
    assert inspect_dataset(folder, manifest_of(folder)).findings.total == 0


def test_many_faults_at_once_are_all_counted(tmp_path):
    folder = write_shapes_world(tmp_path)
    shutil.copy(folder / "val" / "val_000.jpg", folder / "train" / "train_000.jpg")
    (folder / "train" / "train_001.jpg").write_bytes(b"<html>")
    (folder / "val" / "extra.jpg").write_bytes(b"")
    with edited(folder, "train") as document:
        for row in document["annotations"]:
            row["bbox"][2] = -1
        document["annotations"][0]["id"] = document["annotations"][1]["id"]
    with edited(folder, "val") as document:
        document["annotations"][0]["segmentation"] = [[0, 0, 1e9, 0, 1e9, 1e9]]
    findings = inspect_dataset(folder, manifest_of(folder)).findings
    assert findings.counts == {
        "box-invalid": 27,
        "id-duplicate": 1,
        "image-not-an-image": 1,
        "image-unlisted": 1,
        "leak-sha256": 1,
        "polygon-invalid": 1,
    }


def test_a_class_without_data_is_shown(tmp_path):
    folder = write_shapes_world(tmp_path)
    with edited(folder, "val") as document:
        document["annotations"] = [row for row in document["annotations"] if row["category_id"] != 3]
    inspection = inspect_dataset(folder, manifest_of(folder))
    assert inspection.findings.total == 0
    assert inspection.counts["val"]["regions_per_category"]["triangle"] == 0


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CELLS = {
    "images": ["id", "file_name", "width", "height"],
    "annotations": ["id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd"],
    "categories": ["id", "name"],
}


@given(st.data())
@settings(derandomize=True, deadline=None, max_examples=300)
def test_junk_in_any_cell_never_stops_the_rules(data):
    rows = {
        "images": {"id": 1, "file_name": "a.jpg", "width": 20, "height": 10},
        "annotations": {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25},
        "categories": {"id": 1, "name": "cell"},
    }
    rows["annotations"]["segmentation"] = [[1, 1, 6, 1, 6, 6, 1, 6]]
    for table, row in rows.items():
        for name in data.draw(st.sets(st.sampled_from(CELLS[table]), max_size=2)):
            row[name] = data.draw(JUNK)
    if data.draw(st.booleans()):
        rows["annotations"]["segmentation"] = {"size": data.draw(JUNK), "counts": data.draw(JUNK)}
    split = CocoSplit(name="val", file="x", **{table: (row,) for table, row in rows.items()})
    list(check_tables([split, split]))
    list(check_geometry(split))
    annotation_tables([split])
