"""The builder draws weights from the seed alone and leaves no frozen statistics behind."""

import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from tests.models.segmentation.tiny import tiny_segmenter


def test_equal_seeds_give_equal_weights():
    first, again, other = (tiny_segmenter(seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["backbone.conv1.weight"], other["backbone.conv1.weight"])


def test_norms_do_not_look_at_the_batch():
    assert not any(
        isinstance(part, nn.BatchNorm2d | FrozenBatchNorm2d) for part in tiny_segmenter().modules()
    )
