"""Answers: the language model's own generation behind a prompt of text and features.

Prompts stand at the right of their rows, so that answers of a batch begin together; keys and values of the
prompt are computed once. Placeholders cannot be said: they would be looked up as words. Nor can rows of the
vocabulary for which the tokenizer has no token.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import GenerationConfig

from models.region_lm.batches import RegionBatch
from models.region_lm.hub import RegionMLLM, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn, from torch's global generator; without it the likeliest is taken."""

    temperature: float
    top_p: float = 1.0
    """Of the likeliest tokens that together have this probability."""

    def __post_init__(self) -> None:
        """Refuse what draws nothing.

        Raises:
            ValueError: With the values.
        """
        if not self.temperature > 0.0 or not 0.0 < self.top_p <= 1.0:
            raise ValueError(
                f"temperature must be positive and top_p in (0, 1], got {self.temperature} and {self.top_p}."
            )


@torch.no_grad()
def generate(
    model: RegionMLLM,
    batch: RegionBatch,
    *,
    max_new_tokens: int,
    seen: Seen | None = None,
    sampling: Sampling | None = None,
) -> list[list[int]]:
    """Answer the samples of a batch.

    Args:
        model: On the device of the batch.
        batch: Made with ``answer_next``.
        max_new_tokens: Longest answer, at least 1.
        seen: What ``model.see`` made of the images of the batch, if they were seen before.
        sampling: None: greedy.

    Returns:
        The ids of each answer, without the one that ends it.

    Raises:
        ValueError: If a prompt with its answer is longer than the language model can read.
    """
    training, wishes = model.training, model.language.generation_config
    model.train(False)
    # What a trained model brings, such as a penalty for words said before, would fill what is left open.
    model.language.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    try:
        found = model.see(batch) if seen is None else seen
        spliced = model.insert(batch, found, padding_side="left", limited=False)
        longest = model.config.get_text_config().max_position_embeddings
        length = int(spliced.mask_BL.sum(dim=1).max())
        if max_new_tokens < 1 or length + max_new_tokens > longest:
            raise ValueError(
                f"max_new_tokens must be at least 1 and fit behind a prompt of {length} positions into "
                f"{longest}, got {max_new_tokens}."
            )
        answers = model.language.generate(  # type: ignore[operator]
            inputs_embeds=spliced.embedding_BLD,
            attention_mask=spliced.mask_BL,
            generation_config=_settings(model, max_new_tokens, sampling),
        )
    finally:
        model.language.generation_config = wishes
        model.train(training)
    return [_until(answer_L, model.config.terminator_id) for answer_L in answers]


def _settings(model: RegionMLLM, max_new_tokens: int, sampling: Sampling | None) -> GenerationConfig:
    drawn: dict[str, float] = {}
    if sampling is not None:
        drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
    end = model.config.terminator_id
    return GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max_new_tokens,
        do_sample=sampling is not None,
        num_beams=1,
        use_cache=True,
        eos_token_id=end,
        pad_token_id=end,  # rows that are done; whatever follows their end is cut off
        suppress_tokens=_unsayable(model),
        **drawn,
    )


def _unsayable(model: RegionMLLM) -> list[int]:
    rows = model.config.get_text_config().vocab_size
    return sorted({*model.config.placeholder_ids.values(), *range(model.config.num_tokens, rows)})


def _until(answer_L: Tensor, end: int) -> list[int]:
    ids: list[int] = answer_L.tolist()
    return ids[: ids.index(end)] if end in ids else ids
