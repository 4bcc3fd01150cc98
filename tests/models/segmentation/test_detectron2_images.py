import numpy as np
import pytest
import torch

from models.segmentation.detectron2_images import colours, contrast_stretcher, padded_batch
from models.segmentation.preprocessing import contrast_range, stretch


def dark(height=12, width=16):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(10, 60, (3, height, width), generator=generator, dtype=torch.uint8)


def test_values_and_channels_of_an_image():
    image = dark()
    found = colours(image, order="RGB", stretched=False)
    assert found.dtype == torch.float32
    assert torch.equal(found, image.float() / 255.0)
    assert torch.equal(colours(image.flip(0), order="BGR", stretched=False), found)


@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_contrast_is_stretched_as_our_own_models_do(kind):
    image = dark()
    found = colours(image.to(kind), order="RGB", stretched=True)
    assert torch.equal(found, stretch(image, contrast_range(image)))
    assert found.min() == 0.0
    assert found.max() == 1.0


def test_what_is_no_image_is_refused():
    with pytest.raises(
        ValueError, match=r"^an image needs the shape \(3, height, width\), got \(12, 16, 3\)\.$"
    ):
        colours(dark().permute(1, 2, 0), order="RGB", stretched=False)


def test_a_stretcher_keeps_the_extremes_of_the_image_that_made_it():
    image = dark().permute(1, 2, 0).numpy()
    spread = contrast_stretcher(image)
    whole = spread(image)
    assert whole.dtype == np.uint8
    assert (whole.min(), whole.max()) == (0, 255)
    assert np.array_equal(spread(image[:4, :5]), whole[:4, :5])
    assert np.array_equal(spread(image[:, ::-1]), whole[:, ::-1])


def test_images_are_padded_with_grey_to_multiples_of_a_stride():
    batch = padded_batch([torch.zeros(3, 20, 33), torch.ones(3, 32, 10)], 32)
    assert batch.shape == (2, 3, 32, 64)
    assert batch[0, :, :20, :33].eq(0.0).all()
    assert batch[1, :, :, :10].eq(1.0).all()
    assert batch[0, :, 20:].eq(0.5).all()
    assert batch[1, :, :, 10:].eq(0.5).all()
    assert padded_batch([torch.zeros(3, 5, 5)], 32).shape == (1, 3, 32, 64)  # a norm needs two samples
