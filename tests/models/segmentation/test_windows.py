"""Windows: where they are, what they read, and how much of them lies in the box."""

import torch

from models.segmentation.windows import (
    box_coverage,
    region_windows,
    sample_windows,
    stretch_windows,
    window_positions,
)

BOX = torch.tensor([[10.0, 20.0, 30.0, 60.0]])


def test_a_window_is_the_box_with_a_margin():
    assert region_windows(BOX, 0.25).tolist() == [[5.0, 10.0, 35.0, 70.0]]


def test_samples_read_the_field_where_they_lie():
    y, x = torch.meshgrid(torch.arange(40) + 0.5, torch.arange(40) + 0.5, indexing="ij")
    window = torch.tensor([[8.0, 4.0, 24.0, 20.0]])
    out = sample_windows(torch.stack((x, y))[None], torch.zeros(1), window, size=8, stride=1)
    assert out[0, 0, 0].tolist() == [9.0, 11.0, 13.0, 15.0, 17.0, 19.0, 21.0, 23.0]
    assert out[0, 1, :, 0].tolist() == [5.0, 7.0, 9.0, 11.0, 13.0, 15.0, 17.0, 19.0]
    assert (sample_windows(torch.ones(1, 1, 8, 8), torch.zeros(1), window + 90, size=8, stride=1) == 0).all()


def test_positions_are_one_at_the_borders_of_the_box():
    x, y = window_positions(6, 0.25)
    torch.testing.assert_close(x[0], torch.tensor([-1.25, -0.75, -0.25, 0.25, 0.75, 1.25]))
    assert torch.equal(x, y.T)


def test_coverage_sums_to_the_box():
    windows = region_windows(BOX, 0.3)
    column, row = box_coverage(BOX, windows, 10)
    size = windows[0, 2:] - windows[0, :2]
    torch.testing.assert_close(column.sum() * size[0] / 10, torch.tensor(20.0))
    torch.testing.assert_close(row.sum() * size[1] / 10, torch.tensor(40.0))
    assert column.min() == 0
    assert column.max() == 1


def test_colours_of_a_window_span_everything():
    guidance = torch.tensor([0.2, 0.3, 0.4, 9.0]).reshape(1, 1, 2, 2)
    inside = torch.tensor([1.0, 1.0, 1.0, 0.0]).reshape(1, 2, 2)
    torch.testing.assert_close(
        stretch_windows(guidance, inside).flatten(), torch.tensor([0.0, 0.5, 1.0, 0.0])
    )
    constant = stretch_windows(torch.full((1, 1, 2, 2), 0.7), torch.ones(1, 2, 2))
    assert (constant == 0).all()
