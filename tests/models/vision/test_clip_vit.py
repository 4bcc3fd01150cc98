from pathlib import Path

import pytest
import torch
from transformers import CLIPVisionModel

from models.vision.clip_vit import ClipVision
from tests.models.vision.encoders import canvases, clip, clip_config


def test_hidden_states_are_what_the_blocks_return() -> None:
    encoder, pixels = clip(), canvases(96)
    with torch.no_grad():
        features = encoder({"clip": pixels})
        state = encoder.model.pre_layrnorm(encoder.model.embeddings(pixels))
        states = [state]
        for block in encoder.model.encoder.layers:
            states.append(block(states[-1], None))
    assert features.grid == encoder.grid == (12, 12)
    # Five blocks: 0 is before the first, -2 is what the fourth returns.
    assert torch.equal(features.tokens_TNC, states[4][:, 1:])
    for level, index in zip(features.levels, (1, 2, 3, 4), strict=True):
        assert level.shape == (2, 32, 12, 12)
        assert torch.equal(level.flatten(2).transpose(1, 2), states[index][:, 1:])


def test_sizes_are_told_before_anything_runs() -> None:
    encoder = clip()
    assert (encoder.channels, encoder.level_channels, encoder.side) == (32, (32,) * 4, 96)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 53_664


def test_the_first_state_and_those_from_the_end_can_be_read() -> None:
    torch.manual_seed(0)
    encoder = ClipVision(clip_config(), levels=(0, -1, 5), select=0).eval()
    with torch.no_grad():
        features = encoder({"clip": canvases(96)})
    assert torch.equal(features.levels[1], features.levels[2])
    assert torch.equal(features.levels[0], features.as_map())


def test_a_canvas_alone_is_as_in_a_batch() -> None:
    encoder, pixels = clip(), canvases(96, count=3)
    with torch.no_grad():
        together, alone = encoder({"clip": pixels}), encoder({"clip": pixels[1:2]})
    torch.testing.assert_close(together.tokens_TNC[1:2], alone.tokens_TNC)


def test_gradients_flow_only_when_asked() -> None:
    encoder = clip()
    with torch.no_grad():
        assert not encoder({"clip": canvases(96)}).tokens_TNC.requires_grad
    encoder({"clip": canvases(96)}).tokens_TNC.sum().backward()
    assert encoder.model.embeddings.patch_embedding.weight.grad is not None


def test_saved_weights_are_read(tmp_path: Path) -> None:
    torch.manual_seed(3)
    saved = CLIPVisionModel(clip_config())
    saved.save_pretrained(tmp_path)
    encoder = ClipVision.from_pretrained(tmp_path, levels=(1,), select=-2).eval()
    for name, value in saved.state_dict().items():
        assert torch.equal(encoder.model.state_dict()[name], value)
    assert encoder.grid == (12, 12)


def test_bfloat16_works() -> None:
    with torch.no_grad():
        features = clip().bfloat16()({"clip": canvases(96)})
    assert features.tokens_TNC.dtype == torch.bfloat16


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="must name hidden states -6 to 5, got 6"):
        ClipVision(clip_config(), levels=(6,))
    with pytest.raises(ValueError, match="must name hidden states -6 to 5, got -7"):
        ClipVision(clip_config(), levels=(1,), select=-7)
    with pytest.raises(ValueError, match="patches of 8 pixels must fill a canvas of 100 pixels"):
        ClipVision(clip_config(100), levels=(1,))
    with pytest.raises(ValueError, match=r"shape \(canvases, 3, 96, 96\), got \(2, 3, 64, 96\)"):
        clip()({"clip": torch.zeros(2, 3, 64, 96)})
