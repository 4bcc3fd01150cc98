"""Dynamic heads: the count of their weights, one head per region, and the start from the box."""

import torch

from models.segmentation.mask_head import DynamicMaskHead, round_box
from models.segmentation.windows import window_positions


def head(mask_channels=8, size=6):
    return DynamicMaskHead(width=16, mask_channels=mask_channels, window_size=size, window_margin=0.25)


def test_number_of_predicted_weights_is_that_of_the_paper():
    assert head(8).controller.out_features == 169
    assert head(16).controller.out_features == 233


def test_each_region_has_its_own_head():
    layer, embedding = head(), torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    features = torch.randn(3, 8, 6, 6, generator=torch.Generator().manual_seed(1))
    together = layer(embedding, features)
    for region in range(3):
        alone = layer(embedding[region : region + 1], features[region : region + 1])
        torch.testing.assert_close(together[region], alone[0])


def test_the_head_equals_three_convolutions():
    layer, embedding = head(), torch.randn(1, 16, generator=torch.Generator().manual_seed(2))
    features = torch.randn(1, 8, 6, 6, generator=torch.Generator().manual_seed(3))
    position = window_positions(6, 0.25)[None]
    weights = layer.controller(embedding)[0].split(layer.sizes)
    field = torch.cat((features, position), dim=1)
    for step, (outputs, inputs) in enumerate(((8, 10), (8, 8), (1, 8))):
        kernel = weights[2 * step].reshape(outputs, inputs, 1, 1)
        field = torch.nn.functional.conv2d(field, kernel, weights[2 * step + 1])
        field = field.relu() if step < 2 else field
    torch.testing.assert_close(layer(embedding, features), field[:, 0] + round_box(position))


def test_the_start_is_the_box_with_round_corners():
    position = window_positions(40, 0.25)[None]
    inside = round_box(position)[0] > 0
    x, y = position[0]
    assert not inside[(x.abs() > 1) | (y.abs() > 1)].any()
    share = inside.sum() / ((x.abs() < 1) & (y.abs() < 1)).sum()
    assert 0.88 < share < 0.97
