"""Strokes beside a twin that looks at every pixel and every piece of the line."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.label_maps import UNLABELLED
from tasks.data.strokes import RADIUS, Stroke, draw_strokes, stroke_pixels


def slow_distance(x, y, start, end):
    """Distance to the line if the foot lies between the ends, else to the nearer end."""
    (ax, ay), (bx, by) = start, end
    length = math.dist(start, end)
    if length**2 == 0:
        return math.dist((x, y), start)
    foot = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length**2
    foot = min(1.0, max(0.0, foot))
    return math.dist((x, y), (ax + foot * (bx - ax), ay + foot * (by - ay)))


def slow_pixels(points, height, width, radius):
    pieces = list(itertools.pairwise(points)) or [(points[0], points[0])]
    return [
        [min(slow_distance(x, y, *piece) for piece in pieces) <= radius + 1e-9 for x in range(width)]
        for y in range(height)
    ]


places = st.tuples(st.floats(-6, 20), st.floats(-6, 20)) | st.tuples(st.integers(-3, 15), st.integers(-3, 15))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(places, min_size=1, max_size=4), st.sampled_from([0.4, 1.0, RADIUS, 3.7]))
def test_pixels_are_those_near_the_line(points, radius):
    found = stroke_pixels(np.array(points, dtype=float), 11, 13, radius=radius)
    assert found.tolist() == slow_pixels(points, 11, 13, radius)


def test_a_level_line_is_three_pixels_wide_and_a_dot_three_by_three():
    line = stroke_pixels(np.array([[2.0, 3.0], [6.0, 3.0]]), 7, 10)
    assert np.argwhere(line.any(axis=1)).ravel().tolist() == [2, 3, 4]
    assert np.argwhere(line.any(axis=0)).ravel().tolist() == [1, 2, 3, 4, 5, 6, 7]
    dot = stroke_pixels(np.array([[4.0, 3.0]]), 7, 10)
    assert dot.sum() == 9
    assert dot[2:5, 3:6].all()
    between = stroke_pixels(np.array([[4.5, 3.5]]), 7, 10)
    assert between.sum() == 4, "the corners of the four nearest pixels are 0.71 away, the next centres 1.58"


def test_strokes_are_cut_off_at_the_border_and_may_lie_outside():
    assert stroke_pixels(np.array([[-1e6, 2.0], [1e6, 2.0]]), 5, 4).sum() == 12
    assert not stroke_pixels(np.array([[-50.0, 2.0]]), 5, 4).any()


def stroke(value, *points):
    return Stroke(value=value, points_xy=np.array(points, dtype=float))


def test_pixels_of_two_classes_have_no_label_whatever_the_order():
    crossing = [stroke(1, (0, 3), (9, 3)), stroke(2, (4, 0), (4, 7)), stroke(1, (0, 4), (1, 4))]
    one, other = draw_strokes(crossing, 8, 10), draw_strokes(crossing[::-1], 8, 10)
    assert one.labels.tolist() == other.labels.tolist()
    assert one.contested == other.contested == 9
    assert (one.labels[2:5, 3:6] == UNLABELLED).all()
    assert set(np.unique(one.labels)) == {1, 2, UNLABELLED}
    assert one.labels.dtype == np.uint8


def test_nothing_drawn_is_unlabelled():
    drawing = draw_strokes([], 2, 3)
    assert drawing.labels.tolist() == [[UNLABELLED] * 3] * 2
    assert drawing.contested == 0


@pytest.mark.parametrize(
    ("points", "radius", "message"),
    [
        (
            [[0.0, np.nan]],
            1.5,
            r"points_xy must be finite and have the shape \(points, 2\), got shape \(1, 2\).",
        ),
        ([0.0, 1.0], 1.5, r"got shape \(2,\)."),
        (np.zeros((0, 2)), 1.5, r"got shape \(0, 2\)."),
        ([[0.0, 1.0]], 0.0, r"radius must be positive, got 0.0."),
        ([[0.0, 1.0]], math.nan, r"radius must be positive, got nan."),
    ],
)
def test_refusals(points, radius, message):
    with pytest.raises(ValueError, match=message):
        stroke_pixels(np.array(points), 4, 4, radius=radius)


@pytest.mark.parametrize("value", [-1, 254, 255])
def test_a_class_that_a_label_map_cannot_hold(value):
    with pytest.raises(ValueError, match=f"the class of a stroke must be 0 to 253, got {value}."):
        draw_strokes([stroke(value, (1, 1))], 4, 4)
