"""Prediction: one checked line per image, the identity of the model, and refusals."""

import shutil

import numpy as np
import pytest
import torch

from models.segmentation.decode import Detections
from models.segmentation.hub import new_segmenter
from tasks.data.commit import commit_directory
from tasks.data.predictions import read_predictions
from tasks.data.prepared import read_about, read_records
from tasks.data.records import ImageRecord
from tasks.data.rle import decode_mask
from tasks.errors import IntegrityError
from tasks.stages.predict_masks import run, to_prediction
from tests.models.segmentation.tiny import THRESHOLDS, TRAINING
from tests.tasks.stages.tiny_training import prepare
from tests.tiny.shapes import CATEGORIES


def commit_model(folder, names=CATEGORIES):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = new_segmenter(names, TRAINING.architecture(len(names)), THRESHOLDS)
    return commit_directory(folder, model.save_pretrained, schema="groundwork.segmenter/1")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    inputs = prepare(folder)
    manifest = commit_model(folder / "model")
    val = folder / "prepared" / "val.jsonl"
    return {
        "dataset": inputs["dataset"],
        "about": inputs["about"],
        "records": val,
        "model": folder / "model",
    }, manifest


def test_every_image_has_a_valid_line(world, tmp_path):
    paths, manifest = world
    run(**paths, out=tmp_path / "val.jsonl")
    about, records = read_about(paths["about"]), read_records(paths["records"])
    header, predictions = read_predictions(
        tmp_path / "val.jsonl",
        records,
        dataset_sha256=about.dataset_sha256,
        split="val",
        categories=about.categories,
        model_sha256=manifest.sha256,
    )
    assert header.images == len(predictions) == 2
    assert all(0 < len(prediction.detections) <= 7 for prediction in predictions)
    run(**paths, out=tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "val.jsonl").read_bytes()


def test_detections_become_lines():
    masks = torch.zeros(1, 4, 6, dtype=torch.bool)
    masks[0, 1:3, 2:5] = True
    found = Detections(
        boxes_xyxy=torch.tensor([[2.0, 1.0, 5.0, 3.0]]),
        scores=torch.tensor([0.75]),
        categories=torch.tensor([1]),
        masks=masks,
    )
    record = ImageRecord(image_id=3, file="val/a.jpg", height=4, width=6, sha256="")
    line = to_prediction(record, found, CATEGORIES)
    assert (line.image_id, line.detections[0].category, line.detections[0].score) == (3, "square", 0.75)
    assert line.detections[0].box_xyxy == (2.0, 1.0, 5.0, 3.0)
    assert np.array_equal(decode_mask(line.detections[0].mask), masks[0].numpy())


def test_a_damaged_model_is_refused(world, tmp_path):
    paths, _ = world
    shutil.copytree(paths["model"], tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(IntegrityError, match=r"changed model\.safetensors"):
        run(**{**paths, "model": tmp_path / "model"}, out=tmp_path / "val.jsonl")
    assert not (tmp_path / "val.jsonl").exists()


def test_a_model_of_other_categories_is_refused(world, tmp_path):
    paths, _ = world
    commit_model(tmp_path / "model", ("nucleus",))
    with pytest.raises(IntegrityError, match=r"knows the categories \('nucleus',\), the data has \('circle'"):
        run(**{**paths, "model": tmp_path / "model"}, out=tmp_path / "val.jsonl")
