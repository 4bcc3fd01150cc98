"""Boxes follow their pixels, chance follows (seed, step, place), and masks are never read."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from models.segmentation.recipes import ImageSizes
from tasks.data.datasets import TrainingImage
from tasks.data.instance_batches import (
    BatchPolicy,
    Draw,
    ImageStore,
    apply_draw,
    draw_place,
    draw_places,
    plan_step,
)
from tasks.data.records import ImageRecord, RegionRecord
from tasks.errors import DataError

CROP = ImageSizes(crop=64, jitter=(0.5, 2.0))
WHOLE = ImageSizes(short_sides=(32, 48), long_side=96)
POLICY = BatchPolicy(images=CROP, images_per_step=4, stride=32, seed=3)
NAMES = ("a", "b")


class Poison:
    """A mask that must not be looked at."""

    def __getattribute__(self, name):
        raise AssertionError(f"somebody read {name} of a mask")


def write_split(folder, num_images=5, **given):
    generator = np.random.default_rng(0)
    records = []
    for number in range(num_images):
        height, width = 40 + 7 * number, 70 - 5 * number
        name = f"{number}.png"
        Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / name)
        region = RegionRecord(
            region_id=number + 1, category=NAMES[number % 2], box_xyxy=(5.0, 6.0, 25.0, 31.0), **given
        )
        crowd = replace(region, region_id=number + 100, is_crowd=True)
        records.append(
            ImageRecord(
                image_id=number + 10,
                file=name,
                height=height,
                width=width,
                sha256="",
                regions=(region, crowd),
            )
        )
    return records


def bright(box, size=(60, 90)):
    left, top, right, bottom = box
    pixels = torch.zeros(3, *size, dtype=torch.uint8)
    pixels[:, top:bottom, left:right] = 255
    return TrainingImage(
        image_id=1,
        pixels=pixels,
        contrast=(0.0, 255.0),
        boxes_xyxy=torch.tensor([box]).float(),
        categories=torch.tensor([1]),
    )


@pytest.mark.parametrize("images", [CROP, WHOLE])
@pytest.mark.parametrize("seed", range(12))
def test_boxes_follow_their_pixels(seed, images):
    image = bright([30, 12, 66, 50])
    draw = draw_place(0, (60, 90), images, torch.Generator().manual_seed(seed))
    pixels, boxes, categories = apply_draw(image, draw, images)
    assert pixels.shape == (3, *draw.shown)
    assert len(boxes) == len(categories)
    seen = torch.nonzero(pixels.amin(dim=0) > 0.5)
    for left, top, right, bottom in boxes.tolist():
        found = [seen[:, 1].min(), seen[:, 0].min(), seen[:, 1].max() + 1, seen[:, 0].max() + 1]
        assert [float(edge) for edge in found] == pytest.approx([left, top, right, bottom], abs=1.0)


def test_the_jitter_by_hand():
    draws = [draw_place(0, (60, 120), CROP, torch.Generator().manual_seed(seed)) for seed in range(300)]
    scales = torch.tensor([draw.size[1] / 64 for draw in draws])
    assert 0.5 <= scales.min() < 0.6
    assert 1.9 < scales.max() <= 2.0
    assert abs(scales.mean().item() - 1.25) < 0.1
    assert all(draw.shown == (min(64, draw.size[0]), min(64, draw.size[1])) for draw in draws)
    assert all(o + s <= n for d in draws for o, s, n in zip(d.offset, d.shown, d.size, strict=True))
    assert any(draw.offset[1] == draw.size[1] - 64 > 0 for draw in draws)
    assert 100 < sum(draw.flipped for draw in draws) < 200


def test_whole_images_by_hand():
    draws = [draw_place(0, (60, 90), WHOLE, torch.Generator().manual_seed(seed)) for seed in range(200)]
    assert {draw.size[0] for draw in draws} == set(range(32, 49))
    assert all(draw.size[1] == round(draw.size[0] * 1.5) for draw in draws)
    long = draw_place(0, (60, 240), WHOLE, torch.Generator().manual_seed(0))
    assert long.size == (24, 96)


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ([30, 10, 70, 50], [[0.0, 10.0, 30.0, 50.0]]),  # three quarters
        ([0, 10, 53, 50], []),  # less than a quarter
        ([39, 10, 41, 50], []),  # one column of it
        ([41, 10, 43, 50], [[1.0, 10.0, 3.0, 50.0]]),
    ],
)
def test_the_rule_of_cut_boxes(box, kept):
    draw = Draw(image=0, size=(60, 90), offset=(0, 40), shown=(60, 50), flipped=False)
    assert apply_draw(bright(box), draw, CROP)[1].tolist() == kept


def test_a_flip_by_hand():
    draw = Draw(image=0, size=(60, 90), offset=(0, 0), shown=(60, 90), flipped=True)
    pixels, boxes, _ = apply_draw(bright([10, 5, 30, 20]), draw, WHOLE)
    assert boxes.tolist() == [[60.0, 5.0, 80.0, 20.0]]
    assert pixels[:, 5:20, 60:80].eq(1.0).all()
    assert pixels.sum() == 3 * 15 * 20


def test_contrast_is_stretched_on_request():
    image = replace(bright([10, 5, 30, 20]), contrast=(0.0, 510.0))
    draw = Draw(image=0, size=(60, 90), offset=(0, 0), shown=(60, 90), flipped=False)
    assert apply_draw(image, draw, WHOLE)[0].max() == 1.0
    assert apply_draw(image, draw, replace(WHOLE, stretch_contrast=True))[0].max() == 0.5


def equal(first, second):
    return all(
        torch.equal(a, b)
        for a, b in zip(
            (first.image_BCHW, *first.boxes, *first.categories),
            (second.image_BCHW, *second.boxes, *second.categories),
            strict=True,
        )
    )


@pytest.mark.parametrize("images", [CROP, WHOLE])
def test_places_do_not_depend_on_what_is_drawn_with_them(tmp_path, images):
    policy = replace(POLICY, images=images)
    store = ImageStore(write_split(tmp_path), tmp_path, NAMES)
    plan = plan_step(store.records, policy, 7)
    whole = draw_places(store, plan, images, range(4))
    assert whole.image_BCHW.shape[1:] == (3, *plan.size)
    assert all(side % 32 == 0 for side in plan.size)
    halves = [draw_places(store, plan_step(store.records, policy, 7), images, part)
              for part in (range(2), range(2, 4))]  # fmt: skip
    joined = [tuple(part for half in halves for part in half[field]) for field in (1, 2, 3)]
    assert equal(whole, whole._replace(image_BCHW=torch.cat([half.image_BCHW for half in halves]),
                                       boxes=joined[0], categories=joined[1]))  # fmt: skip
    assert whole.image_ids == joined[2] == plan.image_ids


def test_chance_follows_seed_and_step(tmp_path):
    records = write_split(tmp_path)
    plans = [plan_step(records, POLICY, step) for step in range(5)]
    assert plans == [plan_step(records, POLICY, step) for step in range(5)]
    assert plan_step(records, replace(POLICY, seed=4), 0) != plans[0]
    seen = [image for plan in plans for image in plan.image_ids]
    assert [sorted(seen[start : start + 5]) for start in (0, 5, 10, 15)] == [[10, 11, 12, 13, 14]] * 4
    assert len({draw.size for plan in plans for draw in plan.draws}) > 10


def test_masks_are_never_read_and_crowds_teach_nothing(tmp_path):
    plain = ImageStore(write_split(tmp_path), tmp_path, NAMES)
    poisoned = ImageStore(write_split(tmp_path, mask=Poison()), tmp_path, NAMES)
    for step in range(2):
        plan = plan_step(plain.records, POLICY, step)
        first, second = (draw_places(store, plan, CROP, range(4)) for store in (plain, poisoned))
        assert equal(first, second)
        assert all(len(boxes) <= 1 for boxes in first.boxes)


def test_only_what_fits_is_kept(tmp_path):
    store = ImageStore(write_split(tmp_path), tmp_path, NAMES, room=3 * 40 * 70)
    first, second = store[0], store[1]
    assert store[0] is first
    assert store[1] is not second
    assert torch.equal(store[1].pixels, second.pixels)


def test_bad_records_are_named(tmp_path):
    records = write_split(tmp_path)
    with pytest.raises(DataError, match=r"1\.png: image 11 has unknown categories \['b'\]\."):
        ImageStore(records, tmp_path, ("a",))
    with pytest.raises(DataError, match=r"there is no training image\."):
        ImageStore([], tmp_path, NAMES)
    (tmp_path / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png"):
        ImageStore(records, tmp_path, NAMES)[2]
