import pytest
import torch

from models.segmentation.backbones import norm_layer, resnet_pyramid


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet101"])
def test_levels_have_their_strides(name: str) -> None:
    with torch.device("meta"):
        levels = resnet_pyramid(name, width=256, norm="frozen")(torch.zeros(1, 3, 128, 192))
    assert [tuple(level.shape) for level in levels] == [
        (1, 256, -(-128 // stride), -(-192 // stride)) for stride in (4, 8, 16, 32, 64)
    ]


def test_levels_may_start_at_a_stride_of_eight() -> None:
    with torch.device("meta"):
        levels = resnet_pyramid("resnet50", width=256, norm="frozen", finest=3)(torch.zeros(1, 3, 256, 128))
    assert [tuple(level.shape[2:]) for level in levels] == [(32, 16), (16, 8), (8, 4), (4, 2), (2, 1)]
    with pytest.raises(ValueError, match="finest must be 2 or 3, got 4"):
        resnet_pyramid("resnet50", width=256, norm="frozen", finest=4)


def test_a_network_from_nothing_learns() -> None:
    pyramid = resnet_pyramid("resnet18", width=32, norm="group")
    total = sum(level.square().mean() for level in pyramid(torch.rand(1, 3, 64, 64)))
    total.backward()
    assert all(parameter.grad is not None for parameter in pyramid.parameters())


def test_what_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match=r"one of \['resnet101', 'resnet18', 'resnet50'\], got 'vgg'"):
        resnet_pyramid("vgg", width=32, norm="group")
    with pytest.raises(ValueError, match="'group' or 'frozen', got 'batch'"):
        norm_layer("batch")
