"""Tokenizers of published folders, and placeholders that old files do not call special."""

import importlib.util
import json

import pytest
from transformers import AddedToken

from models.region_lm.published_tokenizer import load_published_tokenizer
from models.region_lm.tokens import MASK, add_tokens, plain_ids
from tests.models.region_lm.vocabularies import byte_fallback, byte_level


@pytest.mark.parametrize("make", [byte_level, byte_fallback])
def test_it_reads_as_before(tmp_path, make):
    before = make()
    before.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "osprey"}))
    after = load_published_tokenizer(tmp_path, [MASK])
    text = "What is in this region? Größe\n"
    assert after(text)["input_ids"] == before(text)["input_ids"]
    assert after.get_vocab() == before.get_vocab()
    assert (after.bos_token, after.eos_token, after.pad_token) == ("<s>", "</s>", "</s>")


def test_an_added_placeholder_becomes_special(tmp_path):
    before = byte_level()
    before.add_tokens([AddedToken(MASK, special=False)])
    before.save_pretrained(tmp_path)
    after = load_published_tokenizer(tmp_path, [MASK])
    ids = add_tokens(after, [MASK])
    assert ids == {MASK: len(before) - 1}
    assert ids[MASK] not in plain_ids(after, f"a {MASK} b")


def test_a_folder_without_a_tokenizer(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"neither tokenizer\.json nor tokenizer\.model"):
        load_published_tokenizer(tmp_path, [])
    (tmp_path / "tokenizer.model").write_bytes(b"x")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match="the package sentencepiece is not installed"):
        load_published_tokenizer(tmp_path, [])
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="its tokenizer cannot be read"):
        load_published_tokenizer(tmp_path, [])
