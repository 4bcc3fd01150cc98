import torch
from torch.nn import functional

from models.region_lm.projectors.abstractor import CAbstractor, LdpProjector
from tests.models.region_lm.projectors.features import CHANNELS, GRID, WIDTH, changed_token, some_features


def touched(projector: torch.nn.Module, row: int, column: int) -> set[int]:
    features = some_features(1)
    with torch.no_grad():
        difference = projector(changed_token(features, row, column)) - projector(features)
    return set(difference[0].abs().amax(1).gt(1e-7).nonzero()[:, 0].tolist())


def test_ldp_adds_what_its_neighbours_tell() -> None:
    torch.manual_seed(0)
    projector, features = LdpProjector(channels=CHANNELS, grid=GRID, scale=2, width=WIDTH), some_features()
    tokens = projector.layers(features.tokens_TNC).transpose(1, 2).unflatten(2, GRID)
    small = functional.avg_pool2d(tokens, 2)
    expected = small + projector.position(small)
    torch.testing.assert_close(projector(features), expected.flatten(2).transpose(1, 2))
    # Window (2, 3) of 6 x 6 and the eight around it.
    assert touched(projector, 5, 7) == {
        (2 + row) * 6 + 3 + column for row in (-1, 0, 1) for column in (-1, 0, 1)
    }


def test_c_abstractor_looks_beyond_its_windows() -> None:
    torch.manual_seed(0)
    projector = CAbstractor(channels=CHANNELS, grid=GRID, scale=3, width=WIDTH).eval()
    assert len(touched(projector, 5, 7)) > 1
    assert len(projector.before) == len(projector.behind) == 3


def test_c_abstractor_may_be_wider_inside() -> None:
    narrow = CAbstractor(channels=CHANNELS, grid=GRID, scale=3, width=WIDTH)
    wide = CAbstractor(channels=CHANNELS, grid=GRID, scale=3, width=WIDTH, inner=48)
    assert wide(some_features()).shape == narrow(some_features()).shape
    assert wide.layers[0].in_features == 48
