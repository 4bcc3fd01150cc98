"""``config.json`` of a published checkpoint: its language model, and where it contradicts a recipe.

The keys are those of LLaVA (https://arxiv.org/abs/2310.03744), which Osprey and TokenPacker share: the
configuration of the language model with a few more keys in it.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from transformers import AutoConfig, PreTrainedConfig

from models.region_lm.config import ModelSettings

_FAMILIES: Final = {
    "llama": "llama",
    "llava": "llama",
    "llava_llama": "llama",
    "osprey": "llama",
    "qwen2": "qwen2",
    "llava_qwen": "qwen2",
    "qwen3": "qwen3",
}
_NEEDED: Final = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
    "rms_norm_eps",
)
_OPTIONAL: Final = (
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "sliding_window",
    "use_sliding_window",
    "max_window_layers",
    "layer_types",
)
_PROJECTORS: Final = {"linear": "linear", "mlp2x_gelu": "mlp", "tokenpacker": "token_packer"}
_CANVASES: Final = {"pad": "pad_square", "slice": "tiles", "square": "stretch"}
"""Of the systems with CLIP. "square" cuts off what a square in the middle lacks; a stretched canvas is the
nearest that there is."""


class Contradiction(NamedTuple):
    """What a checkpoint says and a recipe does not."""

    key: str
    """Of the checkpoint."""
    said: object
    change: str
    """``key=value`` of the recipe that would agree."""
    have: object
    """What the recipe says."""


def language_of(document: Mapping[str, Any]) -> PreTrainedConfig:
    """Return the configuration of the language model.

    Args:
        document: ``config.json``; keys that are not the language model's are passed over.

    Raises:
        ValueError: If the kind of model is unknown, a key is missing, or a value is refused.
    """
    kind = document.get("model_type")
    if kind not in _FAMILIES:
        raise ValueError(f"model_type must be one of {sorted(_FAMILIES)}, got {kind!r}.")
    if missing := [key for key in _NEEDED if document.get(key) is None]:
        raise ValueError(f"{', '.join(missing)} must be there: they shape the language model.")
    shape = {key: document[key] for key in (*_NEEDED, *_OPTIONAL) if document.get(key) is not None}
    try:
        return AutoConfig.for_model(_FAMILIES[kind], **shape)
    except Exception as error:  # whichever transformers' own checks raise
        raise ValueError(f"no {_FAMILIES[kind]} has these values: {str(error)[:300]}") from error


def contradictions(document: Mapping[str, Any], settings: ModelSettings) -> list[Contradiction]:
    """Compare what a checkpoint says about itself with a recipe; keys that are absent say nothing.

    Args:
        document: ``config.json``.
        settings: Of the recipe.

    Raises:
        ValueError: If a key says what no recipe can.
    """
    projector, images, clip = settings.projector, settings.images, settings.vision.clip
    compared: list[tuple[str, str, object, object]] = []
    if kind := document.get("mm_projector_type"):
        wanted = _one_of("mm_projector_type", kind, _PROJECTORS)
        compared.append(("mm_projector_type", "projector.kind", wanted, projector.kind))
    if projector.kind == "token_packer" and "scale_factor" in document:
        compared.append(
            ("scale_factor", "projector.scale", _number(document, "scale_factor"), projector.scale)
        )
    if clip is not None:
        if "mm_vision_select_layer" in document:
            selected, have = _number(document, "mm_vision_select_layer"), clip.select
            states = clip.layers + 1
            if selected % states != have % states:
                compared.append(("mm_vision_select_layer", "vision.clip.select", selected, have))
        if shape := document.get("image_aspect_ratio"):
            wanted = _one_of("image_aspect_ratio", shape, _CANVASES)
            compared.append(("image_aspect_ratio", "images.kind", wanted, images.kind))
    if document.get("mm_vision_select_feature", "patch") != "patch":
        raise ValueError(
            f"mm_vision_select_feature must be 'patch', got {document['mm_vision_select_feature']!r}: "
            "no encoder here passes its class token on."
        )
    if images.kind == "tiles" and "patch_num" in document:
        compared.append(("patch_num", "images.most_tiles", _number(document, "patch_num"), images.most_tiles))
    return [
        Contradiction(key, document[key], f"model.{path}={wanted}", have)
        for key, path, wanted, have in compared
        if wanted != have
    ]


def _one_of(key: str, said: object, known: Mapping[str, str]) -> str:
    if not isinstance(said, str) or said not in known:
        raise ValueError(f"{key} must be one of {sorted(known)}, got {said!r}.")
    return known[said]


def _number(document: Mapping[str, Any], key: str) -> int:
    """Read a number; some are written as text."""
    try:
        return int(document[key])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key} must be a whole number, got {document[key]!r}.") from error


def encoder_contradictions(document: Mapping[str, Any], encoder: PreTrainedConfig) -> list[Contradiction]:
    """Compare the configuration of an encoder that is published alone with the one that a recipe builds.

    Shapes of weights do not tell everything: heads, activations and epsilons must be said.

    Args:
        document: Its ``config.json``; of CLIP it may describe text, too.
        encoder: Of the recipe's encoder.
    """
    part = document.get("vision_config")
    document = part if isinstance(part, Mapping) else document
    return [
        Contradiction(key, document[key], f"{key}={document[key]}", getattr(encoder, key))
        for key in ("num_attention_heads", "hidden_act", "layer_norm_eps", "patch_size")
        if key in document and hasattr(encoder, key) and document[key] != getattr(encoder, key)
    ]
