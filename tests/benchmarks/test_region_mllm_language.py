import numpy as np
import torch

from benchmarks.region_mllm_language import (
    ReadingSettings,
    compare_conversation,
    new_language,
    new_tokenizer,
    read,
)
from models.region_lm.config import LanguageSettings
from models.region_lm.conversation import IGNORED
from tasks.data.shapes_world import COLOURS, SHAPES

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


def test_only_what_follows_from_a_caption_is_learned():
    """Yes where the caption has all the words that were asked for; what stands before is not learned."""
    tokenizer = new_tokenizer(["Is it a ", "Yes.", "No."])
    generator = np.random.default_rng(3)
    verdicts = {True: set(), False: set()}
    for _ in range(40):
        encoded = compare_conversation(generator, tokenizer)
        text = tokenizer.decode(encoded.ids)
        learned = [tokenizer.decode(label) for label in encoded.labels if label != IGNORED]
        said = [answer.split("</s>")[0].split(". ") for answer in text.split("ASSISTANT: ")[1:]]
        assert "".join(learned) == "".join(f" {last}</s>" for _, last in said)
        for question, (caption, last) in zip(text.split("USER: ")[1:], said, strict=True):
            words = question.split(" ASSISTANT")[0].rstrip("?").split()
            asked = {word for word in words if word in SHAPES or word in COLOURS}
            verdicts[asked <= set(caption.split())].add(last)
    assert verdicts == {True: {"Yes."}, False: {"No."}}
    assert len(tokenizer(" large red circle")["input_ids"]) == 3


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
