"""Which cells of SOLOv2's grids answer for which box.

Paper: Wang et al., "SOLO: Segmenting Objects by Locations", https://arxiv.org/abs/1912.04488, section 3.3.
Differences: centres are those of boxes, since there are no masks; where regions compete for a cell the
smaller one has it.

Shape suffixes:
    G = boxes of one image   P = cells that answer for a box
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

SCALE_RANGES = ((1, 96), (48, 192), (96, 384), (192, 768), (384, 2048))
"""Square roots of the areas of boxes, in pixels of the input, that each level answers for, ends included."""
CENTRE_SHARE = 0.2
"""Share of a box around its centre whose cells answer for it, at most three by three cells."""


def assign_cells(
    boxes_G4: Tensor,
    size: tuple[int, int],
    *,
    grids: Sequence[int],
    ranges: Sequence[tuple[float, float]] = SCALE_RANGES,
) -> list[tuple[Tensor, Tensor]]:
    """Give each box its cells.

    Args:
        boxes_G4: Corners in pixels of the input.
        size: Height and width of the input in pixels.
        grids: Cells along each side, by level.
        ranges: Sizes that each level answers for.

    Returns:
        Per level the row-major cells, by rising place, and the box of each; int64, shape (P,) each.

    Raises:
        ValueError: If there are not as many ranges as grids.
    """
    if len(grids) != len(ranges):
        raise ValueError(f"grids and ranges must be as many, got {len(grids)} and {len(ranges)}.")
    height, width = size
    corners = boxes_G4.tolist()
    sides = [math.sqrt(max(0.0, (x1 - x0) * (y1 - y0))) for x0, y0, x1, y1 in corners]
    large_first = sorted(range(len(corners)), key=lambda box: -sides[box])
    levels = []
    for side, (low, high) in zip(grids, ranges, strict=True):
        owner: dict[int, int] = {}
        for box in large_first:
            if low <= sides[box] <= high:
                x0, y0, x1, y1 = corners[box]
                columns = _reach(x0, x1, width, side)
                for row in _reach(y0, y1, height, side):
                    owner.update(dict.fromkeys((row * side + column for column in columns), box))
        cells = sorted(owner)
        levels.append(
            (
                torch.tensor(cells, dtype=torch.int64),
                torch.tensor([owner[cell] for cell in cells], dtype=torch.int64),
            )
        )
    return levels


def _reach(low: float, high: float, length: float, side: int) -> range:
    """Return the cells along an axis in the middle of a box: the centre's, and at most one on each side."""
    centre, half = (low + high) / 2, CENTRE_SHARE * (high - low) / 2

    def cell(position: float) -> int:
        return min(side - 1, max(0, math.floor(position / length * side)))

    middle = cell(centre)
    return range(max(middle - 1, cell(centre - half)), min(middle + 1, cell(centre + half)) + 1)
