"""Sentence encoders from a local directory: the mean of the last layer over the tokens of a text.

That is how the encoders of the sentence-transformers family with mean pooling are used, all-MiniLM-L6-v2
among them. Numbers of two encoders are not comparable, so name and hash stand beside every score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from evaluation.region_text import Embed
from tasks.data.commit import describe
from tasks.errors import DataError, UsageError

_AT_ONCE = 64
_SCHEMA = "groundwork.sentence-encoder/1"
_HINT = "Name a directory with config.json, model.safetensors and tokenizer.json of a sentence encoder."


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceEncoder:
    """What turns texts into vectors."""

    name: str
    """Of its directory, and how it is used."""
    sha256: str
    """Of all its files."""
    embed: Embed
    """Texts -> one vector each."""


def load_sentence_encoder(folder: Path) -> SentenceEncoder:
    """Load an encoder of transformers; nothing is fetched and no code of its own runs.

    Raises:
        UsageError: If the directory is none.
        DataError: If it holds no such model.
    """
    if not folder.is_dir():
        raise UsageError("is not a directory.", obj=str(folder), hint=_HINT)
    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DataError(f"holds no sentence encoder: {error}", obj=str(folder), hint=_HINT) from error
    longest = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", 512))

    # hidden: (texts, tokens, width); mask: (texts, tokens, 1)
    @torch.no_grad()
    def embed(texts: Sequence[str]) -> npt.NDArray[np.float64]:
        vectors = []
        for start in range(0, len(texts), _AT_ONCE):
            batch = tokenizer(
                list(texts[start : start + _AT_ONCE]),
                padding=True,
                truncation=True,
                max_length=longest,
                return_tensors="pt",
            )
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            vectors.append((hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0))
        found: npt.NDArray[np.float64] = torch.cat(vectors).double().numpy()
        return found

    sha256 = describe(folder, schema=_SCHEMA).sha256
    return SentenceEncoder(name=f"{folder.name}, mean of its tokens", sha256=sha256, embed=embed)
