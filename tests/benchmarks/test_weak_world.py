import numpy as np
import pytest

from benchmarks.weak_world import CATEGORIES, ELLIPSE, SMALLEST_CONTRAST, draw_world


def test_a_scene_says_everything_twice():
    """Boxes, categories and labels follow from the masks."""
    for scene in draw_world(3, 20, 64):
        assert scene.pixels.shape == (64, 64, 3)
        assert 1 <= len(scene.masks) == len(scene.boxes_xyxy) == len(scene.categories) <= 4
        assert not (scene.masks.sum(axis=0) > 1).any()
        labels = np.zeros((64, 64), np.uint8)
        for mask, category, box in zip(scene.masks, scene.categories, scene.boxes_xyxy, strict=True):
            labels[mask] = ELLIPSE + category
            left, top, right, bottom = box.astype(int)
            assert mask[top:bottom, left:right].sum() == mask.sum() > 0
            inside = mask[top:bottom, left:right]
            assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
        assert (labels == scene.labels).all()


def test_worlds_of_a_seed_begin_alike():
    short, long, other = draw_world(1, 2), draw_world(1, 4), draw_world(2, 2)
    assert all((a.pixels == b.pixels).all() for a, b in zip(short, long, strict=False))
    assert all((a.pixels != b.pixels).any() for a, b in zip(short, other, strict=True))


def test_shapes_stand_out_and_both_kinds_occur():
    scenes = draw_world(5, 40)
    kinds = np.concatenate([scene.categories for scene in scenes])
    assert set(kinds) == set(range(len(CATEGORIES)))
    for scene in scenes:
        ground = scene.pixels[scene.labels == 0].mean(axis=0)
        for mask in scene.masks:
            # Waves, and what is clipped at black and white, take a little of the contrast.
            assert np.abs(scene.pixels[mask].mean(axis=0) - ground).max() >= 255 * (SMALLEST_CONTRAST - 0.12)


def test_a_scene_needs_room():
    with pytest.raises(ValueError, match=r"size must be at least 32 pixels, got 16"):
        draw_world(0, 1, 16)
