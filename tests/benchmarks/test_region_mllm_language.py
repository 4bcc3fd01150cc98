import numpy as np
import torch

from benchmarks.region_mllm_language import (
    compared_right,
    new_language,
    new_tokenizer,
    read,
    read_conversation,
)
from benchmarks.region_mllm_parts import PartSettings
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
        encoded = read_conversation(generator, tokenizer, repeated=0.0)
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


def test_a_caption_that_is_said_again_is_learned_as_a_whole():
    tokenizer = new_tokenizer(["Is it a ", "Yes.", "No."])
    generator = np.random.default_rng(3)
    seen = set()
    for _ in range(20):
        encoded = read_conversation(generator, tokenizer, repeated=0.5)
        learned = "".join(tokenizer.decode(label) for label in encoded.labels if label != IGNORED)
        expected = ""
        for turn in tokenizer.decode(encoded.ids).split("USER: ")[1:]:
            asked, said = turn.removesuffix("</s>").split(" ASSISTANT: ")
            again = asked == said
            seen.add(again)
            expected += f" {said}</s>" if again else f" {said.split('. ')[1]}</s>"
        assert learned == expected
    assert seen == {True, False}


def test_reading_learns_and_repeats():
    tokenizer = new_tokenizer([])
    settings = PartSettings(steps=2, per_step=6, learning_rate=4e-3, warmup=50, average=0.98)
    models = [new_language(SETTINGS, len(tokenizer), seed=1) for _ in range(2)]
    first = {name: value.clone() for name, value in models[0].state_dict().items()}
    for model in models:
        read(model, tokenizer, settings, seed=1)
    one, other = (model.state_dict() for model in models)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["model.embed_tokens.weight"], first["model.embed_tokens.weight"])
    assert first["model.embed_tokens.weight"].std() > 0.2


def test_what_says_always_the_same_is_right_half_the_time():
    tokenizer = new_tokenizer(["Yes.", "No."])
    shares = []
    for word in (" Yes", " No"):
        language = new_language(SETTINGS, len(tokenizer), seed=1)
        (token,) = tokenizer(word)["input_ids"]
        head = torch.nn.Linear(SETTINGS.width, len(tokenizer))
        head.load_state_dict(
            {"weight": torch.zeros(head.weight.shape), "bias": torch.eye(len(tokenizer))[token]}
        )
        language.set_output_embeddings(head)
        shares.append(compared_right(language, tokenizer, seed=3))
    assert abs(sum(shares) - 1.0) < 1e-6
    assert 0.4 < shares[0] < 0.6
