"""Equal to OpenCV on polygons that cross themselves, and by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.data.polygon_fill import fill_polygon
from tasks.data.records import MaskRle
from tasks.data.rle import decode_mask

FILLS = json.loads((Path(__file__).resolve().parents[2] / "data/reasonseg/opencv_fills.json").read_text())


@pytest.mark.parametrize("case", FILLS, ids=range(len(FILLS)))
def test_equals_opencv(case):
    height, width = case["size"]
    expected = decode_mask(MaskRle(height=height, width=width, counts=case["counts"]))
    assert np.array_equal(fill_polygon(case["points"], height, width), expected)


def test_by_hand():
    square = fill_polygon([(1.9, 1), (3, 1), (3, 3), (1.2, 3)], 5, 5)
    assert np.argwhere(square).tolist() == [[row, column] for row in (1, 2, 3) for column in (1, 2, 3)]
    assert fill_polygon([(2, 2)], 4, 4).sum() == 1
    line = fill_polygon([(0, 0), (3, 3)], 4, 4)
    assert np.argwhere(line).tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert fill_polygon([(3, 3), (0, 0)], 4, 4).tolist() == line.tolist()


def test_two_crossing_halves_are_filled_between_every_other_edge():
    # A square inside a square, as one line: the inner one is a hole, but its border is drawn.
    outer, inner = [(0, 0), (8, 0), (8, 8), (0, 8), (0, 0)], [(2, 2), (6, 2), (6, 6), (2, 6), (2, 2)]
    mask = fill_polygon([*outer, *inner], 9, 9)
    assert not mask[3:6, 4:6].any()
    assert mask[2, 2:7].all()


def test_what_lies_outside_is_cut_off():
    mask = fill_polygon([(-4, -3), (9, -3), (9, 9), (-4, 9)], 5, 6)
    assert mask.all()
    assert fill_polygon([(-4, -3), (-2, -3), (-2, -1)], 5, 6).sum() == 0


@pytest.mark.parametrize("point", [(np.nan, 0), (0, np.inf), (1e9, 0), (0, -6), (13, 0)])
def test_points_that_are_refused(point):
    with pytest.raises(ValueError, match="a point lies far outside the image of 6x5, or is not finite"):
        fill_polygon([(0, 0), (1, 1), point], 5, 6)


@pytest.mark.parametrize("points", [[], [(1, 2, 3)], [1, 2]])
def test_shapes_that_are_refused(points):
    with pytest.raises(ValueError, match="points must be pairs, at least one, got an array of shape"):
        fill_polygon(points, 5, 6)
