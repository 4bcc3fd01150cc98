import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.fast.windows import later_places, windows
from tests.models.affinity.dense import field, fields, fixed


def window_of(guidance_CHW, place, reach, zeta, dtype=np.float64):
    """The window of one image and one place."""
    guidance_BCHW, box_P4 = guidance_CHW.numpy()[None].astype(dtype), np.array([place])
    return windows(guidance_BCHW, box_P4, np.zeros(1, np.int64), reach, zeta**-2)[0]


def affinity(guidance_CHW, pixel, neighbour, zeta):
    """Affinity of two pixels; zero where one is outside the image."""
    _, height, width = guidance_CHW.shape
    if any(not (0 <= y < height and 0 <= x < width) for y, x in (pixel, neighbour)):
        return 0.0
    difference_C = guidance_CHW[:, pixel[0], pixel[1]] - guidance_CHW[:, neighbour[0], neighbour[1]]
    return math.exp(-float(difference_C.square().sum()) / zeta**2)


@pytest.mark.parametrize("reach", [0, 1, 2, 5])
def test_later_places_are_the_second_half_of_the_window(reach):
    every = [(down, aside) for down in range(-reach, reach + 1) for aside in range(2 * reach + 1)]
    later = [place for place in every if place > (0, reach)]
    assert [tuple(place) for place in later_places(reach).tolist()] == later
    assert later_places(reach).shape == (2 * reach * (reach + 1), 2)


@pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-14), (np.float32, 1e-6)])
@fixed
@given(fields(), st.sampled_from([0, 1, 2, 7]), st.sampled_from([0.05, 0.3, 5.0]), st.integers(0, 2**31))
def test_weights_and_sums_equal_the_formula(dtype, error, guidance_CHW, reach, zeta, seed):
    _, height, width = guidance_CHW.shape
    random = np.random.default_rng(seed)
    top, left = int(random.integers(height)), int(random.integers(width))
    bottom, right = int(random.integers(top, height)) + 1, int(random.integers(left, width)) + 1
    window = window_of(guidance_CHW, (top, left, bottom, right), reach, zeta, dtype)
    assert window.place == (top, left, bottom, right)
    places = later_places(reach).astype(int).tolist()
    for row in range(top - reach, bottom):
        for column in range(left - reach, right + reach):
            for place, (down, aside) in enumerate(places):
                there = (row + down, column + aside - reach)
                found = window.weight_YDX[row - top + reach, place, column - left + reach]
                assert found == pytest.approx(affinity(guidance_CHW, (row, column), there, zeta), abs=error)
    span = range(-reach, reach + 1)
    for row in range(top, bottom):
        for column in range(left, right):
            around = [(row + down, column + aside) for down in span for aside in span]
            total = sum(affinity(guidance_CHW, (row, column), there, zeta) for there in around)
            found = window.inverse_YX[row - top, column - left]
            assert found == pytest.approx(1.0 / total, abs=error)


def test_an_image_has_the_smallest_rectangle_around_its_fields():
    guidance_BCHW = torch.stack([field(seed, 2, 40, 30, 0) for seed in range(3)]).numpy()
    box_P4 = np.array([[2, 20, 5, 25], [30, 4, 38, 6], [0, 0, 40, 30]])
    found = windows(guidance_BCHW, box_P4, np.array([2, 2, 0]), 1, 4.0)
    assert {image: window.place for image, window in found.items()} == {2: (2, 4, 38, 25), 0: (0, 0, 40, 30)}
    alone = window_of(torch.from_numpy(guidance_BCHW[2]), (2, 4, 38, 25), 1, 0.5)
    np.testing.assert_array_equal(found[2].weight_YDX, alone.weight_YDX)
    np.testing.assert_array_equal(found[2].inverse_YX, alone.inverse_YX)


def test_the_exponential_of_single_numbers_is_right_to_two_ulps():
    """Column x holds colour sqrt(x / n): the squared distance to the first column covers [0, 31.9]."""
    distance_K = np.linspace(0.0, 31.9, 200_001, dtype=np.float32)
    colour_1HW = np.zeros((1, 2, len(distance_K)), np.float32)
    colour_1HW[0, 1] = np.sqrt(distance_K)
    place = (0, 0, 2, len(distance_K))
    window = window_of(torch.from_numpy(colour_1HW), place, 1, 1.0, np.float32)
    straight_down = window.weight_YDX[1, 2, 1:-1]
    exact = np.exp(-(colour_1HW[0, 1] * colour_1HW[0, 1]).astype(np.float64))
    assert np.abs(straight_down / exact - 1.0).max() < 2e-7
    assert straight_down[0] == 1.0


@pytest.mark.parametrize(("dtype", "cut"), [(np.float32, 32.0), (np.float64, 700.0)])
def test_affinities_too_small_to_count_are_zero(dtype, cut):
    colours_1HW = torch.tensor([[[0.0, math.sqrt(cut * 0.999)], [0.0, -math.sqrt(cut * 1.001)]]]).double()
    window = window_of(colours_1HW, (0, 0, 2, 2), 1, 1.0, dtype)
    assert 0.0 < window.weight_YDX[1, 0, 1] < 2e-14
    assert window.weight_YDX[2, 0, 1] == 0.0
    huge_1HW = torch.tensor([[[0.0, 3e38, 3e38]]]).double()
    window = window_of(huge_1HW, (0, 0, 1, 3), 1, 1.0, dtype)
    assert window.weight_YDX[1, 0, 1:-1].tolist() == [0.0, 1.0, 0.0]
    assert window.inverse_YX.tolist() == [[1.0, 0.5, 0.5]]
