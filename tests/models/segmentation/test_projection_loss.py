"""The projection loss against numbers worked out by hand."""

import pytest
import torch

from models.segmentation.projection_loss import dice_distance, projection_loss

GOLDEN = torch.tensor([[0.9, 0.8, 0.1, 0.1], [0.7, 0.6, 0.2, 0.1], [0.2, 0.1, 0.1, 0.3]])


def test_golden_vector():
    column = dice_distance(GOLDEN.amax(dim=0)[None], torch.tensor([[1.0, 1.0, 0.0, 0.0]]))
    row = dice_distance(GOLDEN.amax(dim=1)[None], torch.tensor([[1.0, 1.0, 0.0]]))
    assert row.item() == pytest.approx(0.056050, abs=1e-5)
    assert column.item() == pytest.approx(1 - 2 * 1.7 / (0.81 + 0.64 + 0.04 + 0.09 + 2), abs=1e-5)


def test_the_box_itself_costs_nothing_and_the_gradient_flows():
    box = torch.zeros(2, 6, 6)
    box[:, 1:4, 2:5] = 1
    column, row = box.amax(dim=1), box.amax(dim=2)
    assert projection_loss(box, column, row).item() == pytest.approx(0.0, abs=1e-5)
    soft = torch.full((2, 6, 6), 0.5, requires_grad=True)
    projection_loss(soft, column, row).backward()
    assert soft.grad.abs().sum() > 0


def test_no_region_costs_nothing():
    assert projection_loss(torch.zeros(0, 6, 6), torch.zeros(0, 6), torch.zeros(0, 6)).item() == 0.0
