from pathlib import Path

import pytest
import torch
from transformers import ConvNextModel

from models.vision.convnext import ConvNextVision
from tests.models.vision.encoders import canvases, convnext, convnext_config


@pytest.mark.parametrize(("token_level", "side"), [(2, 128), (3, 192), (0, 64)])
def test_levels_are_what_the_stages_return(token_level: int, side: int) -> None:
    encoder, pixels = convnext(side, token_level), canvases(side)
    with torch.no_grad():
        features = encoder({"convnext": pixels})
        state = encoder.model.embeddings(pixels)
        for stage, level, stride in zip(
            encoder.model.encoder.stages, features.levels, (4, 8, 16, 32), strict=True
        ):
            state = stage(state)
            assert torch.equal(level, state)
            assert level.shape[2:] == (side // stride, side // stride)
    assert torch.equal(features.as_map(), features.levels[token_level])
    assert features.grid == encoder.grid == (side // (4, 8, 16, 32)[token_level],) * 2


def test_sizes_are_told_before_anything_runs() -> None:
    encoder = convnext()
    assert (encoder.channels, encoder.level_channels, encoder.side) == (24, (8, 16, 24, 32), 128)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 31_760


def test_gradients_flow_only_when_asked() -> None:
    encoder = convnext()
    with torch.no_grad():
        assert not encoder({"convnext": canvases(128)}).tokens_TNC.requires_grad
    encoder({"convnext": canvases(128)}).tokens_TNC.sum().backward()
    assert encoder.model.embeddings.patch_embeddings.weight.grad is not None


def test_saved_weights_are_read_for_a_canvas_of_another_side(tmp_path: Path) -> None:
    torch.manual_seed(3)
    saved = ConvNextModel(convnext_config(64))
    saved.save_pretrained(tmp_path)
    assert ConvNextVision.from_pretrained(tmp_path, 2).grid == (4, 4)
    encoder = ConvNextVision.from_pretrained(tmp_path, 2, side=128)
    assert encoder.grid == (8, 8)
    for name, value in saved.state_dict().items():
        assert torch.equal(encoder.model.state_dict()[name], value)


def test_bfloat16_works() -> None:
    with torch.no_grad():
        features = convnext().bfloat16()({"convnext": canvases(128)})
    assert features.tokens_TNC.dtype == torch.bfloat16


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="token_level must be 0 to 3, got 4"):
        ConvNextVision(convnext_config(), 4)
    with pytest.raises(ValueError, match="image_size must be a multiple of 32 pixels, got 100"):
        ConvNextVision(convnext_config(100), 2)
    with pytest.raises(ValueError, match=r"pixels must have canvases for 'convnext', got \['clip'\]"):
        convnext()({"clip": torch.zeros(1, 3, 128, 128)})
