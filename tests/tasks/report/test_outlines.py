import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tasks.data.rle import encode_mask
from tasks.report.outlines import path_data, trace


def test_a_square_is_outlined_at_half_pixels() -> None:
    mask = np.zeros((8, 9), dtype=np.bool_)
    mask[2:6, 3:7] = True
    (ring,) = trace(encode_mask(mask))
    assert ring.min(axis=0).tolist() == [6, 4]
    assert ring.max(axis=0).tolist() == [14, 12]


def test_a_hole_is_an_outline_of_its_own_and_an_empty_mask_has_none() -> None:
    mask = np.zeros((20, 20), dtype=np.bool_)
    mask[2:18, 2:18] = True
    mask[8:12, 8:12] = False
    assert len(trace(encode_mask(mask))) == 2
    assert trace(encode_mask(np.zeros((5, 5), dtype=np.bool_))) == []
    assert trace(encode_mask(np.ones((5, 7), dtype=np.bool_)))[0].max(axis=0).tolist() == [14, 10]


def test_path_data_is_relative_and_closed() -> None:
    square = np.array([[0, 0], [4, 0], [4, 4], [0, 4]])
    assert path_data([square, square + 10]) == "M0 0l4 0 0 4-4 0zM10 10l4 0 0 4-4 0z"
    assert path_data([]) == ""


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_filling_the_outline_gives_the_mask_back(seed: int) -> None:
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:40, :50]
    mask = np.zeros((40, 50), dtype=np.bool_)
    for _ in range(3):
        centre, radius = generator.uniform(8, 32, size=2), generator.uniform(3, 9)
        mask |= (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
    canvas = Image.new("L", (500, 400))
    for ring in trace(encode_mask(mask)):
        layer = Image.new("L", canvas.size)
        ImageDraw.Draw(layer).polygon([(5 * a, 5 * b) for a, b in ring.tolist()], fill=255)
        canvas = Image.fromarray(np.asarray(canvas) ^ np.asarray(layer))
    filled = np.asarray(canvas)[5::10, 5::10] > 0
    assert (filled & mask).sum() / (filled | mask).sum() >= 0.93


def test_a_line_of_corners_is_whole_numbers() -> None:
    assert re.fullmatch(r"[Mlz\d\s-]+", path_data(trace(encode_mask(np.eye(12, dtype=np.bool_)))))
