import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from models.region_lm.conversation import IGNORED, Encoded
from models.region_lm.packing import block_mask, choose_packs, group_by_length, pack, plan_packs
from models.region_lm.sequence import splice

SHAPE = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
MODELS = [
    (LlamaForCausalLM, LlamaConfig(**SHAPE)),
    (Qwen2ForCausalLM, Qwen2Config(**SHAPE)),
    (Qwen3ForCausalLM, Qwen3Config(**SHAPE, head_dim=4)),
]


def samples(lengths, seed=0):
    generator = torch.Generator().manual_seed(seed)
    drawn = [tuple(torch.randint(0, 32, (length,), generator=generator).tolist()) for length in lengths]
    return [Encoded(ids, ids) for ids in drawn]


def spliced(lengths, embed=None, side="right"):
    return splice(samples(lengths), [{}] * len(lengths), embed or nn.Embedding(32, 16), {}, padding_side=side)


@given(st.lists(st.integers(1, 20), max_size=40))
def test_every_sample_is_in_one_row_and_no_row_is_too_long(lengths):
    rows = plan_packs(lengths, 20)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(sum(lengths[number] for number in row) <= 20 for row in rows)
    assert all(list(row) == sorted(row) for row in rows)
    # No two rows would fit into one: the second was only begun because the first had no room.
    sums = [sum(lengths[number] for number in row) for row in rows]
    assert all(first + second > 20 for first, second in itertools.pairwise(sums))


@pytest.mark.parametrize("lengths", [[3, 0], [3, 21]])
def test_samples_that_fit_no_row_are_named(lengths):
    with pytest.raises(ValueError, match=r"sample 1 has (0|21) positions; a row takes 1 to 20"):
        plan_packs(lengths, 20)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(("model_class", "config"), MODELS)
def test_packed_samples_give_the_logits_they_give_alone(model_class, config, side, attention):
    torch.manual_seed(0)
    config._attn_implementation = attention
    model = model_class(config).eval()
    lengths = [5, 3, 7, 2]
    whole = spliced(lengths, model.get_input_embeddings(), side)
    packs = plan_packs(lengths, 10)
    packed = pack(whole, packs)
    assert packed.label_PL.shape == (2, 10)
    with torch.no_grad():
        together = model(
            inputs_embeds=packed.embedding_PLD,
            position_ids=packed.position_PL,
            attention_mask=block_mask(packed.sample_PL, torch.float32),
        ).logits
        for row, numbers in enumerate(packs):
            for place, number in enumerate(numbers, start=1):
                alone = model(torch.tensor([samples(lengths)[number].ids])).logits[0]
                here = together[row][packed.sample_PL[row] == place]
                torch.testing.assert_close(here, alone, atol=1e-5, rtol=1e-5)
    assert together.isfinite().all()


def test_packed_samples_have_the_loss_they_have_alone():
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE)).eval()
    lengths = [6, 4, 3]
    whole = spliced(lengths, model.get_input_embeddings())
    packed = pack(whole, [(0, 1, 2)])
    with torch.no_grad():
        together = model(
            inputs_embeds=packed.embedding_PLD,
            position_ids=packed.position_PL,
            attention_mask=block_mask(packed.sample_PL, torch.float32),
            labels=packed.label_PL,
        ).loss
        apart = model(
            inputs_embeds=whole.embedding_BLD,
            position_ids=whole.position_BL,
            attention_mask=whole.mask_BL,
            labels=whole.label_BL,
        ).loss
    torch.testing.assert_close(together, apart)


def test_a_sample_learns_nothing_of_the_one_before_it():
    packed = pack(spliced([3, 2]), [(0, 1)])
    assert packed.label_PL[0, [0, 3]].tolist() == [IGNORED, IGNORED]
    assert packed.position_PL.tolist() == [[0, 1, 2, 0, 1]]
    assert packed.sample_PL.tolist() == [[1, 1, 1, 2, 2]]


def test_gradients_stay_within_a_sample():
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    packed = pack(spliced([4, 3]), [(0, 1)])
    embedding = packed.embedding_PLD.detach().requires_grad_()
    logits = model(
        inputs_embeds=embedding,
        position_ids=packed.position_PL,
        attention_mask=block_mask(packed.sample_PL, torch.float32),
    ).logits
    logits[0, 4:].sum().backward()
    assert not embedding.grad[0, :4].any()
    assert embedding.grad[0, 4:].abs().sum(dim=1).gt(0).all()


def test_the_mask_shows_a_position_its_sample_up_to_itself():
    mask = block_mask(torch.tensor([[1, 1, 2, 0]]), torch.float32)
    assert mask.shape == (1, 1, 4, 4)
    seen = (mask[0, 0] == 0).int().tolist()
    assert seen == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert mask.min() == torch.finfo(torch.float32).min


@pytest.mark.parametrize("packs", [[(0,)], [(0, 1), (1,)], [(0, 1, 2)]])
def test_packs_hold_each_sample_once(packs):
    with pytest.raises(ValueError, match="packs must hold each of the 2 samples once"):
        pack(spliced([3, 2]), packs)


def test_batches_are_of_like_lengths_in_an_order_of_chance():
    lengths = torch.randint(1, 1000, (400,), generator=torch.Generator().manual_seed(3)).tolist()
    batches = group_by_length(lengths, 8, torch.Generator().manual_seed(0))
    assert sorted(number for batch in batches for number in batch) == list(range(400))
    waste = [
        max(map(lengths.__getitem__, batch)) * len(batch) - sum(map(lengths.__getitem__, batch))
        for batch in batches
    ]
    assert sum(waste) < 0.05 * sum(lengths)
    longest = [max(map(lengths.__getitem__, batch)) for batch in batches]
    assert longest != sorted(longest, reverse=True)
    assert batches == group_by_length(lengths, 8, torch.Generator().manual_seed(0))
    assert batches != group_by_length(lengths, 8, torch.Generator().manual_seed(1))


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match="batch and pool must be at least 1, got 0 and 50"):
        group_by_length([1], 0, torch.Generator())


def test_rows_are_as_long_as_costs_least():
    assert choose_packs([10, 10, 10], longest=10, width=64) is None  # a row each is all there is room for
    assert choose_packs([10], longest=100, width=64) is None
    assert choose_packs([10, 5, 5], longest=10, width=64) == ((0,), (1, 2))
    assert choose_packs([100, 10, 10, 10, 10], longest=400, width=10_000) == ((0, 1, 2, 3, 4),)
    # Where scores cost more than weights, long rows do not pay.
    assert choose_packs([100, 60, 40], longest=400, width=10) == ((0,), (1, 2))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 200))
def test_what_is_chosen_is_a_plan_that_costs_less_than_a_row_each(lengths, width):
    packs = choose_packs(lengths, longest=60, width=width)
    if packs is None:
        return
    assert sorted(number for row in packs for number in row) == list(range(len(lengths)))
    longest = max(sum(lengths[number] for number in row) for row in packs)
    assert longest <= 60

    def cost(rows, length):
        return rows * length * (6 * width + length)

    assert cost(len(packs), longest) < cost(len(lengths), max(lengths))
