import pytest

from models.region_lm.published_names import (
    CHECKPOINTS,
    CLIP,
    CONVNEXT,
    LANGUAGE,
    LINEAR,
    MLP,
    TOKEN_PACKER,
    rename,
    under,
)
from tests.models.vision.encoders import convnext


def test_parts_move_to_where_they_stand_in_a_whole() -> None:
    rules = under("model.mm_projector.", "projector.", TOKEN_PACKER)
    renamed, unmatched = rename(
        {
            "model.mm_projector.k_proj_1.2.bias": 1,
            "model.mm_projector.q_proj_1.weight": 2,
            "lm_head.weight": 3,
        },
        rules,
    )
    assert renamed == {"projector.key.2.bias": 1, "projector.query.0.weight": 2}
    assert unmatched == ["lm_head.weight"]


def test_a_prefix_is_text_and_no_pattern() -> None:
    assert rename({"modelXweight": 1}, under("model.", "ours.", LINEAR)) == ({}, ["modelXweight"])


def test_names_of_the_simple_projectors_and_of_the_encoder() -> None:
    assert rename({"0.weight": 1, "2.bias": 2, "1.weight": 3}, MLP) == (
        {"layers.0.weight": 1, "layers.2.bias": 2},
        ["1.weight"],
    )
    assert rename({"weight": 1, "bias": 2}, LINEAR) == ({"layer.weight": 1, "layer.bias": 2}, [])
    old = {"vision_model.embeddings.class_embedding": 1, "vision_model.pre_layrnorm.weight": 2}
    assert rename(old, CLIP) == ({"model.embeddings.class_embedding": 1, "model.pre_layrnorm.weight": 2}, [])
    assert rename({"encoder.layers.0.mlp.fc1.bias": 1, "visual_projection.weight": 2}, CLIP) == (
        {"model.encoder.layers.0.mlp.fc1.bias": 1},
        ["visual_projection.weight"],
    )


def test_every_parameter_of_a_convnext_has_a_published_name() -> None:
    published = [
        f"{part}.{kind}" for part in ("stem.0", "stem.1", "head.norm") for kind in ("weight", "bias")
    ]
    for stage, depth in enumerate((1, 1, 2, 1)):
        parts = [f"downsample.{part}" for part in (0, 1) if stage]
        for block in range(depth):
            parts += [f"blocks.{block}.{part}" for part in ("conv_dw", "norm", "mlp.fc1", "mlp.fc2")]
            published.append(f"stages.{stage}.blocks.{block}.gamma")
        published += [f"stages.{stage}.{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    renamed, unmatched = rename(dict.fromkeys(published), CONVNEXT)
    assert renamed.keys() == convnext().state_dict().keys()
    assert unmatched == []


def test_what_is_computed_is_no_parameter() -> None:
    names = ["model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.0.self_attn.q_proj.weight"]
    assert rename(dict.fromkeys(names), LANGUAGE) == ({names[1]: None}, [names[0]])
    assert rename({"vision_model.embeddings.position_ids": 1}, CLIP)[0] == {}
    assert list(rename({"embeddings.position_embedding.weight": 1}, CLIP)[0]) == [
        "model.embeddings.position_embedding.weight"
    ]


@pytest.mark.parametrize(
    ("system", "published", "ours"),
    [
        ("llava", "model.mm_projector.2.weight", "projector.layers.2.weight"),
        ("llava", "model.mm_projector.bias", "projector.layer.bias"),
        (
            "llava",
            "model.vision_tower.vision_tower.vision_model.encoder.layers.3.mlp.fc1.bias",
            "vision.model.encoder.layers.3.mlp.fc1.bias",
        ),
        ("tokenpacker", "model.mm_projector.clip_attn.in_proj_weight", "projector.attention.in_proj_weight"),
        ("tokenpacker", "lm_head.weight", "language.lm_head.weight"),
        ("osprey", "model.embed_tokens.weight", "language.model.embed_tokens.weight"),
        ("osprey", "model.mask_extractor.feat_linear.bias", "regions.merge.bias"),
        (
            "osprey",
            "model.vision_tower.vision_tower.visual.trunk.stages.2.blocks.5.gamma",
            "vision.model.encoder.stages.2.layers.5.layer_scale_parameter",
        ),
    ],
)
def test_whole_checkpoints(system: str, published: str, ours: str) -> None:
    assert rename({published: 1, "model.unknown": 2}, CHECKPOINTS[system]) == ({ours: 1}, ["model.unknown"])


def test_the_first_rule_decides_and_a_whole_name_is_needed() -> None:
    assert rename({"ab": 1, "abc": 2}, {"a(.)": r"first.\1", "ab": "second"}) == ({"first.b": 1}, ["abc"])


def test_two_parameters_cannot_share_a_name() -> None:
    with pytest.raises(
        ValueError, match=r"parameters 'a\.weight' and 'b\.weight' would both become 'weight'"
    ):
        rename({"a.weight": 1, "b.weight": 2}, {r"[ab]\.(.+)": r"\1"})
