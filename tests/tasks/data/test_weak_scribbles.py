"""Scribbles stay inside their region, are lines, and depend on the seed alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from tasks.data.label_maps import UNLABELLED
from tasks.data.regions import regions_of_labels
from tasks.data.weak_scribbles import ScribblePolicy, draw_line, scribble_regions
from tests.tasks.data.label_scenes import label_maps, masks


@settings(max_examples=30, deadline=None, derandomize=True)
@given(label_maps(longest=24), st.integers(0, 2**31), st.sampled_from([1, 9, 64]))
def test_scribbles_tell_the_truth_on_every_large_region(labels, seed, smallest):
    regions = regions_of_labels(labels)
    policy = ScribblePolicy(smallest_region=smallest)
    scribbles = scribble_regions(regions, policy, np.random.default_rng(seed))
    assert scribbles.dtype == np.uint8
    marked = scribbles != UNLABELLED
    assert (scribbles[marked] == labels[marked]).all()
    for number, area in enumerate(regions.areas(), start=1):
        inside = marked & (regions.numbers == number)
        assert inside.any() == (area >= smallest)
    again = scribble_regions(regions, policy, np.random.default_rng(seed))
    assert scribbles.tobytes() == again.tobytes()


@settings(max_examples=80, deadline=None, derandomize=True)
@given(masks(), st.integers(0, 2**31), st.sampled_from([0.0, 4.0, 20.0]))
def test_no_point_of_a_line_leaves_its_region(mask, seed, smoothing):
    line = draw_line(mask, ScribblePolicy(smoothing=smoothing), np.random.default_rng(seed))
    columns, rows = np.rint(line).astype(int).T
    assert mask[rows, columns].all()
    steps = np.abs(np.diff(line, axis=0)).max(initial=0)
    assert steps <= 1 + 1e-9, "a line has no gap"


def test_a_stretch_of_the_middle_line_is_kept():
    mask = np.zeros((15, 100), dtype=bool)
    mask[2:13] = True
    lengths = []
    for seed in range(30):
        line = draw_line(mask, ScribblePolicy(), np.random.default_rng(seed))
        assert np.abs(line[:, 1] - 7).max() <= 5
        lengths.append(np.ptp(line[:, 0]))
    assert min(lengths) > 0.5 * 0.66 * 80
    assert max(lengths) < 91
    assert np.ptp(lengths) > 20


def test_round_and_square_regions_get_a_line_and_no_dot():
    """Their skeleton is a dot or little more."""
    y, x = np.mgrid[:61, :61]
    for mask in (np.hypot(y - 30, x - 30) < 28, np.maximum(abs(y - 30), abs(x - 30)) < 28):
        lines = [
            draw_line(mask, ScribblePolicy(shortest=1, longest=1), np.random.default_rng(n)) for n in range(8)
        ]
        lengths = [np.hypot(*(line[-1] - line[0])) for line in lines]
        assert min(lengths) > 25
        angles = [np.arctan2(*(line[-1] - line[0])) % np.pi for line in lines]
        assert np.ptp(angles) > 0.5


def test_smoothing_rounds_corners_without_leaving():
    mask = np.zeros((60, 60), dtype=bool)
    mask[5:55, 5:20] = mask[40:55, 5:55] = True
    lines = [
        draw_line(mask, ScribblePolicy(smoothing=s, shortest=0.9), np.random.default_rng(0))
        for s in (0.0, 4.0)
    ]
    sharpest = [np.abs(np.diff(line, n=2, axis=0)).max() for line in lines]
    assert sharpest[1] < 0.35 * sharpest[0]


def test_the_largest_part_of_an_object_in_pieces_is_marked():
    labels = np.full((20, 50), UNLABELLED, dtype=np.uint8)
    labels[5:15, 2:8] = labels[2:18, 20:48] = 3
    numbers = (labels == 3).astype(np.int32)
    regions = regions_of_labels(labels)
    object_ = type(regions)(numbers=numbers, values=(3,))
    marked = scribble_regions(object_, ScribblePolicy(), np.random.default_rng(0)) == 3
    assert not marked[:, :20].any()
    assert ndimage.label(marked, structure=np.ones((3, 3)))[1] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"radius": 0},
            "radius must be positive, smallest_region at least 1 and smoothing not negative, got 0",
        ),
        ({"smallest_region": 0}, "smallest_region at least 1"),
        ({"smoothing": -1}, "smoothing not negative"),
        ({"shortest": 0}, "0 < shortest <= longest <= 1 must hold, got 0 and 0.9."),
        ({"longest": 1.1}, "0 < shortest <= longest <= 1 must hold, got 0.5 and 1.1."),
        ({"longest": 0.4}, "0 < shortest <= longest <= 1 must hold, got 0.5 and 0.4."),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        ScribblePolicy(**changes)
