import pytest
import torch
from torch.nn import functional

from models.segmentation.condinst import CondInstHead, apply_mask_networks, weight_count
from tests.models.segmentation.test_solo import pyramid


def tiny_head() -> CondInstHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CondInstHead(
            channels=32, num_categories=3, mask_channels=4, branch_width=16, num_convolutions=1,
            strides=(4, 8, 16, 32, 64),
        )  # fmt: skip


@pytest.mark.parametrize(("mask_channels", "expected"), [(8, 169), (16, 233)])
def test_mask_networks_have_the_published_number_of_weights(mask_channels: int, expected: int) -> None:
    assert weight_count(mask_channels) == expected


def test_mask_networks_are_three_convolutions() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, weight_count(3), generator=generator)
    read = torch.randn(2, 5, 12, generator=generator)
    found = apply_mask_networks(weight, read)
    for region in range(2):
        w0, b0, w1, b1, w2, b2 = weight[region].split([40, 8, 64, 8, 8, 1])
        hidden = functional.conv1d(read[region][None], w0.reshape(8, 5, 1), b0).relu()
        hidden = functional.conv1d(hidden, w1.reshape(8, 8, 1), b1).relu()
        expected = functional.conv1d(hidden, w2.reshape(1, 8, 1), b2)[0, 0]
        torch.testing.assert_close(found[region], expected, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="5 channels need 129 weights, got 130"):
        apply_mask_networks(torch.zeros(1, 130), read[:1])


def test_shapes_of_what_the_head_says() -> None:
    output = tiny_head()(pyramid(64, 96, channels=32))
    count = 16 * 24 + 8 * 12 + 4 * 6 + 2 * 3 + 1 * 2
    assert output.class_logit_BLK.shape == (2, count, 3)
    assert output.boxes().shape == (2, count, 4)
    assert output.weight_BLP.shape == (2, count, weight_count(4))
    assert output.feature_BMHW.shape == (2, 4, 16, 24)
    assert (output.boxes()[..., 2:] > output.boxes()[..., :2]).all()
    assert output.class_logit_BLK.sigmoid().mean() < 0.02


def test_masks_are_made_by_the_weights_and_position_of_their_location() -> None:
    head = tiny_head()
    output = head(pyramid(64, 96, channels=32))
    image, location = torch.tensor([0, 1, 1]), torch.tensor([5, 5, 400])
    together = head.masks(output, image, location)
    assert together.shape == (3, 32, 48)
    for place in range(3):
        alone = head.masks(output, image[place : place + 1], location[place : place + 1])
        torch.testing.assert_close(together[place], alone[0])
    assert not torch.allclose(together[0], together[1])
    nothing = torch.zeros(0, dtype=torch.int64)
    assert head.masks(output, nothing, nothing).shape == (0, 32, 48)


def test_a_pyramid_of_other_height_is_refused() -> None:
    with pytest.raises(ValueError, match="levels must be 5, got 4"):
        tiny_head()(pyramid(channels=32)[:4])
