"""The tokenizer of a published checkpoint, as one file says it all, with what a model marks as special."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, normalizers
from transformers import LlamaTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

_NAMED = ("bos_token", "eos_token", "unk_token", "pad_token")
_SPACE = "▁"
_PROBES = (
    "What is in this region? It is a small, red circle on the left.",
    "USER: Describe the 12 regions; 3.14 of 100% [0.25, 0.5]\nASSISTANT: They're people's \"things\".",
    " a  b   c\t\n\n d",
    "Größe, naïve, 日本語, Ελλάδα, 🙂 \u00a0\u200b",
)
"""Both readings of a vocabulary are compared on them: words, signs, numbers, spaces, letters it lacks."""


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
    if not (folder / "tokenizer.json").is_file():
        return _from_sentencepiece(folder)
    return _load(PreTrainedTokenizerFast, folder)


def _load(kind: type[PreTrainedTokenizerFast], folder: Path) -> PreTrainedTokenizerFast:
    try:
        tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # whichever the libraries raise over a broken file
        raise ValueError(f"its tokenizer cannot be read: {str(error)[:300]}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(f"its tokenizer is a {type(tokenizer).__name__}, which no tokenizer.json can hold.")
    return tokenizer


def _from_sentencepiece(folder: Path) -> PreTrainedTokenizerFast:
    """Read a vocabulary of Llama's kind, and compare it with what its own library makes of the file.

    transformers chooses a class by the name of the model, which it does not know here, and then drops the
    space before a text; Llama's own class reads a text that starts with a space otherwise than the library.
    """
    path = folder / "tokenizer.model"
    if not path.is_file():
        raise ValueError("it has neither tokenizer.json nor tokenizer.model.")
    if importlib.util.find_spec("sentencepiece") is None:
        raise ValueError("it has tokenizer.model alone, and the package sentencepiece is not installed.")
    from sentencepiece import SentencePieceProcessor

    tokenizer = _load(LlamaTokenizer, folder)
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = None
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)])
    published = SentencePieceProcessor(model_file=str(path))
    for text in _PROBES:
        if tokenizer(text, add_special_tokens=False)["input_ids"] != published.encode(text):
            raise ValueError(f"its tokenizer.model is not of Llama's kind: {text!r} would be read otherwise.")
    return tokenizer
