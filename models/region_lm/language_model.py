"""The language model: any causal one of transformers, from numbers or from a folder."""

from pathlib import Path
from typing import Any

from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from models.region_lm.config import LanguageSettings
from models.region_lm.loaded_weights import load_checked, of_a_part


def language_config(settings: LanguageSettings, *, added: int = 0) -> PreTrainedConfig:
    """Turn numbers into a configuration of transformers.

    Args:
        settings: Shape of the model.
        added: Tokens beyond ``settings.vocabulary``.
    """
    shape: dict[str, Any] = {
        "vocab_size": settings.vocabulary + added,
        "hidden_size": settings.width,
        "intermediate_size": settings.ffn,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads,
        "num_key_value_heads": settings.kv_heads,
        "max_position_embeddings": settings.max_positions,
        "rms_norm_eps": settings.norm_epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": settings.rope_theta},
        "tie_word_embeddings": settings.tie_embeddings,
        "initializer_range": settings.initializer_range,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    match settings.family:
        case "llama":
            return LlamaConfig(**shape)
        case "qwen2":
            return Qwen2Config(**shape)
        case "qwen3":
            return Qwen3Config(head_dim=settings.width // settings.heads, **shape)


def build_language_model(config: PreTrainedConfig) -> PreTrainedModel:
    """Build a model with random weights, drawn from torch's global generator.

    Args:
        config: Of any causal language model of transformers.

    Raises:
        ValueError: If transformers has no causal language model for it.
    """
    model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        config, trust_remote_code=False
    )
    return model


def load_language_model(folder: Path) -> PreTrainedModel:
    """Load a trained model from a folder that transformers wrote; weights must be safetensors.

    Raises:
        ValueError: If the folder has no configuration, or one of no causal language model, a weight is
            missing or has another shape, or a part of the model has weights that it has no place for.
        OSError: If it has no safetensors.
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder} must be a folder with config.json of a causal language model.")
    model: PreTrainedModel = load_checked(
        AutoModelForCausalLM.from_pretrained,
        folder,
        surplus=of_a_part,
        trust_remote_code=False,
        local_files_only=True,
        use_safetensors=True,
    )
    return model
