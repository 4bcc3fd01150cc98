import random

import pytest
import torch

from models.vision.tiles import TileLayout, candidate_grids, choose_grid, cut, layout_of, sequence_length

PICKS = [
    # height, width, of at most 9, of at most 16
    (480, 640, (2, 3), (3, 4)),
    (336, 336, (1, 1), (1, 1)),
    (1080, 1920, (2, 4), (3, 5)),
    (2000, 500, (4, 1), (8, 2)),
    (1344, 1344, (3, 3), (4, 4)),
    (600, 900, (2, 3), (2, 3)),
]
LENGTHS = {
    (1, 1): (145, 65, 37),
    (2, 3): (1015, 455, 259),
    (3, 3): (1450, 650, 370),
    (4, 4): (2465, 1105, 629),
}


def laid_out(rows: int, columns: int, tile: int = 336) -> TileLayout:
    return TileLayout(rows=rows, columns=columns, tile=tile, overview=rows * columns > 1)


@pytest.mark.parametrize(("height", "width", "nine", "sixteen"), PICKS)
def test_the_chosen_grid(height: int, width: int, nine: tuple[int, int], sixteen: tuple[int, int]) -> None:
    for most, grid in ((9, nine), (16, sixteen)):
        assert choose_grid(height, width, tile=336, most=most) == grid
        assert choose_grid(width, height, tile=336, most=most) == grid[::-1]


def test_the_paper_s_overlap_prefers_smaller_grids() -> None:
    assert choose_grid(672, 672, tile=336, most=16) == (3, 3)
    assert choose_grid(672, 672, tile=336, most=16, overlap_prescale=1.0) == (2, 2)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5000), (5000, 1), (1, 100_000), (7, 3)])
@pytest.mark.parametrize("most", [1, 2, 9, 16, 25])
def test_any_image_has_a_grid(height: int, width: int, most: int) -> None:
    rows, columns = choose_grid(height, width, tile=336, most=most)
    assert 1 <= rows * columns <= most
    assert choose_grid(width, height, tile=336, most=most) in {(columns, rows), (rows, columns)}


def test_a_turned_image_has_the_turned_grid() -> None:
    draw = random.Random(0)
    for _ in range(100):
        height, width = draw.randint(20, 2500), draw.randint(20, 2500)
        grid = choose_grid(height, width, tile=336, most=9)
        assert choose_grid(width, height, tile=336, most=9) == grid[::-1]


def test_candidates_rise_in_tiles_and_occur_once() -> None:
    grids = candidate_grids(25)
    assert grids[:6] == ((1, 1), (1, 2), (2, 1), (1, 3), (3, 1), (1, 4))
    assert len(set(grids)) == len(grids) == sum(25 // rows for rows in range(1, 26))
    counts = [rows * columns for rows, columns in grids]
    assert counts == sorted(counts)


def test_strips_may_be_limited() -> None:
    grids = candidate_grids(16, max_strip=9)
    assert set(candidate_grids(16)) - set(grids) == {
        grid for length in range(10, 17) for grid in ((1, length), (length, 1))
    }
    assert choose_grid(100, 5000, tile=336, most=16, max_strip=4) in candidate_grids(16, max_strip=4)


@pytest.mark.parametrize("grid", LENGTHS)
def test_the_length_of_the_sequence(grid: tuple[int, int]) -> None:
    layout = laid_out(*grid)
    assert tuple(sequence_length(layout, tokens) for tokens in (144, 64, 36)) == LENGTHS[grid]
    assert layout.count == grid[0] * grid[1] + (grid != (1, 1))


def test_tiles_put_together_are_the_canvas() -> None:
    layout = laid_out(2, 3, tile=4)
    canvas = torch.arange(3 * 8 * 12).reshape(3, 8, 12)
    tiles = cut(canvas, layout)
    assert tiles.shape == (6, 3, 4, 4)
    rows = [torch.cat(list(tiles[row * 3 : row * 3 + 3]), dim=2) for row in range(2)]
    assert torch.equal(torch.cat(rows, dim=1), canvas)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="rows, columns and tile must be at least 1, got 0, 1 and 336"):
        TileLayout(rows=0, columns=1, tile=336, overview=False)
    with pytest.raises(ValueError, match="most and max_strip must be at least 1, got 0 and None"):
        candidate_grids(0)
    with pytest.raises(ValueError, match="most and max_strip must be at least 1, got 9 and 0"):
        candidate_grids(9, max_strip=0)
    with pytest.raises(ValueError, match="height, width and tile must be at least 1, got 0, 10 and 336"):
        choose_grid(0, 10, tile=336, most=9)
    with pytest.raises(ValueError, match=r"must be \(8, 12\), got \(12, 8\)"):
        cut(torch.zeros(3, 12, 8), laid_out(2, 3, tile=4))


@pytest.mark.parametrize(("height", "width", "nine", "sixteen"), PICKS)
def test_a_grid_of_several_tiles_has_an_overview(
    height: int, width: int, nine: tuple[int, int], sixteen: tuple[int, int]
) -> None:
    for most, grid in ((9, nine), (16, sixteen)):
        assert layout_of(height, width, tile=336, most=most) == laid_out(*grid)
