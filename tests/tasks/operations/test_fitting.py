"""From prepared records to a committed model that predicts; what does not fit together is refused first."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from models.segmentation.instance_hub import InstanceSegmenter
from tasks.data.commit import read_manifest, verify_directory
from tasks.errors import DataError, IntegrityError, InterruptedRun, UsageError
from tasks.operations import fitting
from tasks.operations.fit_request import FitRequest
from tasks.operations.fitting import fit
from tasks.services.workers import Alone
from tests.tasks.stages.tiny_training import ROOT, prepare
from tests.tiny.shapes import CATEGORIES

CHANGES = ("num_categories=3", "images.crop=64", "training.log_every=1", "training.checkpoint_every=1")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("inputs"))


def request(inputs, out, **given):
    usual = {
        "recipe": "tiny_condinst",
        "data": inputs["about"].parent,
        "images": inputs["dataset"],
        "out": out,
        "steps": 2,
        "changes": CHANGES,
        "small": True,
    }
    return FitRequest(**(usual | given))


@pytest.fixture(scope="module")
def fitted(inputs, tmp_path_factory):
    torch.set_num_threads(1)
    said = []
    wanted = request(inputs, tmp_path_factory.mktemp("fitted") / "model")
    return wanted, fit(wanted, ROOT, say=said.append), said


def test_what_is_committed(fitted, inputs):
    wanted, document, said = fitted
    manifest = verify_directory(wanted.out, schema="groundwork.instance-segmenter/1")
    assert sorted(manifest.files) == ["config.json", "history.jsonl", "model.safetensors"]
    assert document["sha256"] == manifest.sha256
    assert (document["steps"], document["model"]) == (2, str(wanted.out))
    provenance = manifest.provenance
    assert provenance["recipe"]["num_categories"] == 3
    assert provenance["training"]["seed"] == 0
    assert (provenance["steps"], provenance["processes"]) == (2, 1)
    assert provenance["dataset_sha256"] == read_manifest(inputs["dataset"]).sha256
    history = [json.loads(line) for line in (wanted.out / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in history] == [1, 2]
    assert document["loss"] == history[-1]["loss"]
    assert "seconds" not in history[0]
    assert not wanted.checkpoints.exists()
    assert said[-1].startswith("training 2/2, 0 s left, loss ")


def test_the_model_predicts_in_the_pixels_of_the_image(fitted):
    model = InstanceSegmenter.from_pretrained(fitted[0].out, local_files_only=True, use_safetensors=True)
    assert model.category_names == CATEGORIES
    every = replace(model.recipe.prediction, score_threshold=0.0, detections_per_image=5)
    found = model.predict([np.full((40, 60, 3), 90, np.uint8)], every)[0]
    assert found.masks.shape[1:] == (40, 60)
    assert len(found.scores) <= 5


def test_an_interrupted_run_goes_on_to_the_same_bytes(fitted, inputs, tmp_path, monkeypatch):
    honest = fitting.train_recipe

    def stop_early(training, workers, say):
        honest(replace(training, steps=1), workers, say)
        training.checkpoints.joinpath("step-1").mkdir()  # as a run that was killed while it wrote
        raise InterruptedRun("stopped.", obj="x", hint="y")

    wanted = request(inputs, tmp_path / "model")
    monkeypatch.setattr(fitting, "train_recipe", stop_early)
    with pytest.raises(InterruptedRun):
        fit(wanted, ROOT, say=lambda _: None)
    monkeypatch.undo()
    with pytest.raises(UsageError, match=r"model\.checkpoints: holds the checkpoints .* Say --resume"):
        fit(wanted, ROOT, say=lambda _: None)
    again = fit(replace(wanted, resume=True), ROOT, say=lambda _: None)
    assert again["sha256"] == fitted[1]["sha256"]


def test_the_length_and_the_parts_do_not_belong_to_the_run():
    provenance = {
        "dataset_sha256": "a", "prepared_sha256": "b", "backbone_sha256": None, "recipe": {"head": "solo"},
        "torch": "2", "training": {"seed": 0, "average_decay": 0.9, "micro_batch": None}, "steps": 5,
        "processes": 1,
    }  # fmt: skip
    key = fitting._run_key(provenance)
    other = provenance | {"steps": 9, "processes": 2, "training": provenance["training"] | {"micro_batch": 1}}
    assert fitting._run_key(other) == key
    assert fitting._run_key(provenance | {"recipe": {"head": "query"}}) != key
    assert fitting._run_key(provenance | {"training": {"seed": 1, "average_decay": 0.9}}) != key


def test_a_trained_backbone_is_taken_over_and_said(inputs, tmp_path):
    save_file({name: value for name, value in resnet18().state_dict().items()}, tmp_path / "r18.safetensors")
    said = []
    wanted = request(
        inputs, tmp_path / "model", changes=(*CHANGES, "norm=frozen"), steps=1,
        backbone=tmp_path / "r18.safetensors",
    )  # fmt: skip
    fit(wanted, ROOT, say=said.append)
    assert said[0] == "backbone: 100 weights taken over; missing none; unused 2 (fc.bias, fc.weight)"
    assert read_manifest(wanted.out).provenance["backbone_sha256"]
    with pytest.raises(UsageError, match="norm 'group' cannot use trained weights"):
        fit(replace(wanted, changes=CHANGES), ROOT, say=said.append)
    with pytest.raises(UsageError, match=r"norm 'frozen' needs trained weights\. Say `--backbone FILE`"):
        fit(replace(wanted, backbone=None), ROOT, say=said.append)
    with pytest.raises(UsageError, match=r"none\.safetensors: there is no such file"):
        fit(replace(wanted, backbone=tmp_path / "none.safetensors"), ROOT, say=said.append)


def test_only_the_first_process_writes_and_answers(inputs, tmp_path, monkeypatch):
    class Second(Alone):
        number = 1

    monkeypatch.setattr(fitting, "join_workers", Second)
    monkeypatch.setattr(fitting, "train_recipe", lambda *_: None)
    assert fit(request(inputs, tmp_path / "model"), ROOT, say=lambda _: None) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"changes": ()}, UsageError, r"1 categories, the data has 3\. Say `--set num_categories=3`"),
        ({"steps": 0}, UsageError, "--steps: must be between 1 and the 1000 steps of the schedule, got 0"),
        ({"steps": 1001}, UsageError, "got 1001"),
        ({"split": "test"}, DataError, "test.jsonl: cannot be read"),
        ({"recipe": "unknown"}, UsageError, "unknown: there is no such recipe"),
    ],
)
def test_requests_that_do_not_fit_are_refused(inputs, tmp_path, given, kind, message):
    with pytest.raises(kind, match=message):
        fit(request(inputs, tmp_path / "model", **given), ROOT, say=lambda _: None)
    assert not (tmp_path / "model").exists()


def test_what_is_not_ours_is_not_replaced(inputs, tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(UsageError, match="exists and was not made by this command"):
        fit(request(inputs, tmp_path / "model"), ROOT, say=lambda _: None)


def test_images_of_another_dataset_are_refused(inputs, tmp_path):
    other = prepare(tmp_path / "other")
    about = other["about"]
    about.write_text(about.read_text().replace(read_manifest(other["dataset"]).sha256, "0" * 64))
    with pytest.raises(IntegrityError, match=r"is version \w{12}, the records are of 000000000000"):
        fit(request(other, tmp_path / "model"), ROOT, say=lambda _: None)
