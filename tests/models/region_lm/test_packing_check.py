"""Language models that keep samples of a row apart, and the many that do not."""

import re

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    Lfm2Config,
    MambaConfig,
    MistralConfig,
    Qwen2Config,
)

from models.region_lm.assembly import new_region_mllm
from models.region_lm.packing_check import packing_fault
from models.region_lm.processing import new_processor
from tests.models.region_lm.systems import new_system, recipe, system
from tests.models.region_lm.vocabularies import byte_level

SHAPE = {
    "vocab_size": 515,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
NO_IDS = {"bos_token_id": None, "eos_token_id": None}


def around(config):
    processor = new_processor(byte_level(), recipe("osprey_tiny").model)
    torch.manual_seed(0)
    return new_region_mllm(processor, AutoModelForCausalLM.from_config(config))


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_full_attention_keeps_samples_apart(family):
    model = system("osprey_tiny", family)[1]
    before = torch.random.get_rng_state()
    assert packing_fault(model) is None
    assert not model.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_is_the_same_while_it_trains_in_bfloat16():
    model = new_system("osprey_tiny")[1].to(torch.bfloat16).train()
    assert packing_fault(model) is None
    assert model.language.training


@pytest.mark.parametrize("config", [
    MistralConfig(**SHAPE, sliding_window=None),
    MistralConfig(**SHAPE, sliding_window=256),
    Qwen2Config(**SHAPE, use_sliding_window=False),
    GPT2Config(vocab_size=515, n_embd=16, n_layer=2, n_head=4, n_positions=64, **NO_IDS),
])  # fmt: skip
def test_other_models_of_full_attention_do_as_well(config):
    assert packing_fault(around(config)) is None


@pytest.mark.parametrize(("config", "fault"), [
    (MistralConfig(**SHAPE, sliding_window=8), "its attention sees 8 positions at most"),
    (Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=8, max_window_layers=0),
     "it has layers of the kind 'sliding_attention'"),
    (Lfm2Config(**SHAPE, layer_types=["conv", "full_attention"]), "it has layers of the kind 'conv'"),
    (BloomConfig(vocab_size=515, hidden_size=16, n_layer=2, n_head=4),
     r"it cannot read a mask of blocks \(ValueError: "),
    (MambaConfig(vocab_size=515, hidden_size=16, num_hidden_layers=2, state_size=4),
     "it has layers of the kind 'linear_attention'"),
])  # fmt: skip
def test_models_that_do_not_are_named(config, fault):
    found = packing_fault(around(config))
    assert found is not None
    assert re.match(fault, found), found


def test_what_no_configuration_says_is_tried():
    model = new_system("osprey_tiny")[1]
    mixes = model.language.model.layers[0].mlp  # it hands each position's result to the next one as well
    mixes.register_forward_hook(lambda module, args, output: output + output.roll(1, dims=1))
    assert packing_fault(model) == "what one sample says reaches the next one of its row"


def test_positions_must_be_read():
    model = around(GPT2Config(vocab_size=515, n_embd=16, n_layer=2, n_head=4, n_positions=64, **NO_IDS))

    def counts_itself(module, args, named):
        return args, {**named, "position_ids": None}

    handle = model.language.register_forward_pre_hook(counts_itself, with_kwargs=True)
    assert packing_fault(model) == "it reads a sample otherwise behind another one than alone"
    handle.remove()
    assert packing_fault(model) is None


def test_an_attention_that_reads_no_such_mask_is_named():
    model = new_system("osprey_tiny")[1]
    model.language.config._attn_implementation = "flash_attention_2"
    assert packing_fault(model).startswith("its attention is 'flash_attention_2'; only eager and sdpa")
