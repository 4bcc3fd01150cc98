"""Settings that cannot be built are refused with their numbers."""

from dataclasses import replace

import pytest

from models.region_lm.config import (
    ClipSettings,
    ImageSettings,
    LanguageSettings,
    ModelSettings,
    ProjectorSettings,
    RegionSettings,
    VisionSettings,
)
from models.region_lm.tokens import IMAGE, MASK, POSITION
from tests.models.region_lm.systems import recipe

CLIP = recipe("tokenpacker_tiny").model.vision.clip
CONVNEXT = recipe("osprey_tiny").model.vision.convnext
LANGUAGE = recipe("osprey_tiny").language


def test_sides_and_grids_are_of_the_encoders():
    assert (CLIP.grid, CONVNEXT.grid) == (12, 8)
    assert VisionSettings(clip=CLIP).sides == {"clip": 96}
    small = replace(CLIP, image=64)
    assert VisionSettings(clip=small, convnext=CONVNEXT).sides == {"clip": 64, "convnext": 128}


def test_placeholders_follow_from_the_regions():
    model = recipe("osprey_tiny").model
    assert model.placeholders == (IMAGE, MASK, POSITION)
    assert replace(model, regions=replace(model.regions, position_side=None)).placeholders == (IMAGE, MASK)
    assert replace(model, regions=None).placeholders == (IMAGE,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageSettings(kind="tiles"), "most_tiles belongs to tiles, got None for 'tiles'"),
        (lambda: ImageSettings(kind="stretch", most_tiles=4), "most_tiles belongs to tiles, got 4"),
        (lambda: ImageSettings(kind="tiles", most_tiles=0), "most_tiles must be at least 1, got 0"),
        (lambda: ImageSettings(kind="tiles", most_tiles=4, max_strip=0), "max_strip must be at least 1"),
        (lambda: ImageSettings(kind="stretch", max_strip=2), "max_strip must be at least 1 and of tiles"),
        (
            lambda: ImageSettings(kind="tiles", most_tiles=4, overlap_prescale=0.0),
            "overlap_prescale must be positive, got 0.0",
        ),
        (lambda: replace(CLIP, patch=0), "patch must be at least 1, got 0"),
        (lambda: replace(CLIP, image=97), "image must be a multiple of patch 8, got 97"),
        (lambda: replace(CLIP, heads=3), "hidden must be a multiple of heads 3, got 32"),
        (lambda: replace(CLIP, levels=(1, 6)), "levels must name hidden states of 5 layers, got 6"),
        (lambda: replace(CLIP, select=-7), "select must name hidden states of 5 layers, got -7"),
        (lambda: replace(CLIP, levels=()), "levels must name at least one"),
        (lambda: replace(CONVNEXT, image=100), "image must be a multiple of 32, got 100"),
        (lambda: replace(CONVNEXT, token_level=4), "token_level must be 0 to 3, got 4"),
        (lambda: replace(CONVNEXT, layer_scale=0.0), "layer_scale must be positive, got 0.0"),
        (lambda: replace(CONVNEXT, dims=(8, 0, 8, 8)), "dims and depths must be positive"),
        (VisionSettings, "vision needs clip, convnext or both"),
        (
            lambda: VisionSettings(clip=CLIP, convnext=CONVNEXT),
            "clip and convnext must have one grid, got 12 and 8",
        ),
        (lambda: ProjectorSettings(kind="mlp", scale=2), "mlp does not compress: scale must be 1, got 2"),
        (
            lambda: ProjectorSettings(kind="mlp", heads=2),
            "heads belongs to token_packer and resampler, got 2",
        ),
        (lambda: ProjectorSettings(kind="token_packer", scale=2), "heads belongs to .*, got None"),
        (
            lambda: ProjectorSettings(kind="average_pool", scale=2, residual=True),
            "level_mode and residual belong to token_packer, not to 'average_pool'",
        ),
        (lambda: ProjectorSettings(kind="average_pool", scale=0), "scale must be at least 1, got 0"),
        (lambda: RegionSettings(hidden=0, position_side=16), "hidden must be at least 1, got 0"),
        (lambda: RegionSettings(hidden=8, position_side=0), "position_side must be at least 1, got 0"),
        (lambda: replace(LANGUAGE, layers=0), "layers must be at least 1, got 0"),
        (lambda: replace(LANGUAGE, kv_heads=3), "heads must divide width and be a multiple of kv_heads"),
        *(
            (
                lambda scale=scale: replace(LANGUAGE, initializer_range=scale),
                f"initializer_range must be positive and finite, got {scale}",
            )
            for scale in (0.0, -0.02, float("inf"), float("nan"))
        ),
    ],
)
def test_numbers_that_do_not_fit_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_parts_that_do_not_fit_together_are_refused():
    model = recipe("tokenpacker_tiny").model
    with pytest.raises(ValueError, match="scale must divide the grid of 12, got 5"):
        replace(model, projector=replace(model.projector, scale=5))
    both = VisionSettings(clip=replace(CLIP, image=64), convnext=CONVNEXT)
    tiles = ImageSettings(kind="tiles", most_tiles=4)
    with pytest.raises(ValueError, match="tiles are of one encoder, got clip and convnext"):
        replace(model, images=tiles, vision=both, projector=ProjectorSettings(kind="mlp"))


@pytest.mark.parametrize(("levels", "select"), [((1, 2, 3), -2), ((1, 2, 4, 3), -2), ((1, 2, 3, 4), 5)])
def test_the_queries_of_token_packer_are_the_last_level(levels, select):
    model = recipe("tokenpacker_tiny").model
    clip = replace(model.vision.clip, levels=levels, select=select)
    with pytest.raises(ValueError, match=rf"must name the last of levels, .* got {select} \(\d of 5\)"):
        replace(model, vision=VisionSettings(clip=clip))
    same = replace(model.vision.clip, levels=(1, 2, 3, -2), select=4)
    assert replace(model, vision=VisionSettings(clip=same)).vision.clip.select == 4
    plain = replace(recipe("llava_tiny").model.vision.clip, levels=(1, 3))  # no other projector reads levels
    assert replace(recipe("llava_tiny").model, vision=VisionSettings(clip=plain))


def test_settings_are_values():
    assert isinstance(hash(recipe("osprey_tiny").model), int)
    assert {cls.__dataclass_params__.frozen for cls in (ClipSettings, LanguageSettings, ModelSettings)} == {
        True
    }
