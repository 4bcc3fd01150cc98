"""What ``config.json`` of a published checkpoint says, and where a recipe says another thing."""

import pytest
from transformers import CLIPVisionConfig

from models.region_lm.published_settings import contradictions, encoder_contradictions, language_of
from tests.models.region_lm.systems import recipe

LLAMA = {
    "model_type": "llava_llama", "vocab_size": 100, "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("llava", "llama"),
        ("llava_llama", "llama"),
        ("osprey", "llama"),
        ("llava_qwen", "qwen2"),
        ("qwen3", "qwen3"),
    ],
)
def test_the_language_model_is_read(kind, family):
    config = language_of({**LLAMA, "model_type": kind, "mm_hidden_size": 5, "torch_dtype": "float16"})
    assert config.model_type == family
    assert (config.vocab_size, config.hidden_size, config.num_hidden_layers) == (100, 64, 2)
    assert config.rms_norm_eps == 1e-5


def test_positions_of_old_files():
    config = language_of(LLAMA | {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_theta": 5000.0})
    assert config.rope_parameters["rope_type"] == "linear"
    assert config.rope_parameters["factor"] == 2.0
    assert config.rope_parameters["rope_theta"] == 5000.0
    assert language_of(LLAMA | {"rope_scaling": None}).rope_parameters["rope_theta"] == 10000.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "llava_mpt"}, "model_type must be one of .* got 'llava_mpt'"),
        ({"model_type": None}, "got None"),
        ({"hidden_size": None}, "hidden_size must be there"),
        ({"num_attention_heads": 5}, "no llama has these values"),
        ({"hidden_size": "wide"}, "no llama has these values"),
    ],
)
def test_what_is_no_language_model(change, message):
    with pytest.raises(ValueError, match=message):
        language_of(LLAMA | change)


@pytest.mark.parametrize(
    ("name", "document", "changes"),
    [
        ("osprey_tiny", {"mm_projector_type": "mlp2x_gelu", "image_aspect_ratio": "pad"}, []),
        ("osprey_tiny", {"mm_projector_type": "linear"}, ["model.projector.kind=linear"]),
        ("tokenpacker_tiny", {"mm_projector_type": "tokenpacker", "scale_factor": "2"}, []),
        ("tokenpacker_tiny", {"scale_factor": 3}, ["model.projector.scale=3"]),
        ("llava_tiny", {"mm_vision_select_layer": -2, "mm_vision_select_feature": "patch"}, []),
        ("llava_tiny", {"mm_vision_select_layer": 4}, []),
        ("llava_tiny", {"mm_vision_select_layer": -1}, ["model.vision.clip.select=-1"]),
        ("llava_tiny", {"image_aspect_ratio": "slice"}, ["model.images.kind=tiles"]),
        ("llava_tiny", {"image_aspect_ratio": "square"}, ["model.images.kind=stretch"]),
        ("tokenpacker_hd_tiny", {"image_aspect_ratio": "slice", "patch_num": 4}, []),
        ("tokenpacker_hd_tiny", {"patch_num": "16"}, ["model.images.most_tiles=16"]),
        ("llava_tiny", {}, []),
    ],
)
def test_contradictions_say_the_change_that_agrees(name, document, changes):
    assert [found.change for found in contradictions(document, recipe(name).model)] == changes


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"mm_projector_type": "mlp3x_gelu"}, "mm_projector_type must be one of"),
        ({"image_aspect_ratio": "anyres"}, "image_aspect_ratio must be one of"),
        ({"mm_vision_select_feature": "cls_patch"}, "mm_vision_select_feature must be 'patch'"),
        ({"mm_vision_select_layer": "last"}, "mm_vision_select_layer must be a whole number, got 'last'"),
    ],
)
def test_what_no_recipe_can_say(document, message):
    with pytest.raises(ValueError, match=message):
        contradictions(document, recipe("llava_tiny").model)


def test_an_encoder_is_more_than_its_shapes():
    have = CLIPVisionConfig(num_attention_heads=4, hidden_size=32)
    assert encoder_contradictions({"num_attention_heads": 4, "hidden_act": "quick_gelu"}, have) == []
    found = encoder_contradictions({"vision_config": {"num_attention_heads": 8, "hidden_act": "gelu"}}, have)
    assert [(one.key, one.said, one.have) for one in found] == [
        ("num_attention_heads", 8, 4),
        ("hidden_act", "gelu", "quick_gelu"),
    ]
