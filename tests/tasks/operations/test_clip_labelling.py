import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from tasks.data.commit import hash_file, verify_directory
from tasks.data.label_directory import open_labels
from tasks.data.label_maps import UNLABELLED, read_label_map
from tasks.data.semantic_datasets import SemanticFolders, read_semantic
from tasks.errors import DataError, UnavailableError, UsageError
from tasks.operations.clip_labelling import CLIP_LABELS_SCHEMA, DOCUMENT, PAGE, ClipLabelling, label_images
from tasks.operations.clip_shards import ClipParameters
from tests.models.segmentation.tiny_clip import save_tiny_clip
from tests.tasks.operations.labelling import shapes

ROOT = Path(__file__).resolve().parents[3]
SMALL = ClipParameters(shortest=32, longest=128)
TEMPLATES = ("a {}.", "the {} in the scene.")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def wanted(tmp_path, weights):
    classes = tmp_path / "classes.txt"
    classes.write_text("background: sky, grass\ncircle\nsquare: square, box\n")
    return ClipLabelling(
        images=shapes(tmp_path / "world"), classes=classes, weights=str(weights), out=tmp_path / "out",
        parameters=SMALL, templates=TEMPLATES, shard_images=2,
    )  # fmt: skip


def test_a_folder_becomes_label_maps_that_a_student_can_learn_from(wanted, weights, tmp_path):
    said = []
    found = label_images(wanted, say=said.append)
    manifest = verify_directory(wanted.out, schema=CLIP_LABELS_SCHEMA)
    assert manifest.sha256 == found.pop("manifest_sha256")
    assert manifest.files.keys() >= {DOCUMENT, PAGE, "records.jsonl", "classes.json", "README.md"}
    assert json.loads((wanted.out / DOCUMENT).read_text()) == found
    labels = open_labels(wanted.out, "train")
    assert labels.classes.names == ("background", "circle", "square")
    assert labels.classes.background == (0,)
    assert [record.image for record in labels.records] == [
        f"train/train_00{number}.jpg" for number in range(5)
    ]
    folders = SemanticFolders(images=wanted.images, labels=wanted.out, classes=labels.classes)
    for record in labels.records:
        assert record.sha256 == hash_file(wanted.images / record.image)
        pixels, targets = read_semantic(record, folders)
        assert pixels.shape[1:] == targets.shape == (48, 48)
        assert 0 <= int(targets.min()) <= int(targets.max()) <= 2
    assert found["weights"]["files"]["model.safetensors"] == hash_file(weights / "model.safetensors")
    assert found["words"]["square"] == ["square", "box"]
    assert found["templates"]["count"] == 2
    assert found["parameters"]["shortest"] == 32
    assert found["counts"]["labelled"] == found["counts"]["pixels"] == 5 * 48 * 48
    assert str(tmp_path) not in json.dumps(found)
    assert "labelling 5/5, clip" in said
    assert any(line.startswith(f"CLIP {weights}, revision none, sha256 ") for line in said)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_plain_folder_is_labelled_whole(wanted):
    world = wanted.images
    (world / "train" / "deep").mkdir()
    (world / "train" / "train_004.jpg").rename(world / "train" / "deep" / "x.JPG")
    (world / "train" / "notes.txt").touch()
    (world / "train" / "deep" / "LICENSE").write_text("CC0")
    said = []
    label_images(replace(wanted, images=world / "train", split="all"), say=said.append)
    records = open_labels(wanted.out, "all").records
    assert [record.image for record in records][:2] == ["deep/x.JPG", "train_000.jpg"]
    assert records[0].label == "labels/deep/x.png"
    assert any(line.startswith("2 files of ") and line.endswith("are left out") for line in said)


def test_what_is_not_sure_stays_unlabelled(wanted):
    everything = label_images(wanted)
    limit = everything["counts"]["mean_confidence"]
    found = label_images(replace(wanted, parameters=replace(SMALL, confidence=limit)))
    assert 0 < found["counts"]["share"] < 1
    record = open_labels(wanted.out, "train").records[0]
    labels = read_label_map(wanted.out / record.label, values=(0, 1, 2))
    assert UNLABELLED in np.concatenate([labels.ravel(), [UNLABELLED]])
    wanted.classes.write_text("é\nü\n")  # unknown to the tokenizer: one is as likely as the other
    with pytest.raises(DataError, match=r"no pixel is as sure as 0\.6") as caught:
        label_images(replace(wanted, parameters=replace(SMALL, confidence=0.6)))
    assert caught.value.obj == "--confidence"
    assert open_labels(wanted.out, "train").records[0] == record  # what was there is still there


SCRIPT = """
import sys
from pathlib import Path
from tasks.operations.clip_labelling import ClipLabelling, label_images
from tasks.operations.clip_shards import ClipParameters
if __name__ == "__main__":
    images, classes, weights, out = sys.argv[1:]
    label_images(ClipLabelling(
        images=Path(images), classes=Path(classes), weights=weights, out=Path(out), shard_images=1,
        parameters=ClipParameters(shortest=32, longest=128), templates=("a {}.", "the {} in the scene."),
    ))
"""


@pytest.mark.slow
def test_killed_the_same_command_goes_on_and_gives_the_same_bytes(wanted, tmp_path):
    """Slow because the process that is killed imports all there is."""
    wanted = replace(wanted, images=shapes(tmp_path / "more", images=20), shard_images=1)
    straight, killed = (replace(wanted, out=tmp_path / name / "out") for name in ("straight", "killed"))
    label_images(straight)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            SCRIPT,
            *map(str, (wanted.images, wanted.classes, wanted.weights, killed.out)),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    parts = killed.out.parent / ".out.parts"
    while not (parts / "part-000002.jsonl").exists() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not killed.out.exists()
    finished = len(list(parts.glob("part-*.jsonl")))
    assert 3 <= finished < 20
    (parts / "part-000000.jsonl").write_bytes(b"bad")
    said = []
    label_images(killed, say=said.append)
    assert f"going on: {finished - 1} of 20 parts are finished" in said
    assert not any(line.startswith("reading ") for line in said)  # words were embedded before the kill
    names = verify_directory(straight.out).files
    for name in (*names, "manifest.json"):
        assert (killed.out / name).read_bytes() == (straight.out / name).read_bytes()
    assert not parts.exists()


def test_parts_of_other_images_are_made_again(wanted):
    world = wanted.images / "train"
    broken = (world / "train_004.jpg").read_bytes()
    (world / "train_004.jpg").write_bytes(broken[:100])
    with pytest.raises(DataError, match=r"train_004\.jpg"):
        label_images(wanted)
    (world / "train_004.jpg").write_bytes(broken)
    (world / "train_001.jpg").write_bytes((world / "train_000.jpg").read_bytes())
    said = []
    label_images(wanted, say=said.append)
    assert "removed part-000000.jsonl: it is of another train/train_001.jpg" in said
    assert "going on: 1 of 3 parts are finished" in said
    first, second = open_labels(wanted.out, "train").records[:2]
    assert first.sha256 == second.sha256
    assert first.label_sha256 == second.label_sha256


@pytest.mark.slow
def test_workers_give_the_same_bytes(wanted):
    """Slow because every process imports all there is."""
    alone = label_images(wanted)
    together = label_images(replace(wanted, workers=2))
    assert together["manifest_sha256"] == alone["manifest_sha256"]


def test_places_that_cannot_be(wanted, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="is not a directory"):
        label_images(replace(wanted, images=tmp_path / "none"))
    with pytest.raises(UsageError, match="overlaps"):
        label_images(replace(wanted, out=wanted.images / "out"))
    with pytest.raises(UsageError, match=r"holds no image: no file ends in \.bmp, "):
        label_images(replace(wanted, split="test"))
    twice = wanted.images / "train" / "train_000.png"
    twice.touch()
    with pytest.raises(DataError, match=r"'train/train_000\.png' would have the same label map"):
        label_images(wanted)
    twice.unlink()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="holds files that this command did not write"):
        label_images(replace(wanted, out=tmp_path / "mine"))
    with pytest.raises(UsageError, match=r"must be at least 1, got 0") as caught:
        replace(wanted, workers=0)
    assert caught.value.obj == "--workers"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match="and the hub was not reached"):
        label_images(replace(wanted, weights="lab/clip"))
    assert not wanted.out.exists()
