"""Special tokens: what stands in a text for an image or a region, and what text can never become.

A placeholder is one token of the vocabulary with an id of its own. It is looked up like any other and then
overwritten by features. Text that people wrote is only ever text: a caption with ``<image>`` in it yields the
letters, never the token.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import cast

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

IMAGE = "<image>"
MASK = "<mask>"
POSITION = "<pos>"

_ANCHOR = "\x1e"
"""A control character that no vocabulary merges with its neighbours."""
_LETTER = "a"
"""Read alike at the start of a text and behind the anchor, unless something is put before texts."""


def add_tokens(tokenizer: PreTrainedTokenizerBase, names: Sequence[str]) -> dict[str, int]:
    """Make each name one token of a vocabulary; names that are there already keep their id.

    Args:
        tokenizer: Grows in place.
        names: Such as ``IMAGE``.

    Returns:
        Ids by name, in the order given.

    Raises:
        ValueError: If a name is empty, stands twice, or is in the vocabulary as ordinary text.
    """
    if len(set(names)) != len(names) or not all(names):
        raise ValueError(f"names of tokens must differ and not be empty, got {list(names)}.")
    known = {token.content: token.special for token in tokenizer.added_tokens_decoder.values()}
    for name in names:
        if known.get(name) is False or (name not in known and name in tokenizer.get_vocab()):
            raise ValueError(
                f"the vocabulary has {name!r} as ordinary text: captions could write it. Choose another name."
            )
    tokenizer.add_tokens(list(names), special_tokens=True)
    return token_ids(tokenizer, names)


def token_ids(tokenizer: PreTrainedTokenizerBase, names: Sequence[str]) -> dict[str, int]:
    """Look up special tokens.

    Args:
        tokenizer: That has them.
        names: Of special tokens.

    Returns:
        Ids by name, in the order given.

    Raises:
        ValueError: If one is not a special token of the tokenizer.
    """
    special = {
        token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special
    }
    if missing := [name for name in names if name not in special]:
        raise ValueError(f"the tokenizer has no special token {missing[0]!r}; it has {sorted(special)}.")
    return {name: special[name] for name in names}


def plain_ids(tokenizer: PreTrainedTokenizerBase, text: str, *, first: bool = False) -> list[int]:
    """Turn text into ids as if it stood inside a longer text; special tokens in it are only letters.

    SentencePiece vocabularies put a space before whatever they read. In the middle of a sequence that would
    be a space that nobody wrote, so the text is read behind a control character, which then goes. Other
    vocabularies read it as it is: byte-level ones would take a sign at its begin together with that
    character, and read ``'s`` as two pieces.

    Args:
        tokenizer: Of any kind.
        text: What somebody wrote.
        first: Whether it stands at the start of the sequence, where such a space belongs.

    Returns:
        Ids, none of them of a special token other than that of unknown letters.
    """
    if not text:
        return []
    return _read(tokenizer, text) if first or not _prepends(tokenizer) else _behind_anchor(tokenizer, text)


@lru_cache(maxsize=4)
def _prepends(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a vocabulary puts something before texts; asked once, since reading is slow."""
    return _behind_anchor(tokenizer, _LETTER) != _read(tokenizer, _LETTER)


def _behind_anchor(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    anchor, joined = _read(tokenizer, _ANCHOR), _read(tokenizer, _ANCHOR + text)
    return joined[len(anchor) :] if joined[: len(anchor)] == anchor else _read(tokenizer, text)


def _read(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def separator_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    r"""Return the ids of a separator that any vocabulary can write, such as a comma or a new line.

    Looking the text up among the tokens does not do: vocabularies store a new line as ``Ċ`` or ``<0x0A>`` and
    answer with the id of unknown letters.

    Args:
        tokenizer: Of any kind.
        text: E.g. ``"\n"``.

    Returns:
        One id, or more where the vocabulary has no single one.

    Raises:
        ValueError: If the ids do not say the text.
    """
    found = plain_ids(tokenizer, text)
    if not found or tokenizer.decode(found) != text:
        raise ValueError(f"the tokenizer cannot write the separator {text!r}: it reads it as {found}.")
    return tuple(found)


@torch.no_grad()
def grow_embeddings(model: PreTrainedModel, ids: Mapping[str, int], *, known: int) -> None:
    """Give new tokens a row in the embeddings and in the head: the mean of the rows that are known.

    Args:
        model: A causal language model; changed in place. Rows are added where ids lie behind the last one,
            and none is ever taken away (vocabularies are often padded).
        ids: Of the new tokens.
        known: Number of rows that were trained; the mean is theirs.

    Raises:
        ValueError: If a new id lies among the known rows.
    """
    if wrong := [name for name, number in ids.items() if number < known]:
        raise ValueError(
            f"token {wrong[0]!r} has id {ids[wrong[0]]}, which is one of the {known} known rows."
        )
    size = max(ids.values(), default=-1) + 1
    rows = len(_tables(model)[0].weight)
    if not 0 < known <= rows:
        raise ValueError(f"known must be between 1 and the {rows} rows of the embeddings, got {known}.")
    if size > rows:
        model.resize_token_embeddings(size, mean_resizing=False)
    places = sorted(ids.values())
    for table in _tables(model):
        for rows_V in (table.weight, getattr(table, "bias", None)):
            if rows_V is not None:
                rows_V[places] = rows_V[:known].float().mean(dim=0).to(rows_V.dtype)


def _tables(model: PreTrainedModel) -> list[nn.Embedding | nn.Linear]:
    """Return the embeddings and, if it is another tensor, the head."""
    table = cast(nn.Embedding, model.get_input_embeddings())
    head = cast(nn.Linear | None, model.get_output_embeddings())  # type: ignore[no-untyped-call]
    return [table] if head is None or head.weight is table.weight else [table, head]
