"""Tiles come back to where they were cut."""

import pytest
import torch

from models.vision.stitching import stitch
from models.vision.tiles import TileLayout, cut


@pytest.mark.parametrize(
    ("rows", "columns", "overview"), [(2, 3, True), (1, 1, False), (4, 1, True), (2, 2, False)]
)
def test_stitching_undoes_cutting(rows, columns, overview):
    layout = TileLayout(rows=rows, columns=columns, tile=6, overview=overview)
    canvas = torch.arange(3.0 * rows * columns * 36).reshape(3, rows * 6, columns * 6)
    tiles = torch.cat([cut(canvas, layout), torch.full((int(overview), 3, 6, 6), -1.0)])
    assert torch.equal(stitch(tiles, layout), canvas)


def test_each_cell_lies_in_its_tile():
    """Loops: cells of tiles need not be as many as pixels, nor square."""
    layout = TileLayout(rows=2, columns=3, tile=336, overview=True)
    maps = torch.randn(7, 5, 4, 2, generator=torch.Generator().manual_seed(0))
    stitched = stitch(maps, layout)
    assert stitched.shape == (5, 8, 6)
    for y in range(8):
        for x in range(6):
            assert torch.equal(stitched[:, y, x], maps[y // 4 * 3 + x // 2, :, y % 4, x % 2])


def test_gradients_reach_every_tile_but_the_overview():
    layout = TileLayout(rows=2, columns=2, tile=8, overview=True)
    maps = torch.zeros(5, 1, 2, 2, requires_grad=True)
    stitch(maps, layout).sum().backward()
    assert maps.grad[:4].eq(1).all()
    assert maps.grad[4].eq(0).all()


@pytest.mark.parametrize("count", [3, 5])
def test_missing_and_surplus_tiles_are_refused(count):
    layout = TileLayout(rows=2, columns=2, tile=8, overview=False)
    with pytest.raises(ValueError, match=r"must have shape \(4, C, H, W\), got \(" + str(count)):
        stitch(torch.zeros(count, 1, 2, 2), layout)
