"""Parameter names of published checkpoints, and ours.

A rule maps a regular expression over a whole published name to a template of ours. The first rule that
matches decides.
"""

import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

Rules = Mapping[str, str]
"""Regular expression over a whole name to its replacement, as in ``re.Match.expand``; in order."""

TOKEN_PACKER: Rules = {
    r"q_proj_1\.(.+)": r"query.0.\1",
    r"ln_q_1\.(.+)": r"query.1.\1",
    r"k_proj_1\.([02])\.(.+)": r"key.\1.\2",
    r"ln_k_1\.(.+)": r"key.3.\1",
    r"v_proj_1\.([02])\.(.+)": r"value.\1.\2",
    r"ln_v_1\.(.+)": r"value.3.\1",
    r"clip_attn\.(.+)": r"attention.\1",
    r"mlp\.([02])\.(.+)": r"output.\1.\2",
}
"""Of the projector alone; see ``models.region_lm.projectors.token_packer``."""

MLP: Rules = {r"([02])\.(.+)": r"layers.\1.\2"}
"""Of LLaVA 1.5's projector alone, which Osprey shares; see ``models.region_lm.projectors.linear``."""

LINEAR: Rules = {r"(weight|bias)": r"layer.\1"}
"""Of LLaVA 1.0's projector alone."""

OSPREY_REGIONS: Rules = {
    r"res2\.(.+)": r"levels.0.\1",
    r"res3\.(.+)": r"levels.1.\1",
    r"res4\.(.+)": r"levels.2.\1",
    r"res5\.(.+)": r"levels.3.\1",
    r"feat_linear\.(.+)": r"merge.\1",
    r"mask_linear\.layers\.0\.(.+)": r"position.0.\1",
    r"mask_linear\.layers\.1\.(.+)": r"position.2.\1",
    r"mask_linear\.layers\.2\.(.+)": r"position.4.\1",
}
"""Of Osprey's mask extractor alone, "mask_extractor." in its checkpoints; see
``models.region_lm.regions.mask_pooling``."""

CLIP: Rules = {
    r"(?:vision_model\.)?(embeddings\.(?!position_ids$).+)": r"model.\1",
    r"(?:vision_model\.)?((?:pre_layrnorm|encoder|post_layernorm)\..+)": r"model.\1",
}
"""Of the vision transformer alone, as transformers wrote it before and since version 5; see
``models.vision.clip_vit``. The numbers of its positions are no parameter."""

CONVNEXT: Rules = {
    r"stem\.0\.(.+)": r"model.embeddings.patch_embeddings.\1",
    r"stem\.1\.(.+)": r"model.embeddings.layernorm.\1",
    r"stages\.(\d+)\.downsample\.([01])\.(.+)": r"model.encoder.stages.\1.downsampling_layer.\2.\3",
    r"stages\.(\d+)\.blocks\.(\d+)\.gamma": r"model.encoder.stages.\1.layers.\2.layer_scale_parameter",
    r"stages\.(\d+)\.blocks\.(\d+)\.conv_dw\.(.+)": r"model.encoder.stages.\1.layers.\2.dwconv.\3",
    r"stages\.(\d+)\.blocks\.(\d+)\.norm\.(.+)": r"model.encoder.stages.\1.layers.\2.layernorm.\3",
    r"stages\.(\d+)\.blocks\.(\d+)\.mlp\.fc([12])\.(.+)": r"model.encoder.stages.\1.layers.\2.pwconv\3.\4",
    r"head\.norm\.(.+)": r"model.layernorm.\1",
}
"""Of a ConvNeXt of timm, which OpenCLIP calls "visual.trunk."; see ``models.vision.convnext``."""

LANGUAGE: Rules = {
    r"(model\.(?:embed_tokens|norm)\..+)": r"\1",
    r"(model\.layers\.(?!.*rotary_emb\.inv_freq$).+)": r"\1",
    r"(lm_head\..+)": r"\1",
}
"""Of a language model of transformers alone. Frequencies of positions, in old files, are no parameter."""


def under(published: str, ours: str, rules: Rules) -> dict[str, str]:
    """Move rules of a part to where the part stands in a whole.

    Args:
        published: What comes before the part's names in a checkpoint, "model.mm_projector." for instance.
        ours: What comes before them here.
        rules: Of the part.
    """
    return {re.escape(published) + pattern: ours + template for pattern, template in rules.items()}


_TOWER, _PROJECTOR = "model.vision_tower.vision_tower.", "model.mm_projector."
_LANGUAGE_MODEL = under("", "language.", LANGUAGE)

CHECKPOINTS: Mapping[str, Rules] = {
    "llava": {
        **under(_TOWER, "vision.", CLIP),
        **under(_PROJECTOR, "projector.", MLP),
        **under(_PROJECTOR, "projector.", LINEAR),
        **_LANGUAGE_MODEL,
    },
    "tokenpacker": {
        **under(_TOWER, "vision.", CLIP),
        **under(_PROJECTOR, "projector.", TOKEN_PACKER),
        **_LANGUAGE_MODEL,
    },
    "osprey": {
        **under(_TOWER + "visual.trunk.", "vision.", CONVNEXT),
        **under(_PROJECTOR, "projector.", MLP),
        **under("model.mask_extractor.", "regions.", OSPREY_REGIONS),
        **_LANGUAGE_MODEL,
    },
}
"""Of whole checkpoints, by system; what they name after ``models.region_lm.hub.RegionMLLM``."""


def rename(state: Mapping[str, T], rules: Rules) -> tuple[dict[str, T], list[str]]:
    """Give published parameters our names.

    Args:
        state: Values by published name.
        rules: In order; the first that matches a whole name decides.

    Returns:
        The values by our names, and the names that no rule knows, in order.

    Raises:
        ValueError: If two published names would get the same name.
    """
    compiled = [(re.compile(pattern), template) for pattern, template in rules.items()]
    renamed: dict[str, T] = {}
    origins: dict[str, str] = {}
    unmatched: list[str] = []
    for published, value in state.items():
        matches = ((pattern.fullmatch(published), template) for pattern, template in compiled)
        name = next((match.expand(template) for match, template in matches if match), None)
        if name is None:
            unmatched.append(published)
        elif name in renamed:
            raise ValueError(f"parameters {origins[name]!r} and {published!r} would both become {name!r}.")
        else:
            renamed[name], origins[name] = value, published
    return renamed, unmatched
