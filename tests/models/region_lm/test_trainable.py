"""What trains when: the declared parameters have gradients and move, the others stay as they are."""

from dataclasses import replace

import pytest
import torch

from models.region_lm.hub import RegionMLLM
from models.region_lm.trainable import (
    LoraSettings,
    StagePlan,
    TrainedPart,
    adapter_state,
    begin_stage,
    declared_rates,
    has_adapters,
    is_adapter,
    merge_adapters,
    parameter_groups,
)
from tests.models.region_lm.systems import TINY, WITH_REGIONS, mixed, new_system, recipe, system

LORA = LoraSettings(rank=2, alpha=4.0, learning_rate=1e-2, targets=("q_proj", "v_proj"))


def plan(*parts: tuple[str, float], lora: LoraSettings | None = None, weight_decay: float = 0.0) -> StagePlan:
    trained = tuple(TrainedPart(part=part, learning_rate=rate) for part, rate in parts)
    return StagePlan(
        name="x",
        train=trained,
        lora=lora,
        global_batch=4,
        epochs=1,
        max_length=64,
        weight_decay=weight_decay,
    )


def step(model, processor, name: str, stage: StagePlan) -> tuple[dict, set[str]]:
    """Make one step; returns the values before it and the names of what had a gradient."""
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(parameter_groups(model, stage))
    model.train()
    model(processor(mixed(name)), logits="labels").loss.backward()
    learned = {key for key, value in model.named_parameters() if value.grad is not None}
    optimizer.step()
    return before, learned


STAGES = [(name, stage.name) for name in TINY for stage in recipe(name).stages]


@pytest.mark.parametrize(("name", "stage_name"), STAGES)
def test_exactly_what_a_stage_declares_learns(name, stage_name):
    processor, model = new_system(name)
    stage = recipe(name).stage(stage_name)
    begin_stage(model, stage)
    declared = set(declared_rates(model, stage))
    before, learned = step(model, processor, name, stage)
    assert learned == declared
    assert {key.split(".")[0] for key in declared} == {trained.part for trained in stage.train}
    for key, value in model.named_parameters():
        assert torch.equal(before[key], value) != (key in declared), key


def test_adapters_learn_beside_a_part_and_the_language_model_stays():
    name = "osprey_tiny"
    processor, model = new_system(name)
    stage = plan(("regions", 1e-3), lora=LORA)
    begin_stage(model, stage)
    before, learned = step(model, processor, name, stage)
    assert learned == set(declared_rates(model, stage))
    adapters = {key for key in learned if key.startswith("language.")}
    assert all(is_adapter(key) for key in adapters)
    assert {key.split(".")[5] for key in adapters} == {"q_proj", "v_proj"}
    assert len(adapters) == 2 * 2 * 2  # layers, projections, factors
    for key, value in model.named_parameters():
        moved = not torch.equal(before[key], value)
        # The second factor starts at zero, so the first has a gradient of zero in the first step.
        assert moved == (key in learned and "lora_A" not in key), key


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_merged_adapters_say_the_same(family, tmp_path):
    name = "osprey_tiny"
    processor, model = new_system(name, family=family)
    stage = plan(
        ("projector", 1e-3), lora=replace(LORA, targets=LoraSettings.__dataclass_fields__["targets"].default)
    )
    batch = processor(mixed(name))
    untouched = set(model.state_dict())
    with torch.no_grad():
        start = model(batch).logits
        begin_stage(model, stage)
        assert torch.allclose(model(batch).logits, start, atol=1e-6)
    for _ in range(3):
        step(model, processor, name, stage)
    model.eval()
    with torch.no_grad():
        apart = model(batch).logits
        assert not torch.allclose(apart, start, atol=1e-3)
        merge_adapters(model)
        assert torch.allclose(model(batch).logits, apart, atol=1e-5)
    assert not has_adapters(model)
    assert set(model.state_dict()) == untouched
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(RegionMLLM.from_pretrained(tmp_path).eval()(batch).logits, model(batch).logits)


def test_adapters_can_be_put_back():
    name = "osprey_tiny"
    processor, model = new_system(name)
    begin_stage(model, plan(lora=LORA))
    step(model, processor, name, plan(lora=LORA))
    kept = {key: value.clone() for key, value in adapter_state(model).items()}
    assert len(kept) == 8
    _, other = new_system(name)
    begin_stage(other, plan(lora=LORA))
    missing = other.load_state_dict(kept, strict=False)
    assert not missing.unexpected_keys
    with torch.no_grad():
        batch = processor(mixed(name))
        assert torch.equal(other.eval()(batch).logits, model.eval()(batch).logits)


def test_the_longest_name_decides_the_rate():
    _, model = system("osprey_tiny")
    rates = declared_rates(model, plan(("language", 1e-5), ("language.model.embed_tokens", 1e-3)))
    assert rates.pop("language.model.embed_tokens.weight") == 1e-3
    assert set(rates.values()) == {1e-5}


def test_groups_have_one_rate_and_vectors_do_not_decay():
    _, model = system("osprey_tiny")
    groups = parameter_groups(model, plan(("projector", 1e-3), ("regions", 1e-4), weight_decay=0.1))
    assert sorted((group["lr"], group["weight_decay"]) for group in groups) == [
        (1e-4, 0.0),
        (1e-4, 0.1),
        (1e-3, 0.0),
        (1e-3, 0.1),
    ]
    for group in groups:
        assert len(group["params"]) == len(group["names"])
        assert all((parameter.ndim > 1) == (group["weight_decay"] > 0) for parameter in group["params"])
    names = [name for group in groups for name in group["names"]]
    assert len(set(names)) == len(names)


def test_a_part_that_is_not_there_is_named():
    _, model = system("tokenpacker_tiny")
    assert "tokenpacker_tiny" not in WITH_REGIONS
    with pytest.raises(
        ValueError,
        match=r"stage 'x' trains 'regions', which the model does not have; "
        r"it has \['language', 'projector', 'vision'\]",
    ):
        begin_stage(model, plan(("regions", 1e-3)))
    with pytest.raises(ValueError, match="trains 'project'"):
        declared_rates(model, plan(("project", 1e-3)))


def test_adapters_of_two_stages_do_not_pile_up():
    _, model = new_system("osprey_tiny")
    begin_stage(model, plan(lora=LORA))
    with pytest.raises(
        ValueError, match="adapters of an earlier stage are in the model: merge_adapters before"
    ):
        begin_stage(model, plan(("projector", 1e-3)))


def test_a_stage_that_is_refused_leaves_no_adapters():
    _, model = new_system("osprey_tiny")
    with pytest.raises(ValueError, match="trains 'nothing', which the model does not have"):
        begin_stage(model, plan(("nothing", 1e-3), lora=LORA))
    assert not has_adapters(model)
    begin_stage(model, plan(("projector", 1e-3), lora=LORA))
    assert has_adapters(model)


def test_a_head_that_is_the_embedding_gets_no_adapter():
    lora = replace(LORA, targets=("q_proj", "lm_head"))
    _, tied = new_system("osprey_tiny", tie_embeddings=True)
    said = r"'lm_head' of the language model is its input embedding as well .*Leave it out of lora\.targets"
    with pytest.raises(ValueError, match=said):
        begin_stage(tied, plan(lora=lora))
    assert not has_adapters(tied)
    processor, model = new_system("osprey_tiny")
    begin_stage(model, plan(lora=lora))
    with torch.no_grad():
        for name, value in model.named_parameters():
            if is_adapter(name):
                value.normal_(std=0.3)
        expected = model(processor(mixed("osprey_tiny"))).logits
        merge_adapters(model)
        assert torch.allclose(model(processor(mixed("osprey_tiny"))).logits, expected, atol=1e-4)


def test_adapters_that_are_not_there_are_named():
    _, model = new_system("osprey_tiny")
    with pytest.raises(ValueError, match="stage 'x' has adapters and the model has none: call begin_stage"):
        declared_rates(model, plan(lora=LORA))
    with pytest.raises(ValueError, match=r"has no linear layer 'c_attn'; it has \['down_proj'"):
        begin_stage(model, plan(lora=replace(LORA, targets=("c_attn",))))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (plan, "stage 'x' trains nothing"),
        (lambda: plan(("projector", 0.0)), "learning_rate of 'projector' must be positive, got 0.0"),
        (lambda: plan(("projector", 1e-3), ("projector", 1e-4)), "names a part twice"),
        (lambda: plan(("language", 1e-3), lora=LORA), "both whole and by adapters"),
        (lambda: replace(plan(("projector", 1e-3)), epochs=0), "epochs must be at least 1, got 0"),
        (lambda: replace(plan(("projector", 1e-3)), warmup_ratio=1.0), "warmup_ratio must be in"),
        (lambda: replace(LORA, rank=0), "rank, alpha, learning_rate must be positive"),
        (lambda: replace(LORA, dropout=1.0), "dropout must be in"),
    ],
)
def test_stages_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
