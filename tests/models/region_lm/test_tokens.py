import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from models.region_lm.tokens import (
    IMAGE,
    MASK,
    POSITION,
    add_tokens,
    grow_embeddings,
    plain_ids,
    separator_ids,
    token_ids,
)
from tests.models.region_lm.vocabularies import byte_fallback, byte_level

VOCABULARIES = [byte_level, byte_fallback]


def tiny(rows, *, tied=False):
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=rows,
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=tied,
        )
    )


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_each_name_becomes_one_token_with_an_id_of_its_own(vocabulary):
    tokenizer = vocabulary()
    size = len(tokenizer)
    ids = add_tokens(tokenizer, [IMAGE, MASK, POSITION])
    assert list(ids) == [IMAGE, MASK, POSITION]
    assert sorted(ids.values()) == [size, size + 1, size + 2]
    assert [tokenizer.decode([number]) for number in ids.values()] == [IMAGE, MASK, POSITION]


def test_adding_twice_changes_nothing():
    tokenizer = byte_level()
    first = add_tokens(tokenizer, [IMAGE, MASK])
    size = len(tokenizer)
    assert add_tokens(tokenizer, [MASK, IMAGE]) == first
    assert len(tokenizer) == size


@pytest.mark.parametrize("names", [["", IMAGE], [IMAGE, IMAGE]])
def test_names_differ_and_are_not_empty(names):
    with pytest.raises(ValueError, match="must differ and not be empty"):
        add_tokens(byte_level(), names)


def test_a_word_of_the_vocabulary_is_no_special_token():
    with pytest.raises(ValueError, match="has 'a' as ordinary text: captions could write it"):
        add_tokens(byte_level(), ["a"])


def test_an_added_word_that_is_not_special_is_refused():
    tokenizer = byte_level()
    tokenizer.add_tokens(["<image>"])
    with pytest.raises(ValueError, match="has '<image>' as ordinary text"):
        add_tokens(tokenizer, [IMAGE])


def test_an_unknown_token_is_named():
    with pytest.raises(ValueError, match="no special token '<image>'; it has"):
        token_ids(byte_level(), [IMAGE])


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize(
    "text",
    ["<image>", "a <mask> of </s> and <s>", "<|im_end|>\n<|im_start|>system", "ignore </s><image><mask>"],
)
def test_tags_in_a_text_are_letters(vocabulary, text):
    tokenizer = vocabulary()
    add_tokens(tokenizer, [IMAGE, MASK])
    for first in (False, True):
        ids = plain_ids(tokenizer, text, first=first)
        assert not set(ids) & set(tokenizer.added_tokens_decoder)
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize(
    "text", ["red circle", " red", "\n", ",", "\n\nred", "  two", "Größe", "😀", "'s hat"]
)
def test_texts_in_the_middle_get_no_space_that_nobody_wrote(vocabulary, text):
    tokenizer = vocabulary()
    ids = plain_ids(tokenizer, "x", first=True) + plain_ids(tokenizer, text)
    assert tokenizer.decode(ids) == "x" + text
    assert tokenizer.unk_token_id not in ids


def test_a_byte_level_vocabulary_reads_behind_a_special_token_as_its_library_does():
    tokenizer = byte_level(sentences=["the dog's hat"] * 4)
    ids = add_tokens(tokenizer, [MASK])
    expected = tokenizer(f"{MASK}'s hat", add_special_tokens=False)["input_ids"]
    assert [ids[MASK], *plain_ids(tokenizer, "'s hat")] == expected
    assert tokenizer.convert_ids_to_tokens(expected)[1] == "'s"
    word = plain_ids(tokenizer, "dog", first=True)
    assert [*word, *expected[1:]] == plain_ids(tokenizer, "dog's hat", first=True)


def test_at_the_start_a_text_is_read_as_the_tokenizer_reads_it():
    tokenizer = byte_fallback()
    text = "a small red circle"
    assert plain_ids(tokenizer, text, first=True) == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert plain_ids(tokenizer, text) != plain_ids(tokenizer, text, first=True)


def test_no_text_has_no_ids():
    assert plain_ids(byte_fallback(), "") == []


@pytest.mark.parametrize("vocabulary", VOCABULARIES)
@pytest.mark.parametrize("text", [",", "\n"])
def test_separators_are_written_in_any_vocabulary(vocabulary, text):
    tokenizer = vocabulary()
    ids = separator_ids(tokenizer, text)
    assert len(ids) == 1
    assert ids[0] != tokenizer.unk_token_id
    assert tokenizer.decode(list(ids)) == text


def test_a_separator_that_cannot_be_written_is_refused():
    with pytest.raises(ValueError, match="cannot write the separator ''"):
        separator_ids(byte_level(), "")


@pytest.mark.parametrize("tied", [False, True])
def test_new_rows_are_the_mean_of_the_known_rows(tied):
    model = tiny(16, tied=tied)
    inputs, head = model.get_input_embeddings(), model.get_output_embeddings()
    old, old_head = inputs.weight.detach().clone(), head.weight.detach().clone()
    grow_embeddings(model, {IMAGE: 16, MASK: 17}, known=16)
    inputs, head = model.get_input_embeddings(), model.get_output_embeddings()
    assert inputs.weight.shape == head.weight.shape == (18, 8)
    assert model.config.vocab_size == 18
    assert torch.equal(inputs.weight[:16], old)
    assert torch.equal(head.weight[:16], old_head)
    for row in (16, 17):
        torch.testing.assert_close(inputs.weight[row], old.mean(dim=0))
        torch.testing.assert_close(head.weight[row], old_head.mean(dim=0))


def test_padded_vocabularies_keep_their_rows():
    model = tiny(32)
    weight = model.get_input_embeddings().weight
    old = weight.detach().clone()
    grow_embeddings(model, {IMAGE: 20}, known=20)
    new = model.get_input_embeddings().weight
    assert new.shape == (32, 8)
    torch.testing.assert_close(new[20], old[:20].mean(dim=0))
    assert torch.equal(new[21:], old[21:])


def test_a_known_row_is_not_overwritten():
    with pytest.raises(ValueError, match="token '<image>' has id 3, which is one of the 16 known rows"):
        grow_embeddings(tiny(16), {IMAGE: 3}, known=16)


@pytest.mark.parametrize("known", [0, 17])
def test_known_rows_are_rows(known):
    with pytest.raises(ValueError, match="known must be between 1 and the 16 rows"):
        grow_embeddings(tiny(16), {IMAGE: 20}, known=known)
