"""From scribbles to a committed model that names pixels, and what is refused on the way."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from models.segmentation.semantic_hub import SemanticSegmenter
from tasks.data.commit import read_manifest, verify_directory
from tasks.errors import DataError, IntegrityError, UsageError
from tasks.operations.fit_request import SEMANTIC_SCHEMA, FitRequest
from tasks.operations.fitting import fit
from tests.tasks.operations.tiny_semantic import scribbled_world

ROOT = Path(__file__).resolve().parents[3]
CHANGES = ("num_classes=4", "crops.size=48", "training.log_every=1")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return scribbled_world(tmp_path_factory.mktemp("inputs"))


def request(inputs, out, **given):
    usual = {
        "recipe": "tiny_scribbles", "data": inputs[1], "images": inputs[0], "out": out, "steps": 2,
        "changes": CHANGES, "small": True,
    }  # fmt: skip
    return FitRequest(**(usual | given))


def run(wanted):
    return fit(wanted, ROOT, say=lambda _: None)


@pytest.fixture(scope="module")
def fitted(inputs, tmp_path_factory):
    torch.set_num_threads(1)
    wanted = request(inputs, tmp_path_factory.mktemp("fitted") / "model")
    return wanted, run(wanted)


def test_what_is_committed(fitted, inputs):
    wanted, document = fitted
    manifest = verify_directory(wanted.out, schema=SEMANTIC_SCHEMA)
    assert sorted(manifest.files) == ["config.json", "history.jsonl", "model.safetensors"]
    assert (document["sha256"], document["steps"]) == (manifest.sha256, 2)
    assert manifest.provenance["labels_sha256"] == read_manifest(inputs[1]).sha256
    assert manifest.provenance["recipe"]["supervision"]["global_weight"] == 0.4
    history = [json.loads(line) for line in (wanted.out / "history.jsonl").read_text().splitlines()]
    assert history[-1]["loss"] == document["loss"]
    assert not wanted.checkpoints.exists()


def test_the_model_names_pixels(fitted):
    model = SemanticSegmenter.from_pretrained(fitted[0].out, local_files_only=True, use_safetensors=True)
    assert model.class_names == ("background", "circle", "square", "triangle")
    assert model.class_values == (0, 1, 2, 3)
    assert model.predict([np.full((40, 60, 3), 90, np.uint8)])[0].shape == (40, 60)


def test_equal_runs_are_equal_models(fitted, inputs, tmp_path):
    again = run(request(inputs, tmp_path / "model", changes=(*CHANGES, "training.micro_batch=4")))
    assert again["loss"] == fitted[1]["loss"]


def test_a_trained_backbone_is_taken_over(inputs, tmp_path):
    save_file(dict(resnet18().state_dict()), tmp_path / "r18.safetensors")
    said = []
    wanted = request(
        inputs, tmp_path / "model", changes=(*CHANGES, "norm=frozen"), steps=1,
        backbone=tmp_path / "r18.safetensors",
    )  # fmt: skip
    fit(wanted, ROOT, say=said.append)
    assert said[0] == "backbone: 100 weights taken over; missing none; unused 2 (fc.bias, fc.weight)"


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"changes": ()}, UsageError, r"2 classes, the data has 4\. Say `--set num_classes=4`"),
        ({"steps": 401}, UsageError, "must be between 1 and the 400 steps of the schedule, got 401"),
        ({"split": "val"}, UsageError, r"has no record of split 'val'; splits: train\. Name one of them"),
        ({"changes": (*CHANGES, "head=solo")}, UsageError, "must be one of 'deeplab', got 'solo'"),
    ],
)
def test_requests_that_do_not_fit_are_refused(inputs, tmp_path, given, kind, message):
    with pytest.raises(kind, match=message):
        run(request(inputs, tmp_path / "model", **given))
    assert not (tmp_path / "model").exists()


def test_other_images_are_refused(inputs, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        run(request(inputs, tmp_path / "model", images=tmp_path))
    other, _ = scribbled_world(tmp_path / "other")
    for path in (other / "train").iterdir():
        path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(IntegrityError, match=r"is not the image that was labelled: its sha256 differs"):
        run(request(inputs, tmp_path / "model", images=other))


def test_an_unfit_directory_is_refused(inputs, tmp_path):
    with pytest.raises(IntegrityError, match="manifest"):
        run(request(inputs, tmp_path / "model", data=inputs[0]))
    wanted = replace(request(inputs, tmp_path / "model"), recipe="tiny_solo", changes=(), small=False)
    with pytest.raises(DataError, match=r"dataset\.json"):
        run(wanted)
