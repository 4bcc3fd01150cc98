"""Files that lack a weight, or have one too many, give no model; what lies beside it does no harm."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

from models.region_lm.hub import RegionMLLM
from models.region_lm.language_model import load_language_model
from tests.models.region_lm.systems import new_system

SHAPE = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def changed(folder, model, *, without=(), extra=None):
    """Save a model, then take weights away and put others in."""
    model.save_pretrained(folder)
    path = folder / "model.safetensors"
    state = {name: value for name, value in load_file(path).items() if name not in without}
    save_file({**state, **(extra or {})}, path, metadata={"format": "pt"})
    return folder


def llama(**more):
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SHAPE, **more))


def test_a_language_model_without_a_head_is_refused(tmp_path):
    LlamaModel(LlamaConfig(**SHAPE)).save_pretrained(tmp_path)
    said = r"weights are missing \(1\): lm_head\.weight\. Fetch or save the whole model again"
    with pytest.raises(ValueError, match=said):
        load_language_model(tmp_path)


def test_a_tied_head_is_not_missing(tmp_path):
    LlamaModel(LlamaConfig(**SHAPE, tie_word_embeddings=True)).save_pretrained(tmp_path)
    model = load_language_model(tmp_path)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_the_first_names_and_their_number_are_said(tmp_path):
    lost = [f"model.layers.0.mlp.{name}_proj.weight" for name in ("down", "gate", "up")]
    folder = changed(tmp_path, llama(), without=[*lost, "model.norm.weight"])
    with pytest.raises(ValueError, match=rf"missing \(4\): {lost[0]}, {lost[1]}, {lost[2]}, \.\.\."):
        load_language_model(folder)


def test_another_shape_is_refused(tmp_path):
    folder = changed(tmp_path, llama(), extra={"model.norm.weight": torch.ones(8)})
    with pytest.raises(ValueError, match=r"have another shape than config.json says \(1\): model\.norm"):
        load_language_model(folder)


@pytest.mark.parametrize(
    "name", ["model.layers.1.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.lora_A.weight", "lm_head.bias"]
)
def test_more_of_a_part_that_the_model_has_is_refused(tmp_path, name):
    folder = changed(tmp_path, llama(), extra={name: torch.ones(4)})
    with pytest.raises(ValueError, match=rf"have no place in the model .* \(1\): {name}"):
        load_language_model(folder)


def test_what_lies_beside_a_language_model_is_passed_over(tmp_path):
    names = ("model.vision_tower.x.weight", "mm_projector.weight", "score.weight")
    inverse = "model.layers.0.self_attn.rotary_emb.inv_freq"
    model = llama()
    folder = changed(tmp_path, model, extra={name: torch.ones(2) for name in (*names, inverse)})
    loaded = load_language_model(folder)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_model_that_sees_is_whole_or_refused(tmp_path):
    _, model = new_system("osprey_tiny")
    lost = "projector.layers.0.weight"
    with pytest.raises(ValueError, match=rf"weights are missing \(1\): {lost}"):
        RegionMLLM.from_pretrained(changed(tmp_path / "less", model, without=[lost]))
    extra = {"language.other.weight": torch.ones(2)}
    with pytest.raises(ValueError, match=r"have no place in the model .*: language\.other\.weight"):
        RegionMLLM.from_pretrained(changed(tmp_path / "more", model, extra=extra))
    with pytest.raises(ValueError, match=rf"have another shape .*: {lost}"):
        RegionMLLM.from_pretrained(changed(tmp_path / "else", model, extra={lost: torch.ones(3)}))
    tied = new_system("osprey_tiny", tie_embeddings=True)[1]
    tied.save_pretrained(tmp_path / "tied")
    loaded = RegionMLLM.from_pretrained(tmp_path / "tied")
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
