import pytest
import torch
from torch.nn import functional

from models.region_lm.projectors.pooling import AveragePoolProjector, PixelShuffleProjector
from tests.models.region_lm.projectors.features import CHANNELS, GRID, WIDTH, changed_token, some_features


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_mean_of_a_window(scale: int) -> None:
    torch.manual_seed(0)
    projector = AveragePoolProjector(channels=CHANNELS, grid=GRID, scale=scale, width=WIDTH)
    features = some_features()
    means = functional.avg_pool2d(features.as_map(), scale).flatten(2).transpose(1, 2)
    torch.testing.assert_close(projector(features), projector.layers(means))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_cells_of_a_window_stand_side_by_side(scale: int) -> None:
    torch.manual_seed(0)
    projector = PixelShuffleProjector(channels=CHANNELS, grid=GRID, scale=scale, width=WIDTH)
    features = some_features()
    # Unshuffling puts the channel first and the cell second.
    shuffled = functional.pixel_unshuffle(features.as_map(), scale).unflatten(1, (CHANNELS, scale**2))
    sources = shuffled.transpose(1, 2).flatten(1, 2).flatten(2).transpose(1, 2)
    torch.testing.assert_close(projector(features), projector.layers(sources))
    assert projector.layers[0].in_features == CHANNELS * scale**2


@pytest.mark.parametrize("kind", [AveragePoolProjector, PixelShuffleProjector])
def test_a_cell_changes_its_own_window_alone(kind: type) -> None:
    torch.manual_seed(0)
    projector, features = kind(channels=CHANNELS, grid=GRID, scale=3, width=WIDTH), some_features()
    difference = (projector(changed_token(features, 7, 2)) - projector(features)).abs().amax(2)
    assert difference.gt(0).nonzero()[:, 1].tolist() == [2 * 4 + 0] * 2
