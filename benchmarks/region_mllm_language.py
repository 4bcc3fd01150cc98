"""Before the first stage: a language model that has read, as published systems start from one that has.

It reads captions that are said again, and captions behind which stands whether they are what was asked for;
it sees nothing. What it learns is to find words again and to compare them; a model of this size that starts
from random numbers does not learn that from images in the time of this benchmark.

Shape suffixes:
    B = conversations   L = positions
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from benchmarks.region_mllm_parts import PartSettings, train_part
from benchmarks.region_mllm_world import ALIKE, CATEGORIES
from models.region_lm.config import LanguageSettings
from models.region_lm.conversation import IGNORED, VICUNA, Encoded, Turn, encode
from models.region_lm.language_model import build_language_model, language_config
from tasks.data.region_samples import ASK_EXISTS
from tasks.data.shapes_world import COLOURS, RADII, SHAPES

_CAPTIONS, _HELD_OUT = 6, 100
"""Of the longest conversation, and how many of those are asked about."""
_REPEATED = 1 / 3
"""Share of captions that are said again."""


def new_tokenizer(said: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level vocabulary that has a token for each word of what is said and what stands around."""
    around = [str(part) for part in (*VICUNA.opening, *VICUNA.before_user, *VICUNA.before_assistant)]
    told = [f"{size} {category}, {size} {category}.\n" for size in RADII for category in CATEGORIES]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=["<s>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted({*said, *(f" {text}" for text in said), *around, *told}), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )


def read_conversation(
    generator: np.random.Generator,
    tokenizer: PreTrainedTokenizerBase,
    *,
    captions: int = _CAPTIONS,
    repeated: float = _REPEATED,
) -> Encoded:
    """Encode captions that are said again, or that are asked about with the yes or no that follows from them.

    Nothing says what a thing is before the caption that answers, so only what stands behind it is learned;
    one that is said again is learned as a whole, and teaches to find a word's earlier occurrence.

    Args:
        generator: Draws what is said.
        tokenizer: Of the benchmark.
        captions: How many.
        repeated: Chance of each caption to be said again.
    """
    turns, whole = [], []
    for _ in range(captions):
        size, colour, shape = (
            names[int(generator.integers(len(names)))] for names in (list(RADII), list(COLOURS), SHAPES)
        )
        caption = f"{size} {colour} {shape}."
        whole.append(bool(generator.random() < repeated))
        asked, answer = (caption, caption) if whole[-1] else _compared(generator, caption, colour, shape)
        turns.append(Turn(role="user", parts=(asked,)))
        turns.append(Turn(role="assistant", parts=(answer,)))
    encoded = encode(turns, VICUNA, tokenizer)
    return encoded._replace(labels=_behind_captions(encoded, tokenizer, whole))


def _compared(generator: np.random.Generator, caption: str, colour: str, shape: str) -> tuple[str, str]:
    """Return a question about what a caption tells of, and the caption with the answer."""
    category = f"{colour} {shape}"
    own, known = [
        (f"{colour} object", [f"{name} object" for name in COLOURS]),
        (shape, SHAPES),
        (category, CATEGORIES),
        *[(category, ALIKE[category])] * 3,
    ][int(generator.integers(6))]
    others = [name for name in known if name != own]
    is_yes = bool(generator.integers(2))
    asked_for = own if is_yes else others[int(generator.integers(len(others)))]
    question = ASK_EXISTS[int(generator.integers(len(ASK_EXISTS)))].replace("<region>", "it")
    return question.format(asked_for), f"{caption} {'Yes.' if is_yes else 'No.'}"


def _behind_captions(
    encoded: Encoded, tokenizer: PreTrainedTokenizerBase, whole: Sequence[bool]
) -> tuple[int, ...]:
    """Return the labels of each answer behind its first full stop, or of the whole answer."""
    labels: list[int] = []
    begins, learn = iter(whole), False
    before = IGNORED
    for token, label in zip(encoded.ids, encoded.labels, strict=True):
        if label != IGNORED and before == IGNORED:
            learn = next(begins)
        labels.append(label if learn else IGNORED)
        learn = learn or (label != IGNORED and "." in tokenizer.decode([token]))
        before = label
    return tuple(labels)


def new_language(settings: LanguageSettings, vocabulary: int, *, seed: int) -> PreTrainedModel:
    """Build a language model whose vocabulary is that of the benchmark."""
    config = language_config(replace(settings, vocabulary=vocabulary))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_language_model(config)


def read(
    language: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: PartSettings,
    *,
    seed: int,
) -> dict[str, float]:
    """Train a language model on text, in place; returns what it cost.

    Conversations grow from one caption to six, as many steps of each. Where there is one, a word that stands
    twice is what was asked for; where there are more, the right one of several has to be found.
    """
    generator = np.random.default_rng(seed)

    def losses_of(step: int) -> dict[str, Tensor]:
        captions = 1 + step * _CAPTIONS // settings.steps
        encoded = [
            read_conversation(generator, tokenizer, captions=captions)
            for _ in range(settings.per_step // captions)
        ]
        return {"answers": _loss(language, encoded)}

    return train_part(language, losses_of, settings)


@torch.no_grad()
def compared_right(language: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, seed: int) -> float:
    """Return the share of verdicts that begin right, in conversations that were not read."""
    generator = np.random.default_rng([seed, 1])
    encoded = [read_conversation(generator, tokenizer, repeated=0.0) for _ in range(_HELD_OUT)]
    language.train(False)
    id_BL, target_BL = _padded(encoded)
    learned_BL = target_BL != IGNORED
    first_BL = learned_BL & ~torch.nn.functional.pad(learned_BL[:, :-1], (1, 0))
    said_BL = language(input_ids=id_BL, use_cache=False).logits.argmax(dim=-1)
    return (said_BL == target_BL)[first_BL].float().mean().item()


def _padded(encoded: Sequence[Encoded]) -> tuple[Tensor, Tensor]:
    """Return ids and what follows each of them where that is learned, both (B, L)."""
    id_BL, label_BL = (
        pad_sequence([torch.tensor(part[place]) for part in encoded], batch_first=True, padding_value=fill)
        for place, fill in ((0, 0), (1, IGNORED))
    )
    return id_BL, torch.nn.functional.pad(label_BL[:, 1:], (0, 1), value=IGNORED)


def _loss(language: PreTrainedModel, encoded: Sequence[Encoded]) -> Tensor:
    id_BL, target_BL = _padded(encoded)
    learned_BL = target_BL != IGNORED
    scored = language(input_ids=id_BL, use_cache=False, logits_to_keep=learned_BL).logits
    return torch.nn.functional.cross_entropy(scored.float(), target_BL[learned_BL])
