import numpy as np
import pytest
import torch

from models.blocks.pixels import channels_first


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_channels_come_first_and_values_stay(kind):
    image = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
    found = channels_first(kind(image))
    assert found.shape == (3, 2, 5)
    assert found.is_contiguous()
    assert np.array_equal(found.numpy(), image.transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(4, 4), (3, 4, 4), (0, 4, 3), (4, 4, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"images must have shape \(height, width, 3\), got \("):
        channels_first(np.zeros(shape, np.uint8))


def test_other_types_are_refused():
    with pytest.raises(TypeError, match=r"images must be uint8, got torch\.float64\."):
        channels_first(np.zeros((4, 4, 3)))
