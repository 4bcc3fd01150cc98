"""A vocabulary for a model with random weights: byte-level BPE, trained on the texts that it will learn.

Source: Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.2: merges
start from bytes, so that any text can be written.
"""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from models.region_lm.conversation import ChatTemplate, Token

_BEGIN, _END, _UNKNOWN = "<s>", "</s>", "<unk>"


def train_vocabulary(texts: Iterable[str], size: int, template: ChatTemplate) -> PreTrainedTokenizerFast:
    """Train a tokenizer; the same texts in the same order give the same one.

    Args:
        texts: What the model will read and say.
        size: Most tokens, special ones among them; fewer where texts repeat too little.
        template: Its marks become special tokens.

    Raises:
        ValueError: If the size leaves no room for bytes and special tokens.
    """
    parts = (*template.opening, *template.before_user, *template.before_assistant, *template.after_assistant)
    marks = [part.name for part in parts if isinstance(part, Token)]
    words = [part for part in parts if isinstance(part, str)]
    terminator = [] if template.terminator is None else [template.terminator]
    special = list(dict.fromkeys([_BEGIN, _END, _UNKNOWN, *marks, *terminator]))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if size < len(special) + len(alphabet):
        raise ValueError(
            f"a vocabulary needs {len(alphabet)} bytes and {len(special)} special tokens, got {size}."
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*words, *texts], trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=_BEGIN,
        eos_token=_END,
        unk_token=_UNKNOWN,
        pad_token=_END,
    )
