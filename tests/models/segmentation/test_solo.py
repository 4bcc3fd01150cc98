import pytest
import torch

from models.segmentation.solo import MASK_STRIDES, SoloHead, SoloOutput, solo_masks, with_positions


def pyramid(height: int = 64, width: int = 96, channels: int = 8, images: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = [(-(-height // stride), -(-width // stride)) for stride in (4, 8, 16, 32, 64)]
    return [torch.randn(images, channels, *size, generator=generator) for size in sizes]


def tiny_head() -> SoloHead:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return SoloHead(
            channels=8, width=32, num_categories=3, mask_channels=6, num_convolutions=1, grids=(8, 7, 6, 5, 4)
        )


def test_shapes_of_what_the_head_says() -> None:
    output = tiny_head()(pyramid())
    assert [tuple(part.shape) for part in output.category_logit_BKSS] == [
        (2, 3, side, side) for side in (8, 7, 6, 5, 4)
    ]
    assert [part.shape[1] for part in output.kernel_BMSS] == [6] * 5
    assert output.feature_BMHW.shape == (2, 6, 16, 24)
    assert torch.sigmoid(output.category_logit_BKSS[0]).mean() < 0.02


@pytest.mark.parametrize("level", range(5))
def test_masks_are_kernels_applied_to_features_of_their_own_image(level: int) -> None:
    output = tiny_head()(pyramid())
    image, cell = torch.tensor([1, 0, 1]), torch.tensor([3, 0, 9])
    masks = solo_masks(output, level, image, cell)
    shrink = MASK_STRIDES[level] // 4
    assert masks.shape == (3, 16 // shrink, 24 // shrink)
    if shrink == 1:
        kernel = output.kernel_BMSS[level].flatten(2)
        for place, (b, n) in enumerate(zip(image.tolist(), cell.tolist(), strict=True)):
            expected = (kernel[b, :, n, None, None] * output.feature_BMHW[b]).sum(dim=0)
            torch.testing.assert_close(masks[place], expected)


def test_no_cell_is_no_mask() -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    assert solo_masks(tiny_head()(pyramid()), 0, nothing, nothing).shape == (0, 16, 24)


def test_gradients_reach_every_weight() -> None:
    head = tiny_head()
    output = head(pyramid())
    masks = [solo_masks(output, level, torch.tensor([0]), torch.tensor([1])) for level in range(5)]
    total = sum(part.square().sum() for part in (*masks, *output.category_logit_BKSS))
    total.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_positions_run_from_left_and_top() -> None:
    added = with_positions(torch.zeros(1, 1, 2, 3))[0]
    assert added[1].tolist() == [[-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]]
    assert added[2].tolist() == [[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]


def test_a_pyramid_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="five of P2 to P6, got 4"):
        tiny_head()(pyramid()[:4])


def test_output_is_plain_data() -> None:
    assert SoloOutput._fields == ("category_logit_BKSS", "kernel_BMSS", "feature_BMHW")
