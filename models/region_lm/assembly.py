"""A new model: random parts in front of a language model, which gets rows for their placeholders."""

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from models.blocks.stored_values import to_stored
from models.region_lm.build import Vision, build_parts
from models.region_lm.config import LanguageSettings, ModelSettings
from models.region_lm.hub import RegionMLLM
from models.region_lm.hub_config import RegionMLLMConfig
from models.region_lm.language_model import build_language_model, language_config
from models.region_lm.processing import RegionProcessor
from models.region_lm.tokens import grow_embeddings


def new_region_mllm(
    processor: RegionProcessor, language: LanguageSettings | PreTrainedModel, vision: Vision | None = None
) -> RegionMLLM:
    """Build a model; random weights are drawn from torch's global generator.

    Args:
        processor: Of the model; its tokenizer is the language model's, with placeholders.
        language: Shape of a language model with random weights, or a trained one, which becomes a part of the
            model and gets rows for the placeholders that are new; those that it knows stay.
        vision: A trained encoder, which becomes a part of the model; None: one with random weights.

    Raises:
        ValueError: If the tokenizer has ids beyond the vocabulary that are no placeholders, or the encoder
            is not of the shape that the settings say.
    """
    if isinstance(language, LanguageSettings):
        language = build_language_model(language_config(language))
    rows = int(language.get_input_embeddings().num_embeddings)  # type: ignore[arg-type]
    check_vocabulary(processor, rows)
    ids = processor.placeholder_ids
    # One that the tokenizer had before has a row that was trained; new ones stand behind all others.
    new = {name: number for name, number in ids.items() if name in processor.new or number >= rows}
    if new:
        grow_embeddings(language, new, known=min(new.values()))
    announce_tokens(processor, language.config)
    return _around(processor, language, vision)


def planned_model(settings: ModelSettings, language: LanguageSettings) -> RegionMLLM:
    """Build a model of any size on the meta device: without weights, with the real shapes."""
    config = language_config(language, added=len(settings.placeholders))
    ids = {name: language.vocabulary + number for number, name in enumerate(settings.placeholders)}
    with torch.device("meta"):
        return RegionMLLM(
            RegionMLLMConfig(
                text_config=config,
                model_settings=to_stored(settings),
                placeholder_ids=ids,
                separator_ids={"column": [0], "row": [0]},
                terminator_id=0,
                num_tokens=config.vocab_size,
                tie_word_embeddings=config.tie_word_embeddings,
            )
        )


def _around(processor: RegionProcessor, language: PreTrainedModel, vision: Vision | None) -> RegionMLLM:
    """Put random parts in front of a language model that has every row already."""
    with torch.device("meta"):  # its parts are replaced
        model = RegionMLLM(config_around(processor, language.config))
    if vision is not None:
        _check_vision(model.vision, vision)
    parts = build_parts(processor.settings, language.config.hidden_size, vision)
    model.vision, model.projector, model.regions = parts
    model.language = language
    return model


def config_around(processor: RegionProcessor, language: PreTrainedConfig) -> RegionMLLMConfig:
    """Return the configuration of a model from its processor and its language model's configuration."""
    return RegionMLLMConfig(
        text_config=language,
        model_settings=to_stored(processor.settings),
        placeholder_ids=processor.placeholder_ids,
        separator_ids={name: list(ids) for name, ids in processor.separator_ids.items()},
        terminator_id=processor.terminator_id,
        num_tokens=len(processor.tokenizer),
        tie_word_embeddings=language.tie_word_embeddings,
    )


def announce_tokens(processor: RegionProcessor, language: PreTrainedConfig) -> None:
    """Tell a language model which tokens begin, end and pad; changed in place."""
    tokenizer = processor.tokenizer
    language.bos_token_id, language.eos_token_id = tokenizer.bos_token_id, processor.terminator_id
    language.pad_token_id = tokenizer.pad_token_id


def check_vocabulary(processor: RegionProcessor, rows: int) -> None:
    """Compare a tokenizer with the rows of a language model.

    Raises:
        ValueError: If the tokenizer has ids beyond the rows that are no placeholders.
    """
    placeholders = set(processor.placeholder_ids.values())
    for token, number in processor.tokenizer.get_vocab().items():
        if number >= rows and number not in placeholders:
            raise ValueError(
                f"the language model has {rows} tokens, but the tokenizer has {token!r} at {number}."
            )


def _check_vision(planned: Vision, given: Vision) -> None:
    wanted = {name: tuple(value.shape) for name, value in planned.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in given.state_dict().items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ValueError(
                f"vision is not what the settings say: {name} must be {wanted.get(name, 'absent')}, "
                f"got {found.get(name, 'nothing')}."
            )
