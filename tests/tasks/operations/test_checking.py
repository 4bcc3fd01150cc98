import json
from pathlib import Path

import pytest

from tasks.errors import DataError
from tasks.operations.checking import check_folder
from tests.tiny.shapes import write_shapes_world

ROOT = Path(__file__).resolve().parents[3]


def test_a_good_folder(tmp_path):
    found = check_folder(write_shapes_world(tmp_path / "shapes"), ROOT)
    assert found["passed"]
    assert found["counts"]["train"]["images"] == 8
    assert found["summary"].startswith("every rule holds")


def test_what_is_wrong_is_named_and_counted(tmp_path):
    folder = write_shapes_world(tmp_path / "shapes")
    path = folder / "annotations" / "instances_val.json"
    document = json.loads(path.read_text())
    document["annotations"][0]["bbox"][2] = -3
    document["images"][0]["width"] += 1
    path.write_text(json.dumps(document))
    with pytest.raises(DataError) as caught:
        check_folder(folder, ROOT)
    assert "image-size-mismatch" in caught.value.message
    assert str(document["annotations"][0]["id"]) in caught.value.message
    assert caught.value.exit_code == 3


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(DataError, match="is no directory"):
        check_folder(tmp_path / "nothing", ROOT)
