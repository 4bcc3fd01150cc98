from dataclasses import replace

import pytest
import torch

from models.region_lm.projectors.resampler import ResamplerProjector, grid_positions
from tests.models.region_lm.projectors.features import CHANNELS, GRID, WIDTH, changed_token, some_features


def resampler(scale: int = 2) -> ResamplerProjector:
    torch.manual_seed(0)
    return ResamplerProjector(channels=CHANNELS, grid=GRID, scale=scale, width=WIDTH, heads=4).eval()


def test_every_token_sees_every_cell() -> None:
    projector, features = resampler(), some_features(1)
    with torch.no_grad():
        difference = projector(changed_token(features, 7, 2)) - projector(features)
    assert (difference.abs().amax(2) > 0).all()


def test_cells_have_places() -> None:
    projector, features = resampler(), some_features(1)
    moved = replace(features, tokens_TNC=features.tokens_TNC.flip(1))
    with torch.no_grad():
        assert (projector(moved) - projector(features)).abs().max() > 1e-4


def test_positions_differ_and_have_one_length() -> None:
    positions = grid_positions((5, 7), torch.zeros(1, 32), step=1)
    assert positions.shape == (35, 32)
    torch.testing.assert_close(positions.square().sum(1), torch.full((35,), 16.0))
    distances = torch.cdist(positions, positions) + 10 * torch.eye(35)
    assert distances.min() > 0.1


def test_a_query_stands_in_the_middle_of_its_window() -> None:
    like = torch.zeros(1, 64)
    near = torch.cdist(grid_positions((4, 4), like, step=3), grid_positions((12, 12), like, step=1)).argmin(1)
    assert near.tolist() == [(row * 3 + 1) * 12 + column * 3 + 1 for row in range(4) for column in range(4)]


def test_widths_that_do_not_fit_are_named() -> None:
    for width, heads in ((66, 2), (64, 3), (64, 0)):
        with pytest.raises(
            ValueError, match=f"width must be a multiple of 4 and of {heads} heads, got {width}"
        ):
            ResamplerProjector(channels=8, grid=GRID, scale=2, width=width, heads=heads)
