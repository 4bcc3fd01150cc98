"""Bad data stops the stage with its code, its list, and without a report that could be mistaken for one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.data.importing import import_coco
from tasks.errors import DataError, IntegrityError, UsageError
from tasks.stages.validate_coco import run
from tests.tiny.faults import commit_as_it_is, edited
from tests.tiny.shapes import write_shapes_world

ROOT = Path(__file__).parents[3]
CONTRACT = ROOT / "configs" / "expectations" / "coco_instances.yaml"


@pytest.fixture
def world(tmp_path):
    return write_shapes_world(tmp_path / "world")


def validate(dataset, contract=CONTRACT):
    out = dataset.parent / "validation" / "report.json"
    run(dataset=dataset, contract=contract, out=out)
    return json.loads(out.read_text())


def test_good_data(world, tmp_path):
    manifest = import_coco(world, tmp_path / "dataset")
    report = validate(tmp_path / "dataset")
    assert report["schema"] == "groundwork.validation/1"
    assert report["dataset_sha256"] == manifest.sha256
    assert report["passed"] is True
    assert report["findings"] == {}
    assert report["counts"]["train"]["images"] == 8
    assert len(report["expectations"]) == 44
    assert all(outcome["passed"] and outcome["rows"] > 0 for outcome in report["expectations"])
    before = (tmp_path / "validation" / "report.json").read_bytes()
    validate(tmp_path / "dataset")
    assert (tmp_path / "validation" / "report.json").read_bytes() == before


def test_bad_data(world, tmp_path, capsys):
    with edited(world, "train") as document:
        for row in document["annotations"][:12]:
            row["bbox"][0] = -50
        document["annotations"][13]["id"] = document["annotations"][14]["id"]
    commit_as_it_is(world)
    out = tmp_path / "validation" / "report.json"
    out.parent.mkdir()
    out.write_text("an older report")
    with pytest.raises(DataError) as caught:
        validate(world)
    assert not out.exists()
    assert caught.value.message == "12 box-outside, 1 id-duplicate; 2 of 44 expectations broken."
    assert str(out.with_name("failed.json")) in caught.value.hint
    lines = capsys.readouterr().err.splitlines()
    assert (
        sum(line.startswith("box-outside: annotations/instances_train.json: annotation") for line in lines)
        == 10
    )
    assert "box-outside: and 2 more" in lines
    assert any(
        line.startswith("expect_column_values_to_be_unique: annotations.region_id: 2 of 42") for line in lines
    )
    failed = json.loads(out.with_name("failed.json").read_text())
    assert failed["passed"] is False
    assert failed["findings"]["box-outside"]["count"] == 12


def test_a_pass_removes_the_list_of_an_earlier_failure(world, tmp_path):
    import_coco(world, tmp_path / "dataset")
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "failed.json").write_text("{}")
    validate(tmp_path / "dataset")
    assert [path.name for path in (tmp_path / "validation").iterdir()] == ["report.json"]


def test_an_empty_split_cannot_pass(world):
    with edited(world, "val") as document:
        document["images"], document["annotations"] = [], []
    for path in (world / "val").iterdir():
        path.unlink()
    commit_as_it_is(world)
    with pytest.raises(DataError, match="2 split-empty"):
        validate(world)


def test_the_contract_alone_can_fail(world, tmp_path):
    import_coco(world, tmp_path / "dataset")
    strict = CONTRACT.read_text().replace(
        "{name: width, between: [8, 16384]}", "{name: width, between: [8, 32]}"
    )
    (tmp_path / "strict.yaml").write_text(strict)
    with pytest.raises(DataError, match=r"dataset: 1 of 44 expectations broken\."):
        validate(tmp_path / "dataset", tmp_path / "strict.yaml")


def test_changed_bytes_and_missing_contracts(world, tmp_path):
    import_coco(world, tmp_path / "dataset")
    with pytest.raises(UsageError, match="no such file"):
        validate(tmp_path / "dataset", tmp_path / "nothing.yaml")
    with pytest.raises(IntegrityError, match="no readable manifest"):
        validate(world)


def test_the_command_line_ends_with_5_for_a_flipped_bit(world, tmp_path):
    import_coco(world, tmp_path / "dataset")
    image = tmp_path / "dataset" / "val" / "val_000.jpg"
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 1
    image.write_bytes(content)
    done = command(tmp_path)
    assert done.returncode == 5
    assert "changed val/val_000.jpg" in done.stderr


def test_the_command_line_ends_with_3_for_annotations_that_are_cut(world, tmp_path):
    path = world / "annotations" / "instances_val.json"
    path.write_bytes(path.read_bytes()[:1000])
    commit_as_it_is(world)
    world.rename(tmp_path / "dataset")
    done = command(tmp_path)
    assert done.returncode == 3
    assert "error[data-invalid]" in done.stderr
    assert "instances_val.json: invalid JSON at byte " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "report.json").exists()


def command(folder):
    arguments = ["--dataset", folder / "dataset", "--contract", CONTRACT, "--out", folder / "report.json"]
    return subprocess.run(
        [sys.executable, "-m", "tasks.stages.validate_coco", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
