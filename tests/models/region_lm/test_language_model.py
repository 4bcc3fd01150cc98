"""Language models of transformers, from numbers and from folders."""

from dataclasses import replace

import pytest
import torch
from transformers import GPT2Config, LlamaForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM

from models.region_lm.assembly import new_region_mllm
from models.region_lm.config import LanguageSettings
from models.region_lm.language_model import build_language_model, language_config, load_language_model
from models.region_lm.processing import new_processor
from tests.models.region_lm.systems import example, recipe
from tests.models.region_lm.vocabularies import byte_level

TINY = LanguageSettings(
    family="llama",
    vocabulary=512,
    width=64,
    ffn=128,
    layers=2,
    heads=4,
    kv_heads=2,
    max_positions=2048,
    norm_epsilon=1e-6,
    rope_theta=5e5,
)


@pytest.mark.parametrize(
    ("family", "cls", "count"),
    [
        ("llama", LlamaForCausalLM, 139_584),
        ("qwen2", Qwen2ForCausalLM, 139_840),  # a bias for queries, keys and values
        ("qwen3", Qwen3ForCausalLM, 139_648),  # norms of queries and keys
    ],
)
def test_each_family_is_that_of_transformers(family, cls, count):
    model = build_language_model(language_config(replace(TINY, family=family)))
    assert type(model) is cls
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    config = model.config
    assert (config.num_key_value_heads, config.rms_norm_eps) == (2, 1e-6)
    assert config.rope_parameters["rope_theta"] == 5e5


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_fresh_weights_have_the_scale_that_was_asked_for(family):
    torch.manual_seed(0)
    usual = replace(TINY, family=family)
    for settings, scale in ((usual, 0.02), (replace(usual, initializer_range=0.125), 0.125)):
        for name, value in build_language_model(language_config(settings)).named_parameters():
            if value.ndim == 2:
                assert value.std().item() == pytest.approx(scale, rel=0.1), name


def test_added_tokens_are_rows():
    assert language_config(TINY, added=3).vocab_size == 515


def test_a_folder_gives_what_was_saved(tmp_path):
    model = build_language_model(language_config(TINY)).eval()
    model.save_pretrained(tmp_path)
    loaded = load_language_model(tmp_path).eval()
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, model(ids).logits)


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"must be a folder with config\.json of a causal language model"):
        load_language_model(tmp_path)


def test_weights_that_are_pickles_are_not_read(tmp_path):
    model = build_language_model(language_config(TINY))
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="safetensors"):
        load_language_model(tmp_path)


def test_any_other_causal_model_does_as_well():
    """The path knows nothing of families: GPT-2 has learned positions and another head."""
    tokenizer = byte_level()
    rows = len(tokenizer)
    processor = new_processor(tokenizer, recipe("osprey_tiny").model)
    config = GPT2Config(
        vocab_size=rows, n_embd=64, n_layer=2, n_head=4, n_positions=512, bos_token_id=None, eos_token_id=None
    )
    model = new_region_mllm(processor, build_language_model(config)).eval()
    output = model(processor([example((96, 96), regions=2)]), logits="labels")
    assert output.loss.isfinite()
