import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.data.commit import hash_file, verify_directory
from tasks.errors import DataError, IntegrityError, UnavailableError, UsageError
from tasks.operations.pseudo_labelling import (
    LABELS,
    PAGE,
    PSEUDO_LABELS_SCHEMA,
    PseudoLabelling,
    label_boxes,
)
from tests.tasks.operations.labelling import CATEGORIES, shapes, tiny_model

ROOT = Path(__file__).resolve().parents[3]


def read(out):
    return json.loads((out / LABELS).read_text())


def annotations(world):
    return world / "annotations" / "instances_train.json"


def rewrite(world, change):
    document = json.loads(annotations(world).read_text())
    change(document)
    annotations(world).write_text(json.dumps(document))


def test_a_folder_becomes_masks_with_provenance(tmp_path):
    world, out, said = shapes(tmp_path / "world"), tmp_path / "out", []
    given = json.loads(annotations(world).read_text())
    info = label_boxes(PseudoLabelling(source=world, out=out, shard_images=2), say=said.append)
    document = read(out)
    assert document.keys() == given.keys()
    for key in ("images", "categories", "licenses"):
        assert document[key] == given[key]
    assert document["info"].items() > given["info"].items()
    for row, before in zip(document["annotations"], given["annotations"], strict=True):
        assert before.items() < row.items()
        if row["category_id"] == 2:  # a square is its box: no mask can say more
            continue
        assert row.keys() - before.keys() == {"segmentation", "area", "score", "method"}
        assert isinstance(row["segmentation"]["counts"], str)
    provenance = document["info"]["groundwork"]
    assert provenance == {key: value for key, value in info.items() if key != "manifest_sha256"}
    assert provenance["schema"] == PSEUDO_LABELS_SCHEMA
    assert provenance["annotations_sha256"] == hash_file(annotations(world))
    assert provenance["code"].keys() == {"version", "commit", "dirty"}
    assert provenance["counts"]["boxes"] == len(given["annotations"])
    assert provenance["counts"]["masks"] == sum("score" in row for row in document["annotations"])
    assert provenance["counts"]["refused"].keys() == {"filled"}
    assert provenance["parameters"]["window_size"] == 32
    manifest = verify_directory(out, schema=PSEUDO_LABELS_SCHEMA)
    assert manifest.files.keys() == {LABELS, PAGE, "README.md"}
    assert manifest.sha256 == info["manifest_sha256"]
    assert "labelling 5/5, propagation" in said
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_masks_of_the_input_are_never_read(tmp_path):
    boxes = shapes(tmp_path / "boxes")
    label_boxes(PseudoLabelling(source=boxes, out=tmp_path / "clean"))
    poisons = [{"size": [1, 1], "counts": "\u0000"}, [[0] * 4], "x", None, [[1e300] * 6], 3]
    for name in ("masks", "poison"):
        world = shapes(tmp_path / name, masks=True)
        if name == "poison":
            rewrite(
                world,
                lambda document: [
                    row.update(segmentation=poisons[place % len(poisons)], area="poison")
                    for place, row in enumerate(document["annotations"])
                ],
            )
        label_boxes(PseudoLabelling(source=world, out=tmp_path / f"{name}-out"))
        assert read(tmp_path / f"{name}-out")["annotations"] == read(tmp_path / "clean")["annotations"]


def test_boxes_that_get_no_mask_stay_boxes(tmp_path):
    world = shapes(tmp_path / "world")

    def change(document):
        document["annotations"][0]["iscrowd"] = 1
        document["annotations"][1]["bbox"] = [0, 0, 48, 48]
        document["annotations"][2]["bbox"] = [3.2, 3.2, 0.5, 0.5]

    rewrite(world, change)
    label_boxes(PseudoLabelling(source=world, out=tmp_path / "out"))
    document = read(tmp_path / "out")
    first, second, third = document["annotations"][:3]
    assert [row["reason"] for row in (first, second)] == ["crowd", "bare"]
    assert third["reason"] in {"flat", "filled"}
    for row in (first, second, third):
        assert not row.keys() & {"segmentation", "score", "method"}
    assert second["area"] == 48 * 48
    about = document["info"]["groundwork"]
    assert about["counts"]["refused"].items() >= {"bare": 1, "crowd": 1}.items()
    assert about["reasons"].keys() == about["counts"]["refused"].keys()


def test_a_model_makes_the_masks(tmp_path):
    world, model = shapes(tmp_path / "world", images=2), tiny_model(tmp_path / "model")
    rewrite(world, lambda document: document["categories"][0].update(name="disc"))
    said = []
    label_boxes(PseudoLabelling(source=world, out=tmp_path / "out", model=model), say=said.append)
    assert "the model learnt other categories than the file has; masks do not depend on them" in said
    document = read(tmp_path / "out")
    about = document["info"]["groundwork"]
    assert about["model"] == {"sha256": verify_directory(model).sha256, "categories": CATEGORIES}
    assert about["parameters"]["mask_threshold"] == 0.5
    assert {row["method"] for row in document["annotations"] if "method" in row} == {"segmenter"}
    (model / "config.json").write_text("{}")
    with pytest.raises(IntegrityError, match=r"changed config\.json"):
        label_boxes(PseudoLabelling(source=world, out=tmp_path / "out", model=model))


SCRIPT = """
import sys
from pathlib import Path
from tasks.operations.pseudo_labelling import PseudoLabelling, label_boxes
if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    label_boxes(PseudoLabelling(source=source, out=out, shard_images=1))
"""


def test_killed_the_same_command_goes_on_and_gives_the_same_bytes(tmp_path):
    world = shapes(tmp_path / "world", images=24)
    straight, killed = (tmp_path / name / "out" for name in ("straight", "killed"))
    label_boxes(PseudoLabelling(source=world, out=straight, shard_images=1))
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(world), str(killed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    parts = killed.parent / ".out.parts"
    while not (parts / "part-000002.jsonl").exists() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not killed.exists()
    finished = len(list(parts.glob("part-*.jsonl")))
    assert 3 <= finished < 24
    (parts / ".tmp-leftover").write_text("half a shard")
    (parts / "part-000000.jsonl").write_bytes(b"bad")
    said = []
    label_boxes(PseudoLabelling(source=world, out=killed, shard_images=1), say=said.append)
    assert f"going on: {finished - 1} of 24 parts are finished" in said
    assert "removed .tmp-leftover: left over" in said
    assert any(line.startswith("removed part-000000.jsonl: it cannot be read") for line in said)
    for name in (LABELS, PAGE, "manifest.json"):
        assert (killed / name).read_bytes() == (straight / name).read_bytes()
    assert not parts.exists()


def test_parts_of_other_work_are_not_taken(tmp_path):
    world, out = shapes(tmp_path / "world", images=2), tmp_path / "out"
    broken = world / "train" / "train_001.jpg"
    content = broken.read_bytes()
    broken.write_bytes(content[:100])
    with pytest.raises(DataError, match=r"train_001\.jpg"):
        label_boxes(PseudoLabelling(source=world, out=out, shard_images=1))
    broken.write_bytes(content)
    rewrite(world, lambda document: document["annotations"][0].update(bbox=[1, 1, 9, 9]))
    said = []
    label_boxes(PseudoLabelling(source=world, out=out, shard_images=1), say=said.append)
    assert "removed part-000000.jsonl: it belongs to other work" in said
    assert read(out)["annotations"][0]["bbox"] == [1, 1, 9, 9]


def test_places_that_cannot_be(tmp_path):
    world, out = shapes(tmp_path / "world", images=1), tmp_path / "out"
    with pytest.raises(UsageError, match="no such file"):
        label_boxes(PseudoLabelling(source=world, out=out, split="test", images=world / "train"))
    with pytest.raises(UsageError, match="does not say where its images are"):
        label_boxes(PseudoLabelling(source=annotations(world), out=out))
    with pytest.raises(UsageError, match="is not a directory"):
        label_boxes(PseudoLabelling(source=world, out=out, images=tmp_path / "none"))
    with pytest.raises(UsageError, match="overlaps"):
        label_boxes(PseudoLabelling(source=world, out=world / "out"))
    (tmp_path / "mine").mkdir()
    with pytest.raises(UsageError, match="exists and was not made by this command"):
        label_boxes(PseudoLabelling(source=world, out=tmp_path / "mine"))
    with pytest.raises(UsageError, match=r"must be at least 1, got 0") as caught:
        PseudoLabelling(source=world, out=out, workers=0)
    assert caught.value.obj == "--workers"
    assert not out.exists()


def test_two_runs_do_not_write_to_one_place(tmp_path):
    world = shapes(tmp_path / "world", images=1)
    parts = tmp_path / ".out.parts"
    parts.mkdir()
    with (parts / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UnavailableError, match="another run is writing there"):
            label_boxes(PseudoLabelling(source=world, out=tmp_path / "out"))


def test_its_own_output_is_refused_as_input(tmp_path):
    world, out = shapes(tmp_path / "world", images=1), tmp_path / "out"
    label_boxes(PseudoLabelling(source=world, out=out))
    label_boxes(PseudoLabelling(source=world, out=out))  # replaced
    with pytest.raises(DataError, match="these are pseudo-labels already"):
        label_boxes(PseudoLabelling(source=out / LABELS, out=tmp_path / "again", images=world / "train"))
