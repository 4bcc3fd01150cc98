import torch
from torch.nn import functional

from models.region_lm.projectors.linear import LinearProjector, MlpProjector
from models.region_lm.published_names import LINEAR, MLP, rename
from tests.models.region_lm.projectors.features import CHANNELS, GRID, WIDTH, some_features


def test_one_matrix() -> None:
    projector, features = LinearProjector(channels=CHANNELS, grid=GRID, width=WIDTH), some_features()
    weight, bias = torch.randn(WIDTH, CHANNELS), torch.randn(WIDTH)
    renamed, _ = rename({"weight": weight, "bias": bias}, LINEAR)
    projector.load_state_dict(renamed)
    torch.testing.assert_close(projector(features), features.tokens_TNC @ weight.T + bias)


def test_two_matrices_with_published_names() -> None:
    torch.manual_seed(0)
    projector, features = MlpProjector(channels=CHANNELS, grid=GRID, width=WIDTH), some_features()
    published = {
        "0.weight": torch.randn(WIDTH, CHANNELS),
        "0.bias": torch.randn(WIDTH),
        "2.weight": torch.randn(WIDTH, WIDTH),
        "2.bias": torch.randn(WIDTH),
    }
    renamed, unmatched = rename(published, MLP)
    projector.load_state_dict(renamed)
    inner = functional.gelu(features.tokens_TNC @ published["0.weight"].T + published["0.bias"])
    torch.testing.assert_close(projector(features), inner @ published["2.weight"].T + published["2.bias"])
    assert unmatched == []


def test_sizes_of_the_papers() -> None:
    with torch.device("meta"):
        osprey = MlpProjector(channels=768, grid=(32, 32), width=4096)
        chatrex = MlpProjector(channels=2560, grid=(24, 24), width=4096)
    assert sum(parameter.numel() for parameter in osprey.parameters()) == 768 * 4096 + 4096 + 4096**2 + 4096
    assert sum(parameter.numel() for parameter in chatrex.parameters()) == 27_271_168
