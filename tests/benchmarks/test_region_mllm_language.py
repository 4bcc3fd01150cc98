import itertools

import torch

from benchmarks.region_mllm_language import (
    ReadingSettings,
    new_language,
    new_tokenizer,
    read,
    read_conversation,
    told_scenes,
)
from models.region_lm.config import LanguageSettings
from models.region_lm.conversation import IGNORED

SETTINGS = LanguageSettings(
    family="qwen3",
    vocabulary=1,
    width=16,
    ffn=16,
    layers=1,
    heads=2,
    kv_heads=2,
    max_positions=256,
    initializer_range=0.25,
)


def test_scenes_grow():
    scenes = list(itertools.islice(told_scenes(0, rising=40), 80))
    assert all(len(scene.objects) == 1 for scene in scenes[:9])
    assert max(len(scene.objects) for scene in scenes[40:]) == 4
    assert [scene.number for scene in scenes[:3]] == [1, 2, 3]


def test_words_are_tokens_and_answers_are_learned():
    tokenizer = new_tokenizer(["Is there a ", " in the picture?", "Yes.", "No."])
    scene = next(told_scenes(0))
    encoded = read_conversation(scene, tokenizer, 0)
    text = tokenizer.decode(encoded.ids)
    assert f"USER: {', '.join(shape.caption for shape in scene.objects)}.\n" in text
    learned = tokenizer.decode([label for label in encoded.labels if label != IGNORED])
    assert learned.count("</s>") == text.count("ASSISTANT:") == 4
    assert len(tokenizer(f" {scene.objects[0].caption}")["input_ids"]) == 3


def test_reading_learns_and_repeats():
    tokenizer = new_tokenizer([])
    settings = ReadingSettings(steps=2, conversations_per_step=2)
    models = [new_language(SETTINGS, len(tokenizer), seed=1) for _ in range(2)]
    first = {name: value.clone() for name, value in models[0].state_dict().items()}
    for model in models:
        read(model, tokenizer, settings, seed=1)
    one, other = (model.state_dict() for model in models)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["model.embed_tokens.weight"], first["model.embed_tokens.weight"])
    assert first["model.embed_tokens.weight"].std() > 0.2
