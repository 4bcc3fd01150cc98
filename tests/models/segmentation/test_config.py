"""Configurations refuse what cannot be built or run."""

from dataclasses import replace

import pytest

from tests.models.segmentation.tiny import THRESHOLDS, TRAINING, training


def test_the_architecture_is_part_of_the_training():
    shape = TRAINING.architecture(3)
    assert (shape.num_categories, shape.width, shape.window_size) == (3, 32, 12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0."),
        ({"crop_size": 100}, "crop_size must be a multiple of 32, got 100."),
        ({"smallest_zoom": 2.0}, "smallest_zoom must be positive and at most largest_zoom, got 2.0 and 1.1."),
    ],
)
def test_training_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        training(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_categories": 0}, "num_categories must be at least 1, got 0."),
        ({"width": 40}, "width must be a multiple of 32, got 40."),
        ({"image_scale": 0.0}, "image_scale must be positive, got 0.0."),
    ],
)
def test_shape_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        replace(TRAINING.architecture(1), **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score_threshold": float("nan")}, r"score_threshold must be in \[0, 1\], got nan."),
        ({"mask_threshold": 1.5}, r"mask_threshold must be in \[0, 1\], got 1.5."),
        ({"detections_per_image": 0}, "detections_per_image must be at least 1, got 0."),
    ],
)
def test_threshold_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        replace(THRESHOLDS, **change)
