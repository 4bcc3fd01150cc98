"""CLIP is tiny and random here, but saved and loaded as a real one is."""

from pathlib import Path

import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer

from models.segmentation.mask_clip import (
    DEVIATION,
    MEAN,
    DenseFeatures,
    class_probabilities,
    dense_features,
    embed_classes,
)
from models.segmentation.prompts import TEMPLATES
from tests.models.segmentation.tiny_clip import save_tiny_clip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip(saved: Path) -> CLIPModel:
    return CLIPModel.from_pretrained(saved, local_files_only=True, use_safetensors=True).eval()


def images(height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_dense_features_are_the_last_block_without_its_attention(clip: CLIPModel) -> None:
    """With one token attended to by itself alone, attention is the value: the whole tower must agree."""
    features = dense_features(clip, images())
    assert features.value_BEHW.shape == (2, 24, 4, 4)
    assert features.key_BDHW.shape == (2, 48, 4, 4)
    seen = {}
    last = clip.vision_model.encoder.layers[-1]

    def only_self(module, args, kwargs, output):
        seen["called"] = True
        normed = kwargs["hidden_states"]
        return module.out_proj(module.v_proj(normed)), None

    handle = last.self_attn.register_forward_hook(only_self, with_kwargs=True)
    try:
        mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
        deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
        with torch.no_grad():
            hidden = clip.vision_model(pixel_values=(images() - mean) / deviation).last_hidden_state
            expected = clip.visual_projection(clip.vision_model.post_layernorm(hidden[:, 1:]))
    finally:
        handle.remove()
    assert seen
    expected = torch.nn.functional.normalize(expected, dim=2).transpose(1, 2).reshape(2, 24, 4, 4)
    torch.testing.assert_close(features.value_BEHW, expected, atol=1e-5, rtol=1e-4)


def test_any_size_is_read_in_whole_patches(clip: CLIPModel) -> None:
    features = dense_features(clip, images(45, 70))
    assert features.value_BEHW.shape[2:] == (5, 8)
    cut = dense_features(clip, images(45, 70)[..., :40, :64])
    torch.testing.assert_close(features.value_BEHW, cut.value_BEHW)
    with pytest.raises(ValueError, match=r"at least 8 x 8 pixels, got \(7, 40\)"):
        dense_features(clip, images(7, 40))


def test_classes_are_directions_that_do_not_depend_on_their_company(saved: Path, clip: CLIPModel) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(saved, local_files_only=True)

    def tokenize(texts: list[str]) -> dict[str, torch.Tensor]:
        return dict(tokenizer(texts, padding=True, return_tensors="pt"))

    both = embed_classes(clip, tokenize, ["cat", "ship"], TEMPLATES[:6])
    alone = embed_classes(clip, tokenize, ["ship"], TEMPLATES[:6])
    assert both.shape == (2, 24)
    torch.testing.assert_close(both.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(both[1], alone[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="0 names and 6 templates"):
        embed_classes(clip, tokenize, [], TEMPLATES[:6])
    with pytest.raises(ValueError, match=r"must hold one \{\} for the name, got 'a photo'"):
        embed_classes(clip, tokenize, ["cat"], ["a photo"])


def by_hand(cosine_KN: list[list[float]], key_DN: list[list[float]]) -> tuple[DenseFeatures, torch.Tensor]:
    """Features whose cosines with the unit vectors are what is given."""
    cosine = torch.tensor(cosine_KN)
    key = torch.nn.functional.normalize(torch.tensor(key_DN), dim=0)
    return DenseFeatures(cosine[None, :, None], key[None, :, None]), torch.eye(len(cosine))


def test_plain_probabilities_are_a_softmax_of_scaled_cosines() -> None:
    features, text = by_hand([[0.01, 0.03], [0.02, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
    found = class_probabilities(features, text, denoise=None, smooth=None)[0, :, 0]
    torch.testing.assert_close(found, torch.tensor([[1.0, 3.0], [2.0, 0.0]]).softmax(dim=0))


def test_a_class_that_no_patch_is_sure_of_is_silenced() -> None:
    features, text = by_hand([[0.05, 0.0], [0.0, 0.05], [0.01, 0.01]], [[1.0, 0.0], [0.0, 1.0]])
    found = class_probabilities(features, text, denoise=0.5, smooth=None)[0, :, 0]
    assert found[2].max() < 1e-30
    torch.testing.assert_close(found.sum(dim=0), torch.ones(2))


def test_where_nobody_is_sure_nobody_is_silenced() -> None:
    features, text = by_hand([[0.0], [0.0], [0.0]], [[1.0]])
    found = class_probabilities(features, text, denoise=0.5, smooth=None)
    torch.testing.assert_close(found.flatten(), torch.full((3,), 1 / 3))


def test_patches_with_like_keys_share_their_classes() -> None:
    """The third patch is unsure; its key is that of the first."""
    features, text = by_hand([[0.05, 0.0, 0.0], [0.0, 0.05, 0.001]], [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    found = class_probabilities(features, text, denoise=None, smooth=0.9)[0, :, 0]
    assert found[0, 2] > 0.7
    torch.testing.assert_close(found[:, :2], torch.tensor([[5.0, 0.0], [0.0, 5.0]]).softmax(dim=0))
    everywhere = class_probabilities(features, text, denoise=None, smooth=1.0)[0, :, 0]
    torch.testing.assert_close(everywhere[:, 0], everywhere[:, 2])
    torch.testing.assert_close(everywhere.sum(dim=0), torch.ones(3))


def test_a_class_is_as_likely_as_the_best_of_its_words() -> None:
    features, text = by_hand([[0.03, 0.0], [0.0, 0.01], [0.01, 0.02]], [[1.0, 0.0], [0.0, 1.0]])
    owner = torch.tensor([1, 0, 1])
    found = class_probabilities(features, text, owner_V=owner, denoise=None, smooth=None)[0, :, 0]
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0], [3.0, 2.0]]).softmax(dim=0))
    for wrong in ([0, 2, 2], [0, 1]):
        with pytest.raises(ValueError, match="a class from 0 without a gap for each of 3 words, got"):
            class_probabilities(features, text, owner_V=torch.tensor(wrong))


def test_smoothing_is_the_sum_over_all_pairs_of_patches() -> None:
    generator = torch.Generator().manual_seed(3)
    value, key = (torch.randn(1, width, 3, 4, generator=generator) for width in (5, 7))
    features = DenseFeatures(*(torch.nn.functional.normalize(part, dim=1) for part in (value, key)))
    text = torch.nn.functional.normalize(torch.randn(4, 5, generator=generator), dim=1)
    plain = class_probabilities(features, text, denoise=None, smooth=None).flatten(2)[0]
    found = class_probabilities(features, text, denoise=None).flatten(2)[0]
    keys = features.key_BDHW.flatten(2)[0]
    for place in range(12):
        likeness = [float(keys[:, place] @ keys[:, other]) for other in range(12)]
        mixed = sum(weight * plain[:, other] for other, weight in enumerate(likeness)).clamp(min=0)
        torch.testing.assert_close(found[:, place], mixed / mixed.sum(), atol=1e-5, rtol=1e-4)


def test_colours_are_shifted_and_spread_as_the_model_was_trained(clip: CLIPModel) -> None:
    own = dense_features(clip, images(), mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5)).value_BEHW
    assert not torch.allclose(own, dense_features(clip, images()).value_BEHW)
    mean, deviation = (torch.tensor(part)[:, None, None] for part in (MEAN, DEVIATION))
    moved = (images() - 0.5) / 0.5 * deviation + mean
    torch.testing.assert_close(own, dense_features(clip, moved).value_BEHW, atol=1e-5, rtol=1e-4)
