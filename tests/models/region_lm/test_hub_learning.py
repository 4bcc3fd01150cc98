"""How the model learns: one seed is one run, blocks computed again, what stays as it is, samples by heart."""

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaAttention

from models.region_lm.trainable import begin_stage
from tests.models.region_lm.systems import TINY, WITH_REGIONS, example, mixed, new_system, recipe


def losses_of_a_run(name: str, steps: int = 3) -> list[float]:
    processor, model = new_system(name, seed=3)
    batch = processor(mixed(name))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(steps):
        loss = model(batch, logits="labels").loss
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return losses


def test_one_seed_is_one_run():
    first, second = losses_of_a_run("osprey_tiny"), losses_of_a_run("osprey_tiny")
    assert first == second
    assert first[-1] < first[0]


def test_checkpointed_gradients_are_the_same():
    name = "tokenpacker_osprey_hd_tiny"
    results = []
    for checkpointed in (False, True):
        processor, model = new_system(name)
        begin_stage(model, recipe(name).stage("regions"))
        model.train()
        if checkpointed:
            model.activation_checkpointing_enable()
            assert model.language.is_activation_checkpointing
        model(processor(mixed(name)), logits="labels").loss.backward()
        results.append({key: value.grad for key, value in model.named_parameters()})
    for key, gradient in results[0].items():
        assert (gradient is None) == (results[1][key] is None), key
        assert gradient is None or torch.allclose(gradient, results[1][key], atol=1e-6), key


def test_what_does_not_learn_is_not_in_training():
    _, model = new_system("osprey_tiny")
    begin_stage(model, recipe("osprey_tiny").stage("regions"))
    model.train()
    assert [part.training for part in (model.vision, model.projector, model.regions, model.language)] == [
        False,
        False,
        True,
        False,
    ]
    assert not model.eval().regions.training


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_sixteen_samples_are_learned_by_heart(name):
    words = ("circle", "square", "triangle", "cross")
    colours = ("red", "green", "blue", "yellow")
    regions = int(name in WITH_REGIONS)
    processor, model = new_system(name)
    batch = processor(
        [
            example(
                (96, 96), regions=regions, answer=f"a {colours[number // 4]} {words[number % 4]}", seed=number
            )
            for number in range(16)
        ]
    )
    begin_stage(model, recipe(name).stages[-1])
    optimizer = torch.optim.AdamW([part for part in model.parameters() if part.requires_grad], lr=3e-3)
    model.train()
    loss = torch.tensor(torch.inf)
    for step in range(400):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (step + 1) / 20)
        loss = model(batch, logits="labels").loss
        if loss.item() < 0.05:
            break
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.05


@pytest.mark.parametrize("part", ["projector", "language"])
def test_blocks_are_computed_again_frozen_or_not_and_give_the_same_gradients(part, monkeypatch):
    processor, model = new_system("osprey_tiny")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(part))
    batch, calls = processor(mixed("osprey_tiny")), []
    honest = LlamaAttention.forward

    def count(self, *given, **named):
        calls.append(self.training)
        return honest(self, *given, **named)

    monkeypatch.setattr(LlamaAttention, "forward", count)

    def gradients():
        calls.clear()
        model.zero_grad(set_to_none=True)
        model.train()(batch, logits="labels").loss.backward()
        return {
            name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None
        }

    kept = gradients()
    assert len(calls) == 2  # layers
    model.language.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    again = gradients()
    assert len(calls) == 4
    assert set(calls) == {part == "language"}  # what is inside a frozen block stays as it is used
    assert kept.keys() == again.keys()
    assert all(torch.equal(kept[name], again[name]) for name in kept)
    assert not any(block.training for block in model.eval().language.modules())
