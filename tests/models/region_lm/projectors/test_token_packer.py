import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from models.region_lm.projectors.token_packer import TokenPacker, WindowAttention, shrink
from models.region_lm.published_names import TOKEN_PACKER, rename
from models.vision.features import VisionFeatures, map_of
from tests.models.region_lm.projectors.features import (
    CHANNELS,
    GRID,
    LEVELS,
    WIDTH,
    changed_level,
    changed_token,
    some_features,
)
from tests.models.region_lm.projectors.published import filled, parameter

GOLDEN = Path(__file__).parents[3] / "golden"


def packer(scale: int = 2, **options) -> TokenPacker:
    torch.manual_seed(0)
    settings = {"level_channels": LEVELS, "heads": 4, **options}
    built = TokenPacker(channels=CHANNELS, grid=GRID, scale=scale, width=WIDTH, **settings)
    # Larger weights: what must change shows.
    with torch.no_grad():
        for part in built.modules():
            if isinstance(part, nn.Linear):
                part.weight.mul_(5.0)
    return built.eval()


def touched(difference: torch.Tensor) -> list[int]:
    return difference[0].abs().amax(1).nonzero()[:, 0].tolist()


@pytest.mark.parametrize("number", [0, 1])
def test_published_outputs_from_published_names(number: int) -> None:
    with np.load(GOLDEN / f"tokenpacker_{number}.npz") as golden:
        shapes = [ast.literal_eval(str(shape)) for shape in golden["shapes"]]
        published = {
            str(name): parameter(str(name), shape)
            for name, shape in zip(golden["names"], shapes, strict=True)
        }
        scale, width, batch, tag = (
            golden[name].item() for name in ("scale_factor", "hidden_size", "batch", "tag")
        )
        expected = torch.from_numpy(golden["y"])
    renamed, unmatched = rename(published, TOKEN_PACKER)
    assert unmatched == []
    with torch.device("meta"):
        projector = TokenPacker(
            channels=1024, level_channels=(1024,) * 4, grid=(24, 24), scale=scale, width=width
        )
    projector.load_state_dict(renamed, assign=True)
    several = filled(f"input.multi.{tag}", (batch, 576, 4096), 1.0)
    features = VisionFeatures(
        tokens_TNC=filled(f"input.single.{tag}", (batch, 576, 1024), 1.0),
        grid=(24, 24),
        levels=tuple(map_of(level, (24, 24)) for level in several.split(1024, dim=2)),
    )
    with torch.no_grad():
        result = projector(features)
    assert result.shape == expected.shape
    torch.testing.assert_close(result, expected, rtol=0.0, atol=1e-6)


def test_sizes_of_the_paper() -> None:
    with torch.device("meta"):
        full = TokenPacker(channels=1024, level_channels=(1024,) * 4, grid=(24, 24), scale=2, width=4096)
    sizes = {
        name: sum(weight.numel() for weight in part.parameters()) for name, part in full.named_children()
    }
    each = 4096 * 1024 + 1024 + 1024 * 1024 + 1024 + 2048
    assert sizes == {
        "query": 1_048_576 + 2_048,
        "key": each,
        "value": each,
        "attention": 4 * (1024**2 + 1024),
        "output": 4_198_400 + 16_781_312,
    }
    assert sum(sizes.values()) == 36_722_688
    assert sum(weight.numel() for weight in packer().parameters()) == 22_080


@pytest.mark.parametrize("level_mode", ["channel", "token"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_weights_of_a_window_sum_to_one(level_mode: str, scale: int) -> None:
    weights = packer(scale, level_mode=level_mode).attention_weights(some_features())
    keys = scale**2 * (4 if level_mode == "token" else 1)
    assert weights.shape == (2, 144 // scale**2, 4, keys)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


@pytest.mark.parametrize("level_mode", ["channel", "token"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_cell_of_a_level_changes_its_own_window_alone(level_mode: str, scale: int) -> None:
    projector, features = packer(scale, level_mode=level_mode), some_features(1)
    for changed in range(len(LEVELS)):
        # One canvas for each cell, in which that cell alone is another one.
        levels = [level.repeat(144, 1, 1, 1) for level in features.levels]
        cells = torch.arange(144)
        levels[changed][cells, :, cells // 12, cells % 12] += torch.linspace(-1.0, 1.0, LEVELS[changed])
        many = VisionFeatures(
            tokens_TNC=features.tokens_TNC.repeat(144, 1, 1), grid=GRID, levels=tuple(levels)
        )
        with torch.no_grad():
            difference = (projector(many) - projector(features)).abs().amax(2)
        window = cells // 12 // scale * (12 // scale) + cells % 12 // scale
        touched_there = torch.zeros(144, projector.num_tokens, dtype=torch.bool)
        touched_there[cells, window] = True
        # Sums of a batch of another size differ in the last digits.
        assert difference[~touched_there].max() < 1e-5
        assert difference[touched_there].min() > 1e-4


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_query_reads_only_what_the_resize_reads(scale: int) -> None:
    projector, features = packer(scale), some_features(1)
    read = {2: {0, 1}, 3: {1}, 4: {1, 2}}[scale]
    with torch.no_grad():
        before = projector(features)
        for cell in range(144):
            row, column = divmod(cell, 12)
            after = projector(changed_token(features, row, column))
            inside = row % scale in read and column % scale in read
            window = row // scale * (12 // scale) + column // scale
            assert touched(after - before) == ([window] if inside else [])


def test_the_resize_reads_means_or_the_centre() -> None:
    cells = some_features(1).as_map()
    for scale in (2, 4):
        start, stop = {2: (0, 2), 4: (1, 3)}[scale]
        centre = cells.unflatten(3, (-1, scale)).unflatten(2, (-1, scale))[:, :, :, start:stop, :, start:stop]
        expected = centre.mean((3, 5)).flatten(2).transpose(1, 2)
        torch.testing.assert_close(shrink(cells, (12 // scale, 12 // scale)), expected)
    assert torch.equal(shrink(cells, (4, 4)), cells[:, :, 1::3, 1::3].flatten(2).transpose(1, 2))


def test_the_resize_runs_in_float32() -> None:
    cells = some_features(1).as_map()
    half = shrink(cells.bfloat16(), (6, 6))
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, shrink(cells.bfloat16().float(), (6, 6)).bfloat16())


def test_the_order_inside_a_window_does_not_matter() -> None:
    projector, features = packer(3), some_features()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))

    def permuted(level: torch.Tensor) -> torch.Tensor:
        cells = level.unflatten(3, (4, 3)).unflatten(2, (4, 3)).transpose(3, 4).flatten(4)[..., order]
        return cells.unflatten(4, (3, 3)).transpose(3, 4).flatten(4).flatten(2, 3)

    moved = replace(features, levels=tuple(permuted(level) for level in features.levels))
    assert not torch.equal(moved.levels[0], features.levels[0])
    torch.testing.assert_close(projector(moved), projector(features), rtol=1e-5, atol=1e-5)


def test_of_equal_cells_the_query_does_not_matter() -> None:
    projector, features = packer(), some_features()
    constant = replace(features, levels=tuple(torch.ones_like(level) for level in features.levels))
    other = replace(constant, tokens_TNC=some_features(seed=7).tokens_TNC)
    torch.testing.assert_close(projector(constant), projector(other))
    assert (
        projector(features) - projector(replace(features, tokens_TNC=other.tokens_TNC))
    ).abs().max() > 1e-3


def test_a_residual_adds_the_query() -> None:
    plain, added, features = packer(), packer(residual=True), some_features()
    added.load_state_dict(plain.state_dict())
    query = plain.query(shrink(features.as_map(), (6, 6)))
    with torch.no_grad():
        for projector in (plain, added):
            projector.output = nn.Identity()
        torch.testing.assert_close(added(features), plain(features) + query)


def test_levels_as_tokens_need_smaller_matrices() -> None:
    projector = packer(level_mode="token")
    assert projector.key[0].in_features == CHANNELS
    assert packer().key[0].in_features == sum(LEVELS)
    assert projector(some_features()).shape == (2, 36, WIDTH)


def test_levels_of_other_sizes_are_brought_to_the_grid() -> None:
    torch.manual_seed(0)
    levels = (torch.randn(2, 8, 24, 24), torch.randn(2, 16, 12, 12), torch.randn(2, 24, 6, 6))
    features = replace(some_features(), levels=levels)
    projector = packer(level_channels=(8, 16, 24))
    fine = functional.avg_pool2d(levels[0], 2)
    coarse = levels[2].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(
        projector(features), projector(replace(features, levels=(fine, levels[1], coarse)))
    )
    with torch.no_grad():
        difference = projector(changed_level(features, 0, 23, 0)) - projector(features)
    assert touched(difference) == [5 * 6]
    odd = replace(features, levels=(torch.randn(2, 8, 18, 18), *levels[1:]))
    with pytest.raises(
        ValueError, match=r"a level must be a multiple or a part of the grid \(12, 12\), got \(18, 18\)"
    ):
        projector(odd)


def test_attention_is_torch_s() -> None:
    torch.manual_seed(0)
    ours, theirs = WindowAttention(channels=32, heads=4), nn.MultiheadAttention(32, 4, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    query, keys, values = torch.randn(2, 5, 32), torch.randn(2, 5, 9, 32), torch.randn(2, 5, 9, 32)
    gathered, weights = ours(query, keys, values)
    expected, expected_weights = theirs(
        query.flatten(0, 1)[:, None], keys.flatten(0, 1), values.flatten(0, 1), average_attn_weights=False
    )
    torch.testing.assert_close(gathered, expected.unflatten(0, (2, 5))[:, :, 0])
    torch.testing.assert_close(weights, expected_weights.unflatten(0, (2, 5))[..., 0, :])


def test_the_start_is_the_published_one_where_layers_are_as_wide() -> None:
    torch.manual_seed(0)
    projector = TokenPacker(channels=256, level_channels=(256,) * 4, grid=GRID, scale=2, width=64)
    for name, weight in projector.named_parameters():
        if name.endswith("bias"):
            assert not weight.any()
        elif weight.ndim == 1:
            assert (weight == 1).all()
        elif name == "attention.in_proj_weight":
            bound = (6 / (4 * 256)) ** 0.5  # Xavier: 3 * 256 rows and 256 columns
            assert 0.95 * bound < weight.abs().max() <= bound
        else:
            published = 0.02 * max(1.0, 1024 / weight.shape[1]) ** 0.5  # inputs of 256 and of 1024
            assert 0.9 * published < weight.std() < 1.05 * published


def test_it_compiles_whole() -> None:
    projector, features = packer(), some_features()
    compiled = torch.compile(projector, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(features), projector(features))


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="heads must divide 32 channels, got 5"):
        packer(heads=5)
    with pytest.raises(ValueError, match="token_packer needs at least one level, got none"):
        packer(level_channels=())
    with pytest.raises(ValueError, match=r"level_mode 'token' needs levels of one width, got \(8, 16\)"):
        packer(level_channels=(8, 16), level_mode="token")
    with pytest.raises(ValueError, match="level_mode must be 'channel' or 'token', got 'both'"):
        packer(level_mode="both")
