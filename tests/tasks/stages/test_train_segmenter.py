"""Training: from boxes alone, to the bit, through kills, stops and damage."""

import json
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from tasks.data.commit import read_manifest, verify_directory
from tasks.data.prepared import read_about
from tasks.errors import DataError, InterruptedRun
from tasks.stages import train_segmenter
from tasks.stages.train_segmenter import TrainingDiverged, run
from tests.models.segmentation.tiny import training
from tests.tasks.stages.tiny_training import prepare, start
from tests.tiny.shapes import CATEGORIES, write_shapes_world


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(inputs, folder, **changes):
    run(training(**changes), **inputs, checkpoints=folder / "checkpoints", out=folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """An uninterrupted run."""
    torch.set_num_threads(1)
    return train(inputs, tmp_path_factory.mktemp("whole"))


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_what_is_committed(inputs, whole):
    manifest = verify_directory(whole, schema="groundwork.segmenter/1")
    assert sorted(manifest.files) == ["config.json", "history.jsonl", "model.safetensors"]
    assert manifest.provenance["dataset_sha256"] == read_about(inputs["about"]).dataset_sha256
    assert sorted(manifest.provenance) == [
        "config",
        "dataset_sha256",
        "params_sha256",
        "prepared_sha256",
        "seed",
        "steps",
        "threads",
        "torch",
    ]
    history = [json.loads(line) for line in (whole / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in history] == [2, 4, 6]
    assert {"loss", "loss_classification", "loss_projection", "loss_global", "learning_rate"} <= history[
        0
    ].keys()
    assert "seconds" not in history[0]
    assert json.loads((whole / "config.json").read_text())["category_names"] == list(CATEGORIES)
    assert list((whole.parent / "checkpoints").iterdir()) == []


def test_the_same_run_gives_the_same_bytes(inputs, whole, tmp_path):
    assert read_manifest(train(inputs, tmp_path)).sha256 == read_manifest(whole).sha256


def test_masks_are_never_seen(whole, tmp_path):
    world = write_shapes_world(tmp_path / "world", num_train=4, num_val=2)
    path = world / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    for annotation in document["annotations"]:
        annotation["segmentation"], annotation["area"] = {"size": [1, 1], "counts": "garbage"}, -7
    path.write_text(json.dumps(document))
    poisoned = train(prepare(tmp_path, world), tmp_path)
    assert weights(poisoned) == weights(whole)


def test_a_killed_run_resumes_to_the_bit(inputs, whole, tmp_path):
    process = start(inputs, tmp_path)
    wait_for(tmp_path / "checkpoints" / "step-2", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    again = start(inputs, tmp_path)
    said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert "resumed from step-" in said
    assert read_manifest(tmp_path / "out").files == read_manifest(whole).files


def test_a_stopped_run_writes_a_checkpoint_and_resumes_to_the_bit(inputs, whole, tmp_path):
    changes = {"checkpoint_every": 100}
    process = start(inputs, tmp_path, **changes)
    history = tmp_path / "checkpoints" / "history.jsonl"
    wait_for(history, process, text='"step": 2')
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)
    assert process.returncode == 7, said
    assert "stopped by SIGTERM after step" in said
    assert weights(train(inputs, tmp_path, **changes)) == weights(whole)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(inputs, whole, tmp_path, monkeypatch, capfd):
    interrupt_at(monkeypatch, 5)
    with pytest.raises(InterruptedRun, match=r"stopped by SIGTERM after step 5 of 6\."):
        train(inputs, tmp_path)
    monkeypatch.undo()
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step-*"))
    assert kept == ["step-4", "step-5"]
    with (tmp_path / "checkpoints" / "step-5" / "state.safetensors").open("r+b") as stream:
        stream.truncate(1000)
    out = train(inputs, tmp_path)
    said = capfd.readouterr().err
    assert "skipped step-5: 1 problems in 2 files: changed state.safetensors." in said
    assert "resumed from step-4" in said
    assert weights(out) == weights(whole)


def test_a_checkpoint_of_another_run_is_not_resumed(inputs, whole, tmp_path, monkeypatch, capfd):
    interrupt_at(monkeypatch, 3)
    with pytest.raises(InterruptedRun):
        train(inputs, tmp_path, learning_rate=5e-4)
    monkeypatch.undo()
    out = train(inputs, tmp_path)
    assert "removed step-3: it belongs to a run with other parameters or data." in capfd.readouterr().err
    assert weights(out) == weights(whole)


def test_a_loss_that_is_no_number_names_the_images_and_keeps_the_checkpoint(inputs, tmp_path, monkeypatch):
    honest = train_segmenter.segmenter_losses

    def spoil(*arguments, step, **rest):
        losses = honest(*arguments, step=step, **rest)
        return losses | {"box": losses["box"] * (torch.nan if step == 3 else 1.0)}

    monkeypatch.setattr(train_segmenter, "segmenter_losses", spoil)
    with pytest.raises(
        TrainingDiverged, match=r"loss at step 3 is not finite .*'box': nan.*; images \[\d, \d\]\."
    ):
        train(inputs, tmp_path)
    assert load_file(tmp_path / "checkpoints" / "step-2" / "state.safetensors")
    assert not (tmp_path / "out").exists()


def test_an_image_that_changed_its_size_is_named(inputs, tmp_path):
    lines = inputs["prepared"].read_text().splitlines()
    first = json.loads(lines[0])
    first["height"], first["regions"] = first["height"] + 1, []
    changed = tmp_path / "train.jsonl"
    changed.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    with pytest.raises(DataError, match="the file is 64x64, the annotations say 64x65"):
        train({**inputs, "prepared": changed}, tmp_path)


def test_parameters_decide_the_run(inputs, whole, tmp_path):
    assert weights(train(inputs, tmp_path, seed=1)) != weights(whole)


def test_the_run_key_ignores_the_machine():
    provenance = {"dataset_sha256": "a", "prepared_sha256": "b", "params_sha256": "c", "torch": "2"}
    key = train_segmenter._run_key({**provenance, "threads": 1})
    assert key == train_segmenter._run_key({**provenance, "threads": 2})
    assert key != train_segmenter._run_key({**provenance, "torch": "3"})


def test_the_run_key_knows_the_code(monkeypatch):
    provenance = {"dataset_sha256": "a", "prepared_sha256": "b", "params_sha256": "c", "torch": "2"}
    key = train_segmenter._run_key(provenance)
    monkeypatch.setattr(train_segmenter, "_code", lambda: "another loop")
    assert train_segmenter._run_key(provenance) != key


def interrupt_at(monkeypatch, step):
    """Raise SIGTERM while a step is taken."""
    honest = train_segmenter.segmenter_losses

    def stop(*arguments, **rest):
        if rest["step"] == step - 1:
            signal.raise_signal(signal.SIGTERM)
        return honest(*arguments, **rest)

    monkeypatch.setattr(train_segmenter, "segmenter_losses", stop)


def wait_for(path, process, text=""):
    """Wait until a file or directory appears and, if asked, contains a text."""
    deadline = time.monotonic() + 120
    while not (path.exists() and (not text or text in path.read_text())):
        assert process.returncode is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
