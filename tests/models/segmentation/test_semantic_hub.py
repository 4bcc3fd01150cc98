"""Saving, loading and predicting; classes in the pixels of the image."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.segmentation.deeplab import SemanticOutput
from models.segmentation.semantic_hub import (
    SemanticSegmenter,
    SemanticSegmenterConfig,
    new_semantic_segmenter,
)
from models.segmentation.semantic_recipes import SemanticRecipe, reduced_semantic
from tasks.config import load_file

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "recipes"
RECIPE = replace(reduced_semantic(load_file(FOLDER / "tiny_points.yaml", SemanticRecipe)), num_classes=3)
NAMES, VALUES = ("road", "sky", "tree"), (7, 0, 200)


def build():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return new_semantic_segmenter(NAMES, VALUES, RECIPE)


def test_what_is_saved_is_what_is_loaded(tmp_path):
    model = build()
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded = SemanticSegmenter.from_pretrained(tmp_path, local_files_only=True, use_safetensors=True)
    assert (loaded.class_names, loaded.class_values, loaded.recipe) == (NAMES, VALUES, RECIPE)
    images = [
        np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)
        for number, size in enumerate([(40, 50), (90, 31), (1, 70), (1, 1)])
    ]
    model.segmenter.train()
    for first, second, image in zip(model.predict(images), loaded.predict(images), images, strict=True):
        assert torch.equal(first, second)
        assert first.shape == image.shape[:2]
        assert first.dtype == torch.int64
        assert 0 <= first.min() <= first.max() < 3
    assert model.segmenter.training
    assert model.predict([]) == []


def test_the_network_sees_the_image_at_its_own_scale_and_contrast(monkeypatch):
    """A network that calls what is bright class 1 is read back to the pixel, up to its stride."""
    model = build()
    seen = []

    def bright(image_BCHW):
        seen.append(image_BCHW)
        small = torch.nn.functional.avg_pool2d(image_BCHW.mean(dim=1, keepdim=True), 4)
        return SemanticOutput(torch.cat((0.5 - small, small - 0.5, small - 9.0), dim=1), None)

    monkeypatch.setattr(model.segmenter, "forward", bright)
    pixels = np.full((40, 64, 3), 10, np.uint8)
    pixels[:, 32:] = 60
    found = model.predict([pixels])[0]
    assert found.tolist() == [[0] * 32 + [1] * 32] * 40
    assert seen[0].shape == (1, 3, 40, 64)
    assert (seen[0].min(), seen[0].max()) == (0.0, 1.0)  # dark as it is: the recipe stretches


def test_refusals():
    model = build()
    with pytest.raises(TypeError, match=r"images must be uint8, got torch\.float64\."):
        model.predict([np.zeros((8, 8, 3))])
    with pytest.raises(ValueError, match=r"images must have shape \(height, width, 3\), got \(3, 8, 8\)\."):
        model.predict([np.zeros((3, 8, 8), np.uint8)])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"class_names": ["road"]}, r"class_names must be 3 that differ, got \['road'\]"),
        ({"class_names": ["a", "b", "a"]}, "class_names must be 3 that differ"),
        ({"class_values": [0, 1]}, "class_values must be 3 that differ, from 0 to 253, got"),
        ({"class_values": [0, 1, 254]}, r"got \[0, 1, 254\]"),
        ({"class_values": [0, 1, 1]}, r"got \[0, 1, 1\]"),
        ({"recipe": {"head": "deeplab"}}, r"recipe must have the keys .*, got \['head'\]"),
    ],
)
def test_a_configuration_that_does_not_fit_together_is_refused(given, message):
    usual = {"class_names": list(NAMES), "class_values": list(VALUES), "recipe": asdict(RECIPE)}
    with pytest.raises(ValueError, match=message):
        SemanticSegmenterConfig(**(usual | given)).semantic_recipe()
