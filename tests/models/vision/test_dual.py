import pytest
import torch

from models.vision.dual import DualVision
from tests.models.vision.encoders import canvases, clip, convnext


def test_tokens_of_a_cell_stand_side_by_side() -> None:
    far, near = clip(48), convnext(192, token_level=3)
    encoder = DualVision(far, near)
    pixels = {"clip": canvases(48), "convnext": canvases(192)}
    with torch.no_grad():
        features, first, second = encoder(pixels), far(pixels), near(pixels)
    assert encoder.grid == features.grid == (6, 6)
    assert features.tokens_TNC.shape == (2, 36, encoder.channels) == (2, 36, 64)
    assert torch.equal(features.tokens_TNC[..., :32], first.tokens_TNC)
    assert torch.equal(features.tokens_TNC[..., 32:], second.tokens_TNC)
    assert encoder.level_channels == tuple(level.shape[1] for level in features.levels) == (8, 16, 24, 32)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(features.levels, second.levels, strict=True))


def test_grids_must_coincide() -> None:
    with pytest.raises(
        ValueError, match=r"clip and convnext must have one grid, got \(12, 12\) and \(6, 6\)"
    ):
        DualVision(clip(96), convnext(192, token_level=3))


def test_both_canvases_are_needed() -> None:
    encoder = DualVision(clip(48), convnext(192, token_level=3))
    with pytest.raises(ValueError, match=r"pixels must have canvases for 'convnext', got \['clip'\]"):
        encoder({"clip": canvases(48)})
