"""Tiny checkpoints as they are published: others' names, others' ``config.json``, weights of a tiny twin."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.region_lm.hub import RegionMLLM
from models.region_lm.processing import RegionProcessor
from tests.models.region_lm.systems import new_system
from tests.models.region_lm.vocabularies import byte_level

TOWER = "model.vision_tower.vision_tower."
_PACKER = {
    "query.0.": "q_proj_1.", "query.1.": "ln_q_1.", "key.0.": "k_proj_1.0.", "key.2.": "k_proj_1.2.",
    "key.3.": "ln_k_1.", "value.0.": "v_proj_1.0.", "value.2.": "v_proj_1.2.", "value.3.": "ln_v_1.",
    "attention.": "clip_attn.", "output.": "mlp.",
}  # fmt: skip
_REGIONS = {
    "levels.0.": "res2.", "levels.1.": "res3.", "levels.2.": "res4.", "levels.3.": "res5.",
    "merge.": "feat_linear.", "position.0.": "mask_linear.layers.0.", "position.2.": "mask_linear.layers.1.",
    "position.4.": "mask_linear.layers.2.",
}  # fmt: skip
_CONVNEXT = (
    (r"model\.embeddings\.patch_embeddings\.", "stem.0."),
    (r"model\.embeddings\.layernorm\.", "stem.1."),
    (r"model\.encoder\.stages\.(\d)\.downsampling_layer\.", r"stages.\1.downsample."),
    (r"model\.encoder\.stages\.(\d)\.layers\.(\d+)\.layer_scale_parameter", r"stages.\1.blocks.\2.gamma"),
    (r"model\.encoder\.stages\.(\d)\.layers\.(\d+)\.dwconv\.", r"stages.\1.blocks.\2.conv_dw."),
    (r"model\.encoder\.stages\.(\d)\.layers\.(\d+)\.layernorm\.", r"stages.\1.blocks.\2.norm."),
    (r"model\.encoder\.stages\.(\d)\.layers\.(\d+)\.pwconv(\d)\.", r"stages.\1.blocks.\2.mlp.fc\3."),
    (r"model\.layernorm\.", "head.norm."),
)


def twin(system: str, *, seed: int = 0) -> tuple[RegionProcessor, RegionMLLM]:
    """Build the tiny twin of a system; no two of its weights are alike."""
    processor, model = new_system(f"{system}_tiny", seed=seed)
    torch.manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return processor, model


def published_name(system: str, ours: str) -> str:
    """Call a weight of ours as its authors do: the inverse of the rules, written by hand."""
    part, _, rest = ours.partition(".")
    if part == "language":
        return rest
    if part == "vision":
        return TOWER + encoder_name(system, rest)
    if part == "regions":
        return "model.mask_extractor." + _swapped(rest, _REGIONS)
    name = _swapped(rest, _PACKER) if system == "tokenpacker" else rest.removeprefix("layers.")
    return f"model.mm_projector.{name}"


def encoder_name(system: str, rest: str) -> str:
    """Call a weight of the encoder as its authors do."""
    if system != "osprey":
        return "vision_model." + rest.removeprefix("model.")
    for pattern, template in _CONVNEXT:
        if re.match(pattern, rest):
            return "visual.trunk." + re.sub(pattern, template, rest)
    raise AssertionError(rest)


def _swapped(name: str, table: Mapping[str, str]) -> str:
    ours = next(prefix for prefix in table if name.startswith(prefix))
    return table[ours] + name.removeprefix(ours)


def published_state(system: str, model: RegionMLLM, known: int) -> dict[str, Tensor]:
    """Return the weights by published name, without rows for placeholders."""
    state = {}
    for ours, value in model.state_dict().items():
        table = ours.endswith(("embed_tokens.weight", "lm_head.weight"))
        state[published_name(system, ours)] = (value[:known] if table else value).clone().contiguous()
    return state


def published_config(system: str, model: RegionMLLM, known: int) -> dict[str, object]:
    text = model.config.get_text_config()
    keys = (
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
        "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "hidden_act",
    )  # fmt: skip
    more = {
        "osprey": {"model_type": "osprey", "mm_projector_type": "mlp2x_gelu", "image_aspect_ratio": "pad"},
        "llava": {
            "model_type": "llava_llama",
            "mm_projector_type": "mlp2x_gelu",
            "mm_vision_select_layer": -2,
            "mm_vision_select_feature": "patch",
            "image_aspect_ratio": "pad",
        },
        "tokenpacker": {"model_type": "llava", "mm_projector_type": "tokenpacker", "scale_factor": 2},
    }[system]
    shape = {key: getattr(text, key) for key in keys}
    return {**shape, "vocab_size": known, "rope_scaling": None, "tie_word_embeddings": False, **more}


def save_published(
    system: str,
    folder: Path,
    *,
    form: str = "safetensors",
    parts: int = 1,
    change: Callable[[dict[str, Tensor]], object] = lambda _: None,
) -> tuple[RegionProcessor, RegionMLLM]:
    """Write a checkpoint as it is published, and return the twin that it is of.

    Args:
        system: Whose names it has.
        folder: To write to.
        form: ``safetensors`` or ``bin``.
        parts: Number of files.
        change: Told the weights before they are written.
    """
    processor, model = twin(system)
    tokenizer = byte_level()
    folder.mkdir(exist_ok=True)
    tokenizer.save_pretrained(folder)
    known = len(tokenizer)
    (folder / "config.json").write_text(json.dumps(published_config(system, model, known)))
    state = published_state(system, model, known)
    change(state)
    write_weights(state, folder, form=form, parts=parts)
    return processor, model


def write_weights(state: dict[str, Tensor], folder: Path, *, form: str, parts: int) -> None:
    stem, save = ("model", save_file) if form == "safetensors" else ("pytorch_model", torch.save)
    if parts == 1:
        save(state, folder / f"{stem}.{form}")
        return
    places = {
        name: f"{stem}-{number % parts + 1:05}-of-{parts:05}.{form}" for number, name in enumerate(state)
    }
    for part in sorted(set(places.values())):
        save({name: value for name, value in state.items() if places[name] == part}, folder / part)
    index = {"metadata": {}, "weight_map": places}
    (folder / f"{stem}.{form}.index.json").write_text(json.dumps(index))
