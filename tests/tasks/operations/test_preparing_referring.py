"""Every form in which the authors hand expressions around, and no directory lost."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

from tasks.data.commit import verify_directory
from tasks.data.referring_prepared import read_split
from tasks.errors import DataError, UnavailableError, UsageError
from tasks.operations.preparing_referring import prepare_referring

FILES = Path(__file__).resolve().parents[2] / "data" / "referring"
INSTANCES = {
    "images": [{"id": 9, "file_name": "COCO_train2014_000000000009.jpg", "height": 6, "width": 8}],
    "annotations": [
        {
            "id": 1,
            "image_id": 9,
            "category_id": 1,
            "bbox": [0, 0, 3, 3],
            "segmentation": [[0, 0, 3, 0, 3, 3]],
        },
        {
            "id": 2,
            "image_id": 9,
            "category_id": 1,
            "bbox": [2, 2, 3, 3],
            "segmentation": [[2, 2, 5, 2, 5, 5]],
        },
    ],
}


def reference(number, ann_id, split="val"):
    sentences = [{"sent_id": number, "sent": "left man"}]
    return {"ref_id": number, "ann_id": ann_id, "image_id": 9, "split": split, "sentences": sentences}


@pytest.fixture
def instances(tmp_path):
    (tmp_path / "instances.json").write_text(json.dumps(INSTANCES))
    return tmp_path / "instances.json"


def test_official_lines_of_two_splits(tmp_path):
    files = [f"val={FILES / 'refcoco_val.jsonl'}", f"testA={FILES / 'refcoco_val.jsonl'}"]
    about = prepare_referring(files, source="refcoco/unc", out=tmp_path / "out")
    assert {name: counts.expressions for name, counts in about.splits.items()} == {"val": 40, "testA": 40}
    assert read_split(tmp_path / "out", "testA")[0] == about
    assert verify_directory(tmp_path / "out").provenance == {"source": "refcoco/unc"}


def test_documents_with_and_without_masks(tmp_path):
    files = [str(FILES / "refcocos_val.json"), str(FILES / "refcocos_train_part.json")]
    about = prepare_referring(files, source="refcocos", out=tmp_path / "a")
    boxes = prepare_referring(files, source="refcocos", out=tmp_path / "b", masks=False)
    assert {name: counts.expressions for name, counts in about.splits.items()} == {"val": 18, "train": 6}
    assert boxes.dataset_sha256 != about.dataset_sha256


def test_pickles_and_several_targets(tmp_path, instances):
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps([reference(1, 1), reference(2, 2, "testA")], 2))
    about = prepare_referring(
        [str(tmp_path / "refs(unc).p")], source="refcoco/unc", out=tmp_path / "a", instances=instances
    )
    assert list(about.splits) == ["val", "testA"]
    (tmp_path / "grefs(unc).json").write_text(json.dumps([reference(1, [1, 2]), reference(2, [-1])]))
    prepare_referring(
        [str(tmp_path / "grefs(unc).json")], source="grefcoco/unc", out=tmp_path / "b", instances=instances
    )
    _, records = read_split(tmp_path / "b", "val")
    assert [len(record.regions) for record in records] == [2, 0]


FORMS = "Say SPLIT=FILE.jsonl for one JSON object a line"


@pytest.mark.parametrize("name", ["refcoco_val.jsonl", "README.md"])
def test_a_form_that_can_not_be_told(tmp_path, name):
    with pytest.raises(UsageError) as caught:
        prepare_referring([str(FILES / name)], source="refcoco/unc", out=tmp_path / "out")
    assert caught.value.message == "its form cannot be told."
    assert caught.value.hint.startswith(FORMS)
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_needs_its_instances(tmp_path):
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps([reference(1, 1)], 2))
    with pytest.raises(UsageError, match="its form cannot be told"):
        prepare_referring([str(tmp_path / "refs(unc).p")], source="refcoco/unc", out=tmp_path / "out")


def test_absent_files_are_named(tmp_path, instances):
    with pytest.raises(UnavailableError, match=r"gone\.jsonl: does not exist\."):
        prepare_referring([f"val={tmp_path / 'gone.jsonl'}"], source="x", out=tmp_path / "out")
    (tmp_path / "refs(unc).p").write_bytes(pickle.dumps([reference(1, 1)], 2))
    instances.unlink()
    with pytest.raises(UnavailableError) as caught:
        prepare_referring(
            [str(tmp_path / "refs(unc).p")], source="x", out=tmp_path / "out", instances=instances
        )
    assert caught.value.hint == "Name the instances.json of the same dataset."


def test_one_split_twice_is_refused(tmp_path):
    files = [f"val={FILES / 'refcoco_val.jsonl'}"] * 2
    with pytest.raises(DataError, match="expression 1 of split 'val': appears a second time"):
        prepare_referring(files, source="refcoco/unc", out=tmp_path / "out")


def test_only_an_earlier_result_is_replaced(tmp_path):
    precious = tmp_path / "precious"
    shutil.copytree(FILES, precious)
    kept = sorted(path.name for path in precious.iterdir())
    files = [f"val={FILES / 'refcoco_val.jsonl'}"]
    with pytest.raises(UsageError) as caught:
        prepare_referring(files, source="refcoco/unc", out=precious)
    assert "only an earlier 'groundwork.referring_prepared/1' is replaced" in caught.value.message
    assert sorted(path.name for path in precious.iterdir()) == kept
    (tmp_path / "empty").mkdir()
    prepare_referring(files, source="refcoco/unc", out=tmp_path / "empty")
    prepare_referring(files, source="refcoco/unc", out=tmp_path / "empty")
    (tmp_path / "empty" / "manifest.json").write_text("{")
    with pytest.raises(UsageError, match="did not write"):
        prepare_referring(files, source="refcoco/unc", out=tmp_path / "empty")
