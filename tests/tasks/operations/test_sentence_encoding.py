"""Sentence encoders from a directory: the mean over tokens, whatever stands beside a text in its batch."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from tasks.errors import DataError, UsageError
from tasks.operations.sentence_encoding import load_sentence_encoder
from tests.models.region_lm.vocabularies import byte_level

TEXTS = ["a cup", "a large red circle beside a very small blue square", "a cup", "dog"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny-encoder")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=512, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(path)
    byte_level().save_pretrained(path)
    return path


def test_the_mean_of_the_tokens_of_a_text_alone(folder):
    encoder = load_sentence_encoder(folder)
    vectors = encoder.embed(TEXTS)
    assert vectors.shape == (4, 16)
    model, tokenizer = BertModel.from_pretrained(folder, add_pooling_layer=False).eval(), byte_level()
    for text, vector in zip(TEXTS, vectors, strict=True):
        with torch.no_grad():
            hidden = model(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state
        assert np.allclose(vector, hidden[0].mean(dim=0), atol=1e-5)
    assert np.allclose(vectors[0], vectors[2])


def test_its_name_says_how_it_is_used(folder):
    encoder = load_sentence_encoder(folder)
    assert encoder.name == f"{folder.name}, mean of its tokens"
    assert len(encoder.sha256) == 64


def test_long_texts_are_cut(folder):
    assert load_sentence_encoder(folder).embed(["cup " * 100]).shape == (1, 16)


def test_a_place_without_an_encoder(tmp_path):
    with pytest.raises(UsageError, match="is not a directory"):
        load_sentence_encoder(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no sentence encoder: "):
        load_sentence_encoder(tmp_path)
