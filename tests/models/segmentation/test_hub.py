"""Saving, loading and predicting through the face of transformers."""

import json

import numpy as np
import pytest
import torch

from models.segmentation.config import DEFAULT_PREDICTION
from models.segmentation.hub import BoxSegmenter, BoxSegmenterConfig, new_segmenter
from tests.models.segmentation.tiny import THRESHOLDS, TRAINING

NAMES = ("circle", "square", "triangle")


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return new_segmenter(NAMES, TRAINING.architecture(3), DEFAULT_PREDICTION)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    return folder


def test_what_is_saved_is_what_is_loaded(model, saved):
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "model.safetensors"]
    loaded = BoxSegmenter.from_pretrained(saved, local_files_only=True, use_safetensors=True)
    assert loaded.category_names == NAMES
    assert loaded.config.thresholds() == DEFAULT_PREDICTION
    mine, theirs = model.state_dict(), loaded.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    first, second = (part.predict([image], THRESHOLDS)[0] for part in (model, loaded))
    assert len(first.scores) > 0
    assert torch.equal(first.boxes_xyxy, second.boxes_xyxy)
    assert torch.equal(first.masks, second.masks)


def test_predicting_changes_no_mode(model):
    model.network.train()
    assert model.predict([np.zeros((8, 8, 3), np.uint8)], THRESHOLDS)[0].masks.shape[1:] == (8, 8)
    assert model.network.training
    assert model.predict([]) == []


def test_refusals(model):
    with pytest.raises(TypeError, match=r"images must be uint8, got torch\.float64\."):
        model.predict([np.zeros((8, 8, 3))])
    with pytest.raises(ValueError, match=r"images must have shape \(height, width, 3\), got \(3, 8, 8\)\."):
        model.predict([np.zeros((3, 8, 8), np.uint8)])


def test_a_configuration_with_other_fields_is_refused(saved):
    values = json.loads((saved / "config.json").read_text())
    values["network"].pop("width")
    with pytest.raises(ValueError, match="network must have the keys"):
        BoxSegmenterConfig(**{name: values[name] for name in ("category_names", "network")}).segmenter()
