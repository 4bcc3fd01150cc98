import pytest
import torch

from benchmarks.region_mllm_batches import KEPT, encode_questions, encode_training, join
from benchmarks.region_mllm_language import new_language, new_tokenizer
from benchmarks.region_mllm_systems import (
    SYSTEMS,
    KeptFeatures,
    answers,
    match_words,
    new_system,
    recipe_of,
    train,
)
from benchmarks.region_mllm_world import conversations, draw_split, held_out, sentences
from models.region_lm.build import build_vision
from tasks.data.region_examples import load_example


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    split = draw_split(tmp_path_factory.mktemp("world"), "train", seed=5, count=3, crowding="overlapping")
    epochs = {topic: [conversations(split, topic, seed=0, epoch=0)] for topic in ("regions", "images")}
    said = sentences(sample for epoch in epochs.values() for samples in epoch[0] for sample in samples)
    tokenizer = new_tokenizer(said)
    recipe = recipe_of(SYSTEMS["osprey"])
    torch.manual_seed(0)
    encoder = build_vision(recipe.model.vision).eval().requires_grad_(False)
    return split, epochs, tokenizer, encoder, new_language(recipe.language, len(tokenizer), seed=0)


def test_kept_features_are_what_the_encoder_sees(parts):
    """The same conversations through pixels, with the regions in the order of each sample."""
    split, epochs, tokenizer, encoder, language = parts
    processor, model = new_system(SYSTEMS["osprey"], tokenizer, encoder, language, seed=0)
    model.eval()
    samples = [sample for some in epochs["regions"][0] for sample in some]
    batches = encode_training(processor, split, epochs["regions"], "mask")
    seen = processor([load_example(sample, split.folder) for sample in samples])
    with torch.no_grad():
        expected = model(seen).logits
        model.vision = KeptFeatures(encoder, split)
        found = model(join(batches)).logits
    assert torch.allclose(found, expected, atol=1e-4)


def test_fresh_projectors_say_tokens_as_long_as_words(parts):
    split, _, tokenizer, encoder, language = parts
    kept = KeptFeatures(encoder, split)
    for name in ("mlp", "average_pool", "token_packer"):
        _, model = new_system(SYSTEMS[name], tokenizer, encoder, language, seed=0)
        match_words(model, kept)
        tokens = model.projector(kept({KEPT: torch.arange(3)}))
        words = model.get_input_embeddings().weight.square().mean()
        assert torch.allclose(tokens.square().mean(), words, rtol=1e-4), name


@pytest.mark.parametrize("name", ["token_packer", "osprey"])
def test_a_system_trains_what_its_stage_says(parts, name):
    split, epochs, tokenizer, encoder, language = parts
    system = SYSTEMS[name]
    processor, model = new_system(system, tokenizer, encoder, language, seed=0)
    kept = KeptFeatures(encoder, split)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    samples = encode_training(processor, split, epochs[system.topic], system.shown)
    cost = train(model, recipe_of(system), kept, samples, seed=0)
    changed = {
        key.split(".")[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])
    }
    assert changed == {part.part for part in recipe_of(system).stages[0].train}
    assert cost["steps"] == 1
    batches = encode_questions(processor, split, held_out(split, system.topic)[:3], system.shown)
    assert len(answers(model, processor, kept, batches)) == 3


def test_compression_is_as_said():
    kinds = {
        name: recipe_of(SYSTEMS[name]).model.projector for name in ("mlp", "token_packer", "average_pool")
    }
    assert [kinds[name].scale for name in kinds] == [1, 2, 2]
    stages = [recipe_of(SYSTEMS[name]).stages[0] for name in kinds]
    assert len({(stage.global_batch, stage.max_length, stage.schedule) for stage in stages}) == 1
    assert len({tuple(part.part for part in stage.train) for stage in stages}) == 1
    assert {SYSTEMS[name].epochs for name in kinds} == {SYSTEMS["mlp"].epochs}
