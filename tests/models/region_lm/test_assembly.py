"""New models: rows for placeholders, ids in the configuration, and nothing else changed."""

from dataclasses import replace

import pytest
import torch

from models.region_lm.assembly import new_region_mllm, planned_model
from models.region_lm.build import build_vision
from models.region_lm.language_model import build_language_model, language_config
from models.region_lm.processing import RegionProcessor, new_processor
from models.region_lm.tokens import IMAGE, MASK, POSITION
from tests.models.region_lm.systems import new_system, recipe
from tests.models.region_lm.vocabularies import byte_level


def test_placeholders_get_the_mean_of_the_rows():
    tokenizer = byte_level()
    known = len(tokenizer)
    settings = recipe("osprey_tiny")
    torch.manual_seed(0)
    language = build_language_model(language_config(replace(settings.language, vocabulary=known)))
    before = language.get_input_embeddings().weight.detach().clone()
    processor = new_processor(tokenizer, settings.model)
    model = new_region_mllm(processor, language)
    rows = model.get_input_embeddings().weight
    assert rows.shape == (known + 3, 64)
    assert torch.equal(rows[:known], before)
    for number in processor.placeholder_ids.values():
        assert torch.allclose(rows[number], before.mean(dim=0))
    assert model.config.get_text_config().vocab_size == known + 3


def test_a_placeholder_that_was_there_keeps_its_row():
    tokenizer = byte_level()
    tokenizer.add_tokens([MASK], special_tokens=True)
    tokenizer.add_tokens([f"<more{number}>" for number in range(4)], special_tokens=True)
    known, settings = len(tokenizer), recipe("osprey_tiny")
    early = tokenizer.convert_tokens_to_ids(MASK)
    language = build_language_model(language_config(replace(settings.language, vocabulary=known + 9)))
    before = language.get_input_embeddings().weight.detach().clone()
    processor = new_processor(tokenizer, settings.model)
    rows = new_region_mllm(processor, language).get_input_embeddings().weight
    assert torch.equal(rows[:known], before[:known])
    for name in (IMAGE, POSITION):
        number = processor.placeholder_ids[name]
        assert known <= number < known + 2
        torch.testing.assert_close(rows[number], before[:known].mean(dim=0))
    assert early < known - 1
    assert torch.equal(rows[known + 2 :], before[known + 2 :])
    again = RegionProcessor(tokenizer, settings.model)  # as if it was loaded: nothing is new
    assert torch.equal(new_region_mllm(again, language).get_input_embeddings().weight, rows)


def test_the_configuration_knows_every_id():
    processor, model = new_system("tokenpacker_hd_tiny")
    config = model.config
    assert config.placeholder_ids == processor.placeholder_ids == {IMAGE: len(processor.tokenizer) - 1}
    assert config.separator_ids == {key: list(ids) for key, ids in processor.separator_ids.items()}
    assert config.terminator_id == processor.tokenizer.eos_token_id
    assert config.num_tokens == len(processor.tokenizer)
    assert config.get_text_config().eos_token_id == config.terminator_id


def test_weights_are_drawn_from_the_seed():
    states = [new_system("osprey_tiny", seed=seed)[1].state_dict() for seed in (1, 1, 2)]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())
    assert any(not torch.equal(value, states[2][key]) for key, value in states[0].items())
    assert not any(value.is_meta for value in states[0].values())


def test_a_vocabulary_that_is_too_small_is_refused():
    processor = new_processor(byte_level(), recipe("osprey_tiny").model)
    small = replace(recipe("osprey_tiny").language, vocabulary=100)
    with pytest.raises(
        ValueError, match=r"the language model has 100 tokens, but the tokenizer has .* at \d+"
    ):
        new_region_mllm(processor, small)


def test_a_trained_encoder_becomes_a_part():
    settings = recipe("osprey_tiny")
    processor = new_processor(byte_level(), settings.model)
    vision = build_vision(settings.model.vision)
    assert new_region_mllm(processor, settings.language, vision).vision is vision
    wider = replace(settings.model.vision.convnext, dims=(8, 16, 24, 40))
    other = build_vision(replace(settings.model.vision, convnext=wider))
    with pytest.raises(ValueError, match=r"vision is not what the settings say: model\..* must be .*, got"):
        new_region_mllm(processor, settings.language, other)
    deeper = build_vision(replace(settings.model.vision, convnext=replace(wider, depths=(1, 2, 2, 1))))
    with pytest.raises(ValueError, match=r"must be absent, got|must be \("):
        new_region_mllm(processor, settings.language, deeper)


def test_a_planned_model_has_no_weights():
    settings = recipe("osprey_tiny")
    model = planned_model(settings.model, settings.language)
    assert {value.device.type for value in model.state_dict().values()} == {"meta"}
    assert model.config.get_text_config().vocab_size == 512 + 3
