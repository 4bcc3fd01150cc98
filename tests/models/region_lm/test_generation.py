"""Answers: a batch says what each sample says alone, and no placeholder is ever said."""

import pytest
import torch

from models.region_lm.generation import Sampling, generate
from models.region_lm.hub import RegionMLLM
from models.region_lm.trainable import LoraSettings, StagePlan, begin_stage
from tests.models.region_lm.systems import TINY, example, mixed, new_system, recipe, system


def one_by_one(model, batch, count: int) -> list[int]:
    """Take the likeliest token again and again, reading everything anew each time."""
    spliced = model.insert(batch, model.see(batch), padding_side="left", limited=False)
    embedding, mask = spliced.embedding_BLD, spliced.mask_BL
    silent = [*model.config.placeholder_ids.values()]
    answer: list[int] = []
    for _ in range(count):
        logits = model.language(inputs_embeds=embedding, attention_mask=mask, use_cache=False).logits[0, -1]
        logits[silent] = -torch.inf
        token = int(logits[: model.config.num_tokens].argmax())
        if token == model.config.terminator_id:
            break
        answer.append(token)
        word = model.get_input_embeddings()(torch.tensor([[token]]))
        embedding = torch.cat([embedding, word], dim=1)
        mask = torch.cat([mask, mask.new_ones(1, 1)], dim=1)
    return answer


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("name", ["osprey_tiny", "tokenpacker_osprey_hd_tiny"])
@torch.no_grad()
def test_a_batch_of_different_tiles_says_what_each_says_alone(name, family):
    processor, model = system(name, family)
    samples = mixed(name, answers=False)
    together = generate(model, processor(samples, answer_next=True), max_new_tokens=10)
    for sample, answer in zip(samples, together, strict=True):
        batch = processor([sample], answer_next=True)
        assert generate(model, batch, max_new_tokens=10) == [answer]
        assert one_by_one(model, batch, 10) == answer


def wish(model, token: int) -> None:
    """Make the head want one token before all others, whatever it reads."""
    head = model.get_output_embeddings()
    with torch.no_grad():
        head.weight.zero_()
        head.bias = torch.nn.Parameter(torch.zeros(len(head.weight)))
        head.bias[token] = 5.0


@pytest.mark.parametrize("name", TINY)
def test_placeholders_are_never_said(name):
    processor, model = new_system(name)
    batch = processor(mixed(name, answers=False), answer_next=True)
    for token in processor.placeholder_ids.values():
        wish(model, token)
        answers = generate(model, batch, max_new_tokens=4)
        assert all(token not in answer for answer in answers)
        assert all(len(answer) == 4 for answer in answers)


def test_rows_without_a_token_are_never_said():
    processor, model = new_system("osprey_tiny")
    model.language.resize_token_embeddings(500, mean_resizing=False)
    wish(model, 499)
    batch = processor([example((96, 96), answer=None)], answer_next=True)
    assert max(generate(model, batch, max_new_tokens=4)[0]) < len(processor.tokenizer)


def test_an_answer_ends_before_its_terminator():
    processor, model = new_system("osprey_tiny")
    wish(model, processor.terminator_id)
    batch = processor(mixed("osprey_tiny", answers=False), answer_next=True)
    assert generate(model, batch, max_new_tokens=4) == [[], [], [], []]


def test_images_that_were_seen_are_not_seen_again():
    name = "tokenpacker_osprey_hd_tiny"
    processor, model = system(name)
    sample = example((70, 150), regions=3, answer=None)
    batch = processor.ask(sample.image, sample.masks, [sample.turns] * 2)
    with torch.no_grad():
        seen = model.see(batch)
    calls = []
    handle = model.vision.register_forward_hook(lambda *_: calls.append(1))
    found = generate(model, batch, max_new_tokens=5, seen=seen)
    assert not calls
    assert found == generate(model, batch, max_new_tokens=5)
    assert len(calls) == 1
    handle.remove()


def test_keys_and_values_are_kept():
    processor, model = system("osprey_tiny")
    batch = processor([example((96, 96), answer=None)], answer_next=True)
    lengths = []
    handle = model.language.model.layers[0].register_forward_hook(
        lambda module, args, output: lengths.append(args[0].shape[1])
    )
    generate(model, batch, max_new_tokens=5)
    handle.remove()
    assert lengths[0] > 64
    assert lengths[1:] == [1] * (len(lengths) - 1)


def test_what_a_language_model_wishes_changes_no_answer(tmp_path):
    processor, model = new_system("osprey_tiny")
    batch = processor(mixed("osprey_tiny", answers=False), answer_next=True)
    expected = generate(model, batch, max_new_tokens=12)
    wishes = model.language.generation_config
    wishes.repetition_penalty, wishes.no_repeat_ngram_size = 5.0, 1
    assert generate(model, batch, max_new_tokens=12) == expected
    assert model.language.generation_config is wishes
    assert any(len(set(answer)) < len(answer) for answer in expected)  # it would have been another one
    model.save_pretrained(tmp_path)
    assert generate(RegionMLLM.from_pretrained(tmp_path).eval(), batch, max_new_tokens=12) == expected


def test_the_model_goes_back_to_training():
    name = "osprey_tiny"
    processor, model = new_system(name)
    lora = LoraSettings(rank=2, alpha=2.0, learning_rate=1e-3, dropout=0.5)
    begin_stage(model, StagePlan(name="x", train=(), lora=lora, global_batch=1, epochs=1, max_length=64))
    model.train()
    batch = processor([example((96, 96), answer=None)], answer_next=True)
    assert generate(model, batch, max_new_tokens=5) == generate(model, batch, max_new_tokens=5)
    assert model.training
    assert model.language.training
    assert not model.vision.training


def test_drawn_answers_follow_the_generator():
    processor, model = system("osprey_tiny")
    batch = processor([example((96, 96), answer=None)], answer_next=True)

    def draw(seed: int) -> list[list[int]]:
        torch.manual_seed(seed)
        return generate(model, batch, max_new_tokens=8, sampling=Sampling(temperature=1.5, top_p=0.99))

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


def test_answers_that_do_not_fit_are_refused():
    processor, model = new_system("osprey_tiny", max_positions=150)
    batch = processor([example((96, 96), answer=None)], answer_next=True)
    with pytest.raises(ValueError, match=r"fit behind a prompt of \d+ positions into 150, got 100"):
        generate(model, batch, max_new_tokens=100)
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1"):
        generate(model, batch, max_new_tokens=0)


@pytest.mark.parametrize(("temperature", "top_p"), [(0.0, 1.0), (1.0, 0.0), (1.0, 1.5)])
def test_sampling_that_draws_nothing_is_refused(temperature, top_p):
    with pytest.raises(ValueError, match="temperature must be positive and top_p in"):
        Sampling(temperature=temperature, top_p=top_p)


def test_every_tiny_system_has_room_for_an_answer():
    assert all(recipe(name).language.max_positions >= 512 for name in TINY)
