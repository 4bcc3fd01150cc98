"""Saving, loading and predicting of the three heads; boxes and masks in the pixels of the image."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.segmentation.decode import Detections
from models.segmentation.instance_hub import (
    InstanceSegmenter,
    InstanceSegmenterConfig,
    crop_detections,
    memory_layout,
    new_instance_segmenter,
    pad_to,
    padded_size,
    seen_size,
)
from models.segmentation.recipes import ImageSizes, InstanceRecipe, reduced
from tasks.config import load_file

FOLDER = Path(__file__).resolve().parents[3] / "configs" / "recipes"
NAMES = ("circle", "square", "triangle")
CROPPED = ImageSizes(crop=96, jitter=(0.5, 2.0), stretch_contrast=True)


def recipe(name, **changes):
    given = reduced(load_file(FOLDER / f"{name}.yaml", InstanceRecipe))
    every = replace(given.prediction, score_threshold=0.0, detections_per_image=7)
    return replace(given, num_categories=3, images=CROPPED, prediction=every, **changes)


def build(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return new_instance_segmenter(NAMES, recipe(name))


@pytest.fixture(scope="module")
def solo():
    return build("tiny_solo")


@pytest.mark.parametrize("name", ["tiny_condinst", "tiny_solo", "tiny_query", "mask2former_swin_tiny_voc"])
def test_what_is_saved_is_what_is_loaded(name, tmp_path):
    model = build(name)
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded = InstanceSegmenter.from_pretrained(tmp_path, local_files_only=True, use_safetensors=True)
    assert loaded.category_names == NAMES
    assert loaded.recipe == model.recipe
    mine, theirs = dict(model.named_buffers()), dict(loaded.named_buffers())
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[buffer], theirs[buffer]) for buffer in mine)
    images = [
        np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)
        for number, size in enumerate([(40, 50), (90, 31), (1, 70)])
    ]
    model.segmenter.train()
    for first, second, image in zip(model.predict(images), loaded.predict(images), images, strict=True):
        for part in ("boxes_xyxy", "scores", "categories", "masks"):
            assert torch.equal(getattr(first, part), getattr(second, part))
        height, width = image.shape[:2]
        assert first.masks.shape[1:] == (height, width)
        assert 0 < len(first.scores) <= 7
        assert first.masks.flatten(1).any(dim=1).all()
        assert (first.boxes_xyxy >= 0).all()
        assert (first.boxes_xyxy <= torch.tensor([width, height] * 2)).all()
        assert (first.boxes_xyxy[:, 2:] > first.boxes_xyxy[:, :2]).all()
    assert model.segmenter.training
    assert model.predict([]) == []


def test_the_largest_stride_of_each_head(solo):
    assert solo.largest_stride == 64
    assert build("tiny_condinst").largest_stride == 128
    assert build("tiny_query").largest_stride == 32


@pytest.mark.parametrize(
    ("size", "seen"), [((400, 600), (800, 1200)), ((400, 800), (666, 1333)), ((2000, 1000), (1333, 666))]
)
def test_a_whole_image_fits_both_of_its_sides(size, seen):
    assert seen_size(size, ImageSizes(short_sides=(640, 800), long_side=1333)) == seen


def test_a_whole_image_fits_the_crop():
    assert seen_size((300, 200), ImageSizes(crop=96, jitter=(0.1, 2.0))) == (96, 64)
    assert seen_size((1, 500), ImageSizes(crop=96, jitter=(0.1, 2.0))) == (1, 96)


def test_channels_are_last_where_that_is_fast():
    assert memory_layout("group", "cpu") == torch.contiguous_format
    assert memory_layout("group", "cuda") == torch.channels_last
    assert memory_layout("frozen", "cpu") == torch.channels_last


def test_padding_is_grey_below_and_beside():
    padded = pad_to(torch.ones(3, 2, 3), *padded_size((2, 3), 4))
    assert padded.shape == (3, 4, 8)
    assert padded[:, :2, :3].eq(1.0).all()
    assert padded[:, 2:].eq(0.5).all()
    assert padded[:, :, 3:].eq(0.5).all()
    assert padded_size((5, 3), 4) == (8, 4)
    assert padded_size((8, 9), 4) == (8, 12)


def test_masks_lie_where_the_network_saw_them(solo, monkeypatch):
    """A network that marks the middle third of its input's shown part is read back to the pixel."""
    shown = seen_size((50, 80), CROPPED)

    def marks(image_BCHW, sizes, thresholds):
        ratio = sizes[0][0] / image_BCHW.shape[2]
        top, bottom = (round(shown[0] * third / 3 * ratio) for third in (1, 2))
        mask = torch.zeros(1, *sizes[0], dtype=torch.bool)
        mask[0, top:bottom] = True
        box = torch.tensor([[0.0, top, sizes[0][1], bottom]])
        return [Detections(boxes_xyxy=box, scores=torch.ones(1), categories=torch.zeros(1), masks=mask)]

    monkeypatch.setattr(solo.segmenter, "detect", marks)
    found = solo.predict([np.zeros((50, 80, 3), np.uint8)])[0]
    rows = torch.nonzero(found.masks[0].any(dim=1))[:, 0]
    assert (rows[0].item(), rows[-1].item() + 1) == (17, 33)
    assert found.boxes_xyxy.tolist() == [[0.0, 17.0, 80.0, 33.0]]


def test_what_lies_in_the_padding_falls_away():
    masks = torch.zeros(3, 10, 10, dtype=torch.bool)
    masks[0, 2:4, 2:4] = masks[1, 8:, 8:] = masks[2, 1, 4:6] = True
    boxes = torch.tensor([[2.0, 2.0, 9.0, 4.0], [8.0, 8.0, 10.0, 10.0], [6.0, 1.0, 9.0, 2.0]])
    found = Detections(boxes_xyxy=boxes, scores=torch.ones(3), categories=torch.arange(3), masks=masks)
    cut = crop_detections(found, 6, 6)
    assert cut.categories.tolist() == [0, 2]
    assert cut.boxes_xyxy.tolist() == [[2.0, 2.0, 6.0, 4.0], [4.0, 1.0, 6.0, 2.0]]
    assert cut.masks.shape == (2, 6, 6)


def test_refusals(solo):
    with pytest.raises(TypeError, match=r"images must be uint8, got torch\.float64\."):
        solo.predict([np.zeros((8, 8, 3))])
    with pytest.raises(ValueError, match=r"images must have shape \(height, width, 3\), got \(3, 8, 8\)\."):
        solo.predict([np.zeros((3, 8, 8), np.uint8)])


def test_a_configuration_with_other_fields_is_refused(solo, tmp_path):
    values = json.loads(solo.config.to_json_string())
    names, written = values["category_names"], values["recipe"]
    with pytest.raises(ValueError, match=r"category_names must be 3, got \['circle'\]\."):
        InstanceSegmenterConfig(category_names=["circle"], recipe=written).instance_recipe()
    other = InstanceSegmenterConfig(category_names=names, recipe=written | {"optimizer": {"name": "sgd"}})
    with pytest.raises(ValueError, match=r"recipe\.optimizer must have the keys .*, got \['name'\]\."):
        other.instance_recipe()
    with pytest.raises(ValueError, match=r"recipe must have the keys .*, got None"):
        InstanceSegmenterConfig(category_names=names).instance_recipe()
