"""Contrast, resizing and padding."""

import pytest
import torch

from models.segmentation.preprocessing import contrast_range, pad_to_stride, resize, stretch


def test_the_range_leaves_out_the_extremes():
    image = torch.full((1, 100, 100), 60, dtype=torch.uint8)
    image[0, :50] = 20
    image[0, 0, :10] = 255
    image[0, 99, :10] = 0
    assert contrast_range(image) == (20.0, 60.0)
    stretched = stretch(image, contrast_range(image))
    assert stretched[0, 20, 0] == 0.0
    assert stretched[0, 80, 0] == 1.0
    assert stretched.max() == 1.0


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_image_is_no_problem(value):
    image = torch.full((3, 4, 4), value, dtype=torch.uint8)
    low, high = contrast_range(image)
    assert low < high
    assert stretch(image, (low, high)).isfinite().all()


def test_only_bytes():
    with pytest.raises(TypeError, match=r"image_CHW must be uint8, got torch\.float32\."):
        contrast_range(torch.zeros(3, 2, 2))


def test_sizes():
    assert resize(torch.rand(3, 10, 20), 5, 30).shape == (3, 5, 30)
    padded = pad_to_stride(torch.arange(6.0).reshape(1, 2, 3), 4)
    assert padded.tolist() == [[[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]]
    assert pad_to_stride(torch.rand(3, 32, 64), 32).shape == (3, 32, 64)
