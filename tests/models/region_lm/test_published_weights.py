"""Names are placed or reported, shapes are compared, rows of new tokens are means."""

import pytest
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, ConvNextConfig, ConvNextModel

from models.region_lm.processing import new_processor
from models.region_lm.published_names import LANGUAGE, rename, under
from models.region_lm.published_settings import language_of
from models.region_lm.published_weights import ENCODERS, fill, outline, place_names, wanted_shapes
from tests.models.region_lm.published import published_config, published_name, published_state, twin
from tests.models.region_lm.systems import recipe
from tests.models.region_lm.vocabularies import byte_level

SMALL_CLIP = CLIPVisionConfig(hidden_size=8, num_attention_heads=2, intermediate_size=8, num_hidden_layers=1)
RULES = under("", "language.", LANGUAGE)


def test_names_of_both_sides():
    wanted = {"language.lm_head.weight": (3, 2), "language.model.norm.weight": (2,)}
    published = {
        "lm_head.weight": (3, 2),
        "model.layers.9.mlp.up_proj.weight": (2, 2),
        "extra": (1,),
        "model.layers.0.self_attn.rotary_emb.inv_freq": (4,),
        "model.vision_tower.embeddings.position_ids": (1, 5),
    }
    plan = place_names(published, RULES, wanted)
    assert plan.places == {"lm_head.weight": "language.lm_head.weight"}
    assert plan.unmatched == ("model.layers.9.mlp.up_proj.weight", "extra")
    assert plan.computed == tuple(list(published)[3:])


def test_another_shape_is_an_error_with_both_names():
    with pytest.raises(
        ValueError,
        match=r"'lm_head\.weight' has the shape \[3, 2\], but 'language\.lm_head\.weight', .* has \[4, 2\]",
    ):
        place_names({"lm_head.weight": (3, 2)}, RULES, {"language.lm_head.weight": (4, 2)})


@pytest.mark.parametrize(
    ("encoder", "before"),
    [
        (CLIPVisionModel(SMALL_CLIP), "vision_model."),
        (ConvNextModel(ConvNextConfig(hidden_sizes=[4, 4, 4, 4], depths=[1, 1, 1, 1])), "convnext."),
    ],
)  # fmt: skip
def test_encoders_of_transformers_under_old_and_new_names(encoder, before):
    names = list(encoder.state_dict())
    expected = [f"vision.model.{name}" for name in names]
    for prefix in ("", before):
        renamed, unmatched = rename({prefix + name: 0 for name in names}, ENCODERS)
        assert sorted(renamed) == sorted(expected)
        assert unmatched == []


def test_an_outline_is_filled_to_the_bit():
    processor, model = twin("osprey")
    known = len(byte_level())
    language = language_of(published_config("osprey", model, known))
    empty = outline(processor, language)
    assert {value.device.type for value in empty.state_dict().values()} == {"meta"}
    wanted = wanted_shapes(empty, known)
    assert wanted["language.lm_head.weight"] == (known, 64)
    state = published_state("osprey", model, known)
    ours = {name: state[published_name("osprey", name)] for name in wanted}
    with pytest.raises(ValueError, match=r"'language\.lm_head\.weight' has no value"):
        fill(empty, {n: v for n, v in ours.items() if "lm_head" not in n}, known=known, new=[known])
    fill(empty, dict(ours), known=known, new=[known, known + 1, known + 2])
    expected = model.state_dict()
    assert empty.state_dict().keys() == expected.keys()
    for name, value in empty.state_dict().items():
        assert torch.equal(value[:known], expected[name][:known]), name
    table = empty.get_input_embeddings().weight
    assert torch.allclose(table[known:], table[:known].mean(dim=0).expand(3, -1), atol=1e-6)


def test_rows_that_the_tokenizer_never_used_are_kept_and_placeholders_replaced():
    """Vocabularies are often padded: a placeholder then takes a row that is there."""
    tokenizer = byte_level()
    processor = new_processor(tokenizer, recipe("llava_tiny").model)
    _, model = twin("llava")
    known = len(tokenizer) - 1
    config = published_config("llava", model, known) | {"vocab_size": known + 10}
    empty = outline(processor, language_of(config))
    assert empty.config.get_text_config().vocab_size == known + 10
    state = {name: torch.randn(shape) for name, shape in wanted_shapes(empty, known + 10).items()}
    rows = state["language.lm_head.weight"].clone()
    fill(empty, state, known=known, new=[known])
    assert state == {}
    found = empty.get_output_embeddings().weight
    assert torch.equal(found[:known], rows[:known])
    assert torch.equal(found[known + 1 :], rows[known + 1 :])
    assert torch.allclose(found[known], rows[:known].mean(dim=0), atol=1e-6)


def test_tied_embeddings_need_one_table():
    tokenizer = byte_level()
    known = len(tokenizer)
    processor = new_processor(tokenizer, recipe("llava_tiny").model)
    _, model = twin("llava")
    config = published_config("llava", model, known) | {"tie_word_embeddings": True}
    empty = outline(processor, language_of(config))
    wanted = wanted_shapes(empty, known)
    assert "language.lm_head.weight" not in wanted
    fill(empty, {name: torch.randn(shape) for name, shape in wanted.items()}, known=known, new=[known])
    assert empty.get_input_embeddings().weight is empty.get_output_embeddings().weight
    assert not [name for name, value in empty.named_parameters() if value.is_meta]


def test_a_tokenizer_beyond_the_vocabulary():
    processor, model = twin("llava")
    config = published_config("llava", model, 100)
    with pytest.raises(ValueError, match="the language model has 100 tokens, but the tokenizer has"):
        outline(processor, language_of(config))
