"""The windows, and what every projector promises."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from models.region_lm.projectors.abstractor import CAbstractor, LdpProjector
from models.region_lm.projectors.interface import Projector, windows
from models.region_lm.projectors.linear import LinearProjector, MlpProjector
from models.region_lm.projectors.pooling import AveragePoolProjector, PixelShuffleProjector
from models.region_lm.projectors.resampler import ResamplerProjector
from models.region_lm.projectors.token_packer import TokenPacker
from tests.models.region_lm.projectors.features import CHANNELS, GRID, LEVELS, WIDTH, some_features

Build = Callable[[int, tuple[int, int]], Projector]
COMPRESSING: dict[str, Build] = {
    "token_packer": lambda scale, grid: TokenPacker(
        channels=CHANNELS, level_channels=LEVELS, grid=grid, scale=scale, width=WIDTH, heads=4
    ),
    "average_pool": lambda scale, grid: AveragePoolProjector(
        channels=CHANNELS, grid=grid, scale=scale, width=WIDTH
    ),
    "pixel_shuffle": lambda scale, grid: PixelShuffleProjector(
        channels=CHANNELS, grid=grid, scale=scale, width=WIDTH
    ),
    "resampler": lambda scale, grid: ResamplerProjector(
        channels=CHANNELS, grid=grid, scale=scale, width=WIDTH, heads=4
    ),
    "c_abstractor": lambda scale, grid: CAbstractor(channels=CHANNELS, grid=grid, scale=scale, width=WIDTH),
    "ldp": lambda scale, grid: LdpProjector(channels=CHANNELS, grid=grid, scale=scale, width=WIDTH),
}
KEEPING: dict[str, Build] = {
    "linear": lambda _, grid: LinearProjector(channels=CHANNELS, grid=grid, width=WIDTH),
    "mlp": lambda _, grid: MlpProjector(channels=CHANNELS, grid=grid, width=WIDTH),
}
ALL = {**COMPRESSING, **KEEPING}
LOCAL = ("token_packer", "average_pool", "pixel_shuffle")


def test_windows_stand_row_by_row() -> None:
    rows, columns = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
    cells = (rows * 10 + columns)[None, :, :, None]
    cut = windows(cells, 2)
    assert cut.shape == (1, 2, 3, 2, 2, 1)
    assert cut.data_ptr() == cells.data_ptr()
    assert cut.flatten(3).flatten(0, 2).tolist() == [
        [0, 1, 10, 11],
        [2, 3, 12, 13],
        [4, 5, 14, 15],
        [20, 21, 30, 31],
        [22, 23, 32, 33],
        [24, 25, 34, 35],
    ]


@pytest.mark.parametrize("name", COMPRESSING)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_number_of_tokens_falls_with_the_square_of_the_scale(name: str, scale: int) -> None:
    projector = COMPRESSING[name](scale, GRID).eval()
    assert projector.num_tokens == 144 // scale**2
    assert projector(some_features(3)).shape == (3, projector.num_tokens, WIDTH)


@pytest.mark.parametrize("name", KEEPING)
def test_the_simple_ones_keep_every_token(name: str) -> None:
    projector = KEEPING[name](1, GRID)
    assert projector.num_tokens == 144
    assert projector(some_features(3)).shape == (3, 144, WIDTH)


@pytest.mark.parametrize("name", ALL)
def test_a_grid_need_not_be_square(name: str) -> None:
    projector = ALL[name](2, (4, 6)).eval()
    assert projector(some_features(grid=(4, 6))).shape == (2, 24 if name in KEEPING else 6, WIDTH)


@pytest.mark.parametrize("name", COMPRESSING)
@pytest.mark.parametrize("scale", [0, 5, 8])
def test_windows_must_fill_the_grid(name: str, scale: int) -> None:
    with pytest.raises(ValueError, match=f"scale must divide the grid 12 x 12, got {scale}"):
        COMPRESSING[name](scale, GRID)


@pytest.mark.parametrize("name", ALL)
def test_features_of_another_grid_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"for the grid \(12, 12\) got features of the grid \(6, 6\)"):
        ALL[name](2, GRID)(some_features(grid=(6, 6)))


@pytest.mark.parametrize("name", ALL)
def test_a_canvas_alone_is_as_in_a_batch(name: str) -> None:
    torch.manual_seed(0)
    projector, features = ALL[name](2, GRID).eval(), some_features(3)
    alone = replace(
        features, tokens_TNC=features.tokens_TNC[1:2], levels=tuple(level[1:2] for level in features.levels)
    )
    torch.testing.assert_close(projector(features)[1:2], projector(alone))


@pytest.mark.parametrize("name", ALL)
def test_no_canvas_gives_no_token(name: str) -> None:
    projector = ALL[name](2, GRID).eval()
    assert projector(some_features(0)).shape == (0, projector.num_tokens, WIDTH)


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_learns_and_inputs_stay(name: str) -> None:
    torch.manual_seed(0)
    projector, features = ALL[name](2, GRID), some_features()
    before = features.tokens_TNC.clone(), [level.clone() for level in features.levels]
    projector(features).square().sum().backward()
    assert all(parameter.grad is not None for parameter in projector.parameters())
    assert torch.equal(features.tokens_TNC, before[0])
    assert all(torch.equal(*pair) for pair in zip(features.levels, before[1], strict=True))


@pytest.mark.parametrize("name", ALL)
def test_there_is_nothing_but_parameters_to_store(name: str) -> None:
    projector = ALL[name](2, GRID)
    assert not list(projector.buffers())
    assert projector.state_dict().keys() == dict(projector.named_parameters()).keys()


@pytest.mark.parametrize("name", ALL)
def test_bfloat16_is_close(name: str) -> None:
    torch.manual_seed(0)
    projector, features = ALL[name](2, GRID).eval(), some_features()
    with torch.no_grad():
        expected = projector(features)
        half = in_half(features)
        result = projector.bfloat16()(half)
    assert result.dtype == torch.bfloat16
    assert (result.float() - expected).norm() < 0.05 * expected.norm() + 1e-3


def in_half(features):
    return replace(
        features,
        tokens_TNC=features.tokens_TNC.bfloat16(),
        levels=tuple(level.bfloat16() for level in features.levels),
    )


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("scale", [2, 3])
def test_a_map_of_window_numbers_comes_out_in_order(name: str, scale: int) -> None:
    torch.manual_seed(0)
    projector = ALL[name](scale, GRID).eval()
    cells = torch.arange(12)
    number = cells[:, None] // scale * (12 // scale) + cells // scale
    codes = torch.randn(projector.num_tokens, CHANNELS)
    features = some_features(1)
    numbered = codes[number].movedim(2, 0)[None]
    numbered = replace(
        features,
        tokens_TNC=numbered.flatten(2).transpose(1, 2),
        levels=tuple(numbered for _ in features.levels),
    )
    with torch.no_grad():
        result = projector(numbered)[0]
        for window in range(projector.num_tokens):
            constant = codes[window][None, :, None, None].expand(1, -1, *GRID)
            same = replace(
                features,
                tokens_TNC=constant.flatten(2).transpose(1, 2),
                levels=tuple(constant for _ in features.levels),
            )
            torch.testing.assert_close(result[window], projector(same)[0, 0])
