"""The tokenizer of a published checkpoint, as one file says it all, with what a model marks as special."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

_NAMED = ("bos_token", "eos_token", "unk_token", "pad_token")


def load_published_tokenizer(folder: Path, placeholders: Sequence[str]) -> PreTrainedTokenizerFast:
    """Load a tokenizer from a local folder; no code of the folder runs.

    Args:
        folder: With ``tokenizer.json``, or with ``tokenizer.model``, which needs the package sentencepiece.
        placeholders: Those that the tokenizer has as added tokens become special: older files do not say
            that they are, and text could write them.

    Raises:
        ValueError: If there is no tokenizer, or it cannot be read.
    """
    tokenizer = _read(folder)
    document = json.loads(tokenizer.backend_tokenizer.to_str())
    for token in document.get("added_tokens", ()):
        if token["content"] in placeholders:
            token.update(special=True, normalized=False)
    named = {name: value for name in _NAMED if (value := getattr(tokenizer, name)) is not None}
    backend = Tokenizer.from_str(json.dumps(document))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **named)  # type: ignore[no-untyped-call]


def _read(folder: Path) -> PreTrainedTokenizerFast:
    whole = (folder / "tokenizer.json").is_file()
    if not whole and not (folder / "tokenizer.model").is_file():
        raise ValueError("it has neither tokenizer.json nor tokenizer.model.")
    if not whole and importlib.util.find_spec("sentencepiece") is None:
        raise ValueError("it has tokenizer.model alone, and the package sentencepiece is not installed.")
    kind = PreTrainedTokenizerFast if whole else AutoTokenizer
    try:
        tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # whichever the libraries raise over a broken file
        raise ValueError(f"its tokenizer cannot be read: {str(error)[:300]}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(f"its tokenizer is a {type(tokenizer).__name__}, which no tokenizer.json can hold.")
    return tokenizer
