"""Every kind of part is built, and at full size the numbers of parameters are the published ones."""

from dataclasses import replace

import pytest
import torch

from models.region_lm.assembly import planned_model
from models.region_lm.build import build_parts, build_vision, chat_template
from models.region_lm.config import ProjectorSettings, VisionSettings
from models.region_lm.conversation import CHATML, VICUNA
from models.vision.dual import DualVision
from tests.models.region_lm.systems import recipe

VICUNA_7B = 6_738_415_616
ROW = 2 * 4096
"""Of a token: one row of the embeddings, one of the head."""


def counts(name: str) -> dict[str, int]:
    model = planned_model(recipe(name).model, recipe(name).language)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    return {
        key: sum(parameter.numel() for parameter in part.parameters()) for key, part in model.named_children()
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tokenpacker", {"vision": 303_507_456, "projector": 36_722_688, "language": VICUNA_7B + ROW}),
        ("tokenpacker_hd", {"vision": 303_507_456, "projector": 36_722_688, "language": VICUNA_7B + ROW}),
        (
            "osprey",
            {
                "vision": 196_230_336,
                "projector": 768 * 4096 + 4096 + 4096 * 4096 + 4096,
                "regions": 25_245_696,
                "language": VICUNA_7B + 3 * ROW,
            },
        ),
        (
            "tokenpacker_osprey_hd",
            {
                "vision": 303_507_456,
                "projector": 36_722_688,
                "regions": 4 * (1024 * 1024 + 1024) + 1024 * 4096 + 4096,
                "language": VICUNA_7B + 2 * ROW,
            },
        ),
        ("tokenpacker_tiny", {"vision": 53_664, "projector": 22_080, "language": 139_584 + 128}),
        (
            "osprey_tiny",
            {"vision": 31_760, "projector": 5_760, "regions": 16_192, "language": 139_584 + 3 * 128},
        ),
    ],
)
def test_systems_have_their_published_size(name, expected):
    assert counts(name) == expected


@pytest.mark.parametrize(
    ("kind", "scale", "heads", "tokens"),
    [
        ("token_packer", 3, 4, 16),
        ("mlp", 1, None, 144),
        ("linear", 1, None, 144),
        ("average_pool", 4, None, 9),
        ("pixel_shuffle", 2, None, 36),
        ("resampler", 2, 4, 36),
        ("c_abstractor", 2, None, 36),
        ("ldp", 2, None, 36),
    ],
)
def test_every_projector_is_built(kind, scale, heads, tokens):
    settings = replace(
        recipe("tokenpacker_tiny").model, projector=ProjectorSettings(kind=kind, scale=scale, heads=heads)
    )
    parts = build_parts(settings, 64)
    found = parts.projector(parts.vision({"clip": torch.zeros(2, 3, 96, 96)}))
    assert found.shape == (2, tokens, 64)
    assert parts.projector.num_tokens == tokens
    assert parts.regions is None


def test_token_packer_takes_its_switches():
    projector = ProjectorSettings(kind="token_packer", scale=2, heads=4, level_mode="token", residual=True)
    settings = replace(recipe("tokenpacker_tiny").model, projector=projector)
    built = build_parts(settings, 64).projector
    assert (built.level_mode, built.residual) == ("token", True)


def test_two_encoders_stand_side_by_side():
    clip = replace(recipe("tokenpacker_tiny").model.vision.clip, image=64)
    settings = VisionSettings(clip=clip, convnext=recipe("osprey_tiny").model.vision.convnext)
    vision = build_vision(settings)
    assert isinstance(vision, DualVision)
    assert (vision.channels, vision.level_channels, vision.grid) == (32 + 24, (8, 16, 24, 32), (8, 8))


def test_blocks_of_a_small_network_count_from_the_start():
    for name, scale in (("osprey", 1e-6), ("osprey_tiny", 1.0)):
        settings = recipe(name).model.vision
        with torch.device("cpu" if name.endswith("tiny") else "meta"):
            vision = build_vision(settings)
        assert vision.model.config.layer_scale_init_value == scale
    scales = [value for key, value in vision.state_dict().items() if "layer_scale" in key]
    assert len(scales) == 5
    assert all((value == 1.0).all() for value in scales)


def test_templates_go_by_name():
    settings = recipe("osprey_tiny").model
    assert chat_template(settings) is VICUNA
    assert chat_template(replace(settings, template="chatml")) is CHATML
