"""Tokenizers of published folders, and placeholders that old files do not call special."""

import importlib.util
import io
import json

import pytest
import sentencepiece
from transformers import AddedToken

from models.region_lm.published_tokenizer import load_published_tokenizer
from models.region_lm.tokens import MASK, add_tokens, plain_ids
from tests.models.region_lm.vocabularies import SENTENCES, byte_fallback, byte_level


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


def sentencepiece_folder(folder, **changes):
    """Write a vocabulary as Llama 2 has one: the library's file, and no ``tokenizer.json``."""
    settings = {
        "model_type": "bpe",
        "vocab_size": 400,
        "hard_vocab_limit": False,
        "byte_fallback": True,
        "character_coverage": 1.0,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "split_digits": True,
        "unk_id": 0,
        "bos_id": 1,
        "eos_id": 2,
        "pad_id": -1,
        "minloglevel": 2,
    }
    folder.mkdir()
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 20), model_writer=stream, **settings | changes
    )
    (folder / "tokenizer.model").write_bytes(stream.getvalue())
    (folder / "config.json").write_text(json.dumps({"model_type": "osprey"}))
    config = {"tokenizer_class": "LlamaTokenizer", "legacy": False, "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return sentencepiece.SentencePieceProcessor(model_proto=stream.getvalue())


def test_a_model_file_alone_is_read_as_its_library_reads_it(tmp_path):
    published = sentencepiece_folder(tmp_path / "llama")
    after = load_published_tokenizer(tmp_path / "llama", [MASK])
    for text in ("What is in this region?", " two  spaces", "Größe 12\n", "a small red circle"):
        ids = after(text, add_special_tokens=False)["input_ids"]
        assert ids == published.encode(text)
        assert after.decode(ids) == published.decode(ids)
    assert (after.bos_token_id, after.eos_token_id) == (1, 2)
    assert plain_ids(after, "region") == published.encode("\x1eregion")[-len(plain_ids(after, "region")) :]


def test_a_model_file_of_another_kind_is_refused(tmp_path):
    sentencepiece_folder(tmp_path / "other", normalization_rule_name="nmt_nfkc")
    with pytest.raises(ValueError, match=r"not of Llama's kind: '.*' would be read otherwise"):
        load_published_tokenizer(tmp_path / "other", [])
