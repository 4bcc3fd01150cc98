"""Points lie inside, on every region that is large enough, more often in the middle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.label_maps import UNLABELLED
from tasks.data.regions import regions_of_labels
from tasks.data.weak_points import PointPolicy, draw_place, place_points
from tests.tasks.data.label_scenes import label_maps


@settings(max_examples=80, deadline=None, derandomize=True)
@given(label_maps(), st.integers(0, 2**31), st.sampled_from([1, 9, 64]))
def test_points_tell_the_truth_on_every_large_region(labels, seed, smallest):
    regions = regions_of_labels(labels)
    policy = PointPolicy(smallest_region=smallest, background=frozenset({0}))
    points = place_points(regions, policy, np.random.default_rng(seed))
    assert points.dtype == np.uint8
    marked = points != UNLABELLED
    assert (points[marked] == labels[marked]).all()
    for number, area in enumerate(regions.areas(), start=1):
        inside = marked & (regions.numbers == number)
        assert inside.any() == (area >= smallest)
    again = place_points(regions, policy, np.random.default_rng(seed))
    assert points.tobytes() == again.tobytes()


def test_background_gets_further_points_and_objects_do_not():
    labels = np.zeros((60, 60), dtype=np.uint8)
    labels[10:25, 10:25] = 1
    regions = regions_of_labels(labels)

    def pixels(count):
        policy = PointPolicy(background=frozenset({0}), background_points=count)
        points = place_points(regions, policy, np.random.default_rng(5))
        return [int((points == value).sum()) for value in (0, 1)]

    assert pixels(1) == [9, 9]
    many, one = pixels(6)
    assert one == 9
    assert many > 9 * 4, "six discs of nine pixels, of which some may overlap or be cut"


def test_background_that_is_full_gets_no_further_point():
    labels = np.zeros((3, 3), dtype=np.uint8)
    policy = PointPolicy(radius=9, smallest_region=1, background=frozenset({0}), background_points=4)
    assert (place_points(regions_of_labels(labels), policy, np.random.default_rng(0)) == 0).all()


def test_the_chance_of_a_pixel_is_the_square_of_its_depth():
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]], dtype=bool)
    generator = np.random.default_rng(3)
    hits = np.zeros(mask.shape)
    draws = 6_000
    for _ in range(draws):
        hits[draw_place(mask, generator)] += 1
    expected = np.array([[1, 1, 1, 0], [1, 4, 1, 0], [1, 1, 1, 1]]) / 13
    assert np.abs(hits / draws - expected).max() < 0.022
    assert not hits[~mask].any()


@pytest.mark.parametrize("changes", [{"radius": 0}, {"smallest_region": 0}, {"background_points": 0}])
def test_refusals(changes):
    with pytest.raises(ValueError, match="radius must be positive, smallest_region and background_points at"):
        PointPolicy(**changes)
