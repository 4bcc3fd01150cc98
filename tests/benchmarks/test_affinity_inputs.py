import pytest
import torch

from benchmarks.affinity_inputs import guidance, instances, photograph


def test_the_photograph_is_small_and_normalised():
    photo_CHW = photograph()
    assert photo_CHW.shape == (3, 342, 512)
    assert photo_CHW.mean().abs() < 1
    assert 0.3 < photo_CHW.std() < 3


@pytest.mark.parametrize("size", [(96, 96), (342, 512), (400, 1100)])
def test_images_are_cut_out_of_the_photograph(size):
    first_CHW, second_CHW = guidance(2, *size)
    photo_CHW = photograph()
    top, left = (max(0, (whole - part) // 2) for whole, part in zip((342, 512), size, strict=True))
    rows, columns = min(size[0], 342), min(size[1], 512)
    expected = photo_CHW[:, top : top + rows, left : left + columns]
    assert torch.equal(first_CHW[:, :rows, :columns], expected)
    assert first_CHW.shape == (3, *size)
    assert not torch.equal(first_CHW, second_CHW)
    assert torch.equal(guidance(2, *size)[1], second_CHW)


def test_beyond_the_border_the_photograph_is_mirrored():
    wide_CHW = guidance(1, 342, 1024)[0]
    assert torch.equal(wide_CHW[:, :, 512:], wide_CHW[:, :, :512].flip(2))


def test_other_channels_are_features_of_the_images():
    features_BCHW = guidance(2, 20, 30, channels=7)
    assert features_BCHW.shape == (2, 7, 20, 30)
    assert torch.equal(features_BCHW, guidance(2, 20, 30, channels=7))


def test_masks_are_soft_and_lie_in_their_boxes():
    soft_RHW, box_RHW = instances(5, 60, 80)
    assert soft_RHW.shape == box_RHW.shape == (5, 60, 80)
    assert soft_RHW.min() >= 0
    assert soft_RHW.max() <= 1
    assert set(box_RHW.unique().tolist()) == {0.0, 1.0}
    assert (soft_RHW[box_RHW == 0] < 0.6).all()
    assert (soft_RHW.flatten(1).max(dim=1).values > 0.8).all()
    assert torch.equal(instances(5, 60, 80)[0], soft_RHW)
