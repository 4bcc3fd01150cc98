"""Crops: boxes follow pixels, draws follow (seed, step) alone, and masks cannot be there."""

import pytest
import torch
from PIL import Image

from tasks.data.datasets import (
    CropPolicy,
    TrainingImage,
    draw_batch,
    draw_crop,
    generator_of,
    image_order,
    load_training_images,
    recolour,
    turn,
)
from tasks.data.records import ImageRecord, RegionRecord
from tasks.errors import DataError

POLICY = CropPolicy(size=64, image_scale=1.0, smallest_zoom=0.8, largest_zoom=2.0)


def marked(boxes, size=96):
    """A dark image that is bright exactly inside its boxes."""
    pixels = torch.zeros(3, size, size, dtype=torch.uint8)
    for left, top, right, bottom in boxes:
        pixels[:, top:bottom, left:right] = 255
    return TrainingImage(
        image_id=1,
        pixels=pixels,
        contrast=(0.0, 255.0),
        boxes_xyxy=torch.tensor(boxes).float().reshape(-1, 4),
        categories=torch.arange(len(boxes)),
    )


@pytest.mark.parametrize("seed", range(16))
def test_boxes_follow_their_pixels(seed):
    pixels, boxes, categories = draw_crop(
        marked([[30, 36, 60, 70]]), POLICY, torch.Generator().manual_seed(seed)
    )
    assert pixels.shape == (3, 64, 64)
    assert len(boxes) == len(categories)
    bright = torch.nonzero(pixels.amin(dim=0) > 0.4)
    for left, top, right, bottom in boxes.tolist():
        found = [bright[:, 1].min(), bright[:, 0].min(), bright[:, 1].max() + 1, bright[:, 0].max() + 1]
        assert [float(edge) for edge in found] == pytest.approx([left, top, right, bottom], abs=1.5)


@pytest.mark.parametrize("number", range(8))
def test_the_eight_symmetries(number):
    image = torch.zeros(3, 8, 8)
    image[:, 1:3, 4:7] = 1
    turned, boxes = turn(image, torch.tensor([[4.0, 1.0, 7.0, 3.0]]), number)
    left, top, right, bottom = boxes[0].int().tolist()
    assert turned[:, top:bottom, left:right].sum() == image.sum() == 18


def test_a_region_that_hardly_shows_is_left_out():
    policy = CropPolicy(size=32, image_scale=1.0, smallest_zoom=1.0, largest_zoom=1.0)
    shown = [
        float((boxes[:, 2:] - boxes[:, :2]).prod(dim=1).min())
        for seed in range(40)
        for _, boxes, _ in [
            draw_crop(marked([[40, 40, 60, 60]]), policy, torch.Generator().manual_seed(seed))
        ]
        if len(boxes)
    ]
    assert shown
    assert min(shown) >= 0.25 * 400


def test_an_image_smaller_than_the_crop_is_enlarged():
    pixels, boxes, _ = draw_crop(marked([[2, 2, 10, 10]], size=16), POLICY, torch.Generator().manual_seed(0))
    assert pixels.shape == (3, 64, 64)
    assert (boxes <= 64).all()


def test_draws_depend_on_seed_and_step_alone():
    images = [marked([[30, 36, 60, 70]]), marked([[5, 5, 25, 25]])]
    first, again = (draw_batch(images, POLICY, batch_size=3, seed=1, step=5) for _ in range(2))
    assert torch.equal(first.image_BCHW, again.image_BCHW)
    other = draw_batch(images, POLICY, batch_size=3, seed=1, step=6)
    assert not torch.equal(first.image_BCHW, other.image_BCHW)
    assert first.image_BCHW.min() >= 0
    assert first.image_BCHW.max() <= 1


def test_each_pass_visits_every_image_once_in_another_order():
    passes = [[image_order(3, turn * 7 + place, 7) for place in range(7)] for turn in range(3)]
    assert all(sorted(order) == list(range(7)) for order in passes)
    assert passes[0] != passes[1]
    assert generator_of(1, 2, 0).initial_seed() != generator_of(2, 1, 0).initial_seed()


def test_recolouring_keeps_the_range_and_the_extremes_apart():
    pixels = recolour(torch.tensor([0.0, 1.0]).expand(3, 1, 2).contiguous(), torch.Generator().manual_seed(0))
    assert (pixels[..., 0] < 0.05).all()
    assert (pixels[..., 1] > 0.8).all()


def record(folder, **changes):
    Image.new("RGB", (20, 10), (10, 20, 30)).save(folder / "a.png")
    region = {"region_id": 1, "category": "circle", "box_xyxy": (1.0, 1.0, 5.0, 5.0)}
    regions = (RegionRecord(**region), RegionRecord(**{**region, "region_id": 2}, is_crowd=True))
    values = {"image_id": 7, "file": "a.png", "height": 10, "width": 20, "sha256": "", "regions": regions}
    return ImageRecord(**{**values, **changes})


def test_images_are_decoded_once_and_crowds_are_no_targets(tmp_path):
    (image,) = load_training_images([record(tmp_path)], tmp_path, ["square", "circle"])
    assert image.pixels[:, 0, 0].tolist() == [10, 20, 30]
    assert image.boxes_xyxy.tolist() == [[1, 1, 5, 5]]
    assert image.categories.tolist() == [1]
    assert not any("mask" in name for name in TrainingImage.__dataclass_fields__)


def test_refusals(tmp_path):
    with pytest.raises(DataError, match=r"there is no training image\."):
        load_training_images([], tmp_path, [])
    with pytest.raises(DataError, match=r"image 7 has unknown categories \['circle'\]\."):
        load_training_images([record(tmp_path)], tmp_path, ["square"])
    with pytest.raises(DataError, match="the file is 20x10, the annotations say 20x11"):
        load_training_images([record(tmp_path, height=11)], tmp_path, ["circle"])
    with pytest.raises(DataError, match="no such file"):
        load_training_images([record(tmp_path, file="b.png")], tmp_path, ["circle"])
