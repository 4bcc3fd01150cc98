import pytest
import torch

from models.segmentation.solo_targets import SCALE_RANGES, assign_cells

GRIDS = (8, 4)
RANGES = ((1.0, 40.0), (30.0, 2048.0))


def cells_of(boxes: list[list[float]], size: tuple[int, int] = (64, 64)) -> list[dict[int, int]]:
    levels = assign_cells(torch.tensor(boxes).reshape(-1, 4), size, grids=GRIDS, ranges=RANGES)
    return [dict(zip(cell.tolist(), box.tolist(), strict=True)) for cell, box in levels]


def test_a_small_box_has_the_cell_of_its_centre() -> None:
    fine, coarse = cells_of([[18.0, 10.0, 22.0, 14.0]])  # centre (20, 12), cells of 8 pixels
    assert fine == {1 * 8 + 2: 0}
    assert coarse == {}


def test_a_large_box_has_at_most_three_by_three_cells() -> None:
    fine, coarse = cells_of([[0.0, 0.0, 64.0, 64.0]])
    assert fine == {}
    assert sorted(coarse) == [row * 4 + column for row in (1, 2) for column in (1, 2)]
    many = assign_cells(torch.tensor([[0.0, 0.0, 64.0, 64.0]]), (64, 64), grids=(40,), ranges=[(1.0, 99.0)])
    assert len(many[0][0]) == 9


def test_a_box_in_both_ranges_has_cells_on_both_levels() -> None:
    fine, coarse = cells_of([[10.0, 10.0, 45.0, 45.0]])
    assert fine
    assert coarse


def test_the_smaller_of_two_boxes_has_the_cell() -> None:
    fine, _ = cells_of([[16.0, 16.0, 24.0, 24.0], [8.0, 8.0, 40.0, 40.0], [17.0, 17.0, 23.0, 23.0]])
    assert fine[2 * 8 + 2] == 2
    assert set(fine.values()) == {1, 2}


def test_boxes_at_the_border_stay_on_the_grid() -> None:
    fine, _ = cells_of([[60.0, 60.0, 64.0, 64.0], [0.0, 0.0, 2.0, 2.0]])
    assert fine == {63: 0, 0: 1}


def test_rows_are_of_the_height_and_columns_of_the_width() -> None:
    fine, _ = cells_of([[120.0, 4.0, 124.0, 8.0]], size=(32, 128))
    assert fine == {1 * 8 + 7: 0}


def test_no_box_has_no_cell() -> None:
    assert cells_of([]) == [{}, {}]


def test_the_published_ranges_leave_no_size_out() -> None:
    for side in (1, 50, 96, 97, 300, 384, 800, 2000):
        assert any(low <= side <= high for low, high in SCALE_RANGES)


def test_ranges_and_grids_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="as many, got 2 and 1"):
        assign_cells(torch.zeros(0, 4), (8, 8), grids=GRIDS, ranges=RANGES[:1])
