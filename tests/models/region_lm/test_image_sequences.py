"""Tiles in reading order with separators between them."""

import pytest
import torch

from models.region_lm.image_sequences import image_sequence
from models.vision.tiles import TileLayout, sequence_length

COMMA, LINE = torch.tensor([[-1.0]]), torch.tensor([[-2.0], [-3.0]])


def sequence(rows: int, columns: int, *, overview: bool, size: int = 2) -> list[int]:
    layout = TileLayout(rows=rows, columns=columns, tile=8, overview=overview)
    tokens = torch.arange(layout.count, dtype=torch.float32)[:, None, None].expand(-1, size, 1)
    return image_sequence(tokens, layout, column_ED=COMMA, row_ED=LINE)[:, 0].int().tolist()


def test_rows_end_with_a_line_and_tiles_are_apart():
    line = [-2, -3]  # a vocabulary without a new line of one id
    assert sequence(2, 2, overview=True) == [
        *[0, 0, -1, 1, 1, *line],
        *[2, 2, -1, 3, 3, *line],
        *[4, 4, *line],
    ]
    assert sequence(1, 1, overview=False) == [0, 0, *line]
    assert sequence(3, 1, overview=True, size=1) == [0, *line, 1, *line, 2, *line, 3, *line]


@pytest.mark.parametrize(
    ("rows", "columns", "size", "length"),
    [(1, 1, 144, 145), (2, 3, 144, 1015), (3, 3, 64, 650), (4, 4, 36, 629)],
)
def test_lengths_are_the_published_ones(rows, columns, size, length):
    layout = TileLayout(rows=rows, columns=columns, tile=336, overview=rows * columns > 1)
    tokens = torch.zeros(layout.count, size, 1)
    found = image_sequence(tokens, layout, column_ED=COMMA, row_ED=COMMA)
    assert len(found) == length == sequence_length(layout, size)


def test_canvases_that_are_missing_are_counted():
    layout = TileLayout(rows=1, columns=2, tile=8, overview=True)
    with pytest.raises(ValueError, match="needs 3 canvases, got 2"):
        image_sequence(torch.zeros(2, 1, 1), layout, column_ED=COMMA, row_ED=LINE)
