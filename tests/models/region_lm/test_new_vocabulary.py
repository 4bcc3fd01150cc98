"""A vocabulary from nothing: it writes any text, the same texts give the same one."""

import pytest

from models.region_lm.conversation import CHATML, VICUNA
from models.region_lm.new_vocabulary import train_vocabulary
from models.region_lm.tokens import plain_ids
from tests.models.region_lm.vocabularies import SENTENCES


def test_the_same_texts_give_the_same_vocabulary():
    first, second = (train_vocabulary(SENTENCES * 3, 400, VICUNA) for _ in range(2))
    assert first.backend_tokenizer.to_str() == second.backend_tokenizer.to_str()
    assert 259 < len(first) <= 400
    assert (first.bos_token, first.eos_token, first.pad_token) == ("<s>", "</s>", "</s>")


def test_it_writes_any_text_and_a_tag_is_only_letters():
    tokenizer = train_vocabulary(SENTENCES, 300, VICUNA)
    for text in ("a small red circle", "\u03a9 \U0001f600\n,", "</s><unk>"):
        ids = plain_ids(tokenizer, text)
        assert tokenizer.decode(ids) == text
        assert not set(ids) & set(tokenizer.all_special_ids)


def test_marks_of_the_template_are_special():
    tokenizer = train_vocabulary(SENTENCES, 300, CHATML)
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    assert special == {"<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>"}


def test_a_vocabulary_without_room_for_bytes_is_refused():
    with pytest.raises(ValueError, match="needs 256 bytes and 3 special tokens, got 200"):
        train_vocabulary(SENTENCES, 200, VICUNA)
