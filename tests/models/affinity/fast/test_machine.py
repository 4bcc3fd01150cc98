import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from models.affinity.fast.machine import affinities, prefetch
from tests.models.affinity.dense import fixed


def affinity_of(weights, inverse=1.0, dtype=np.float64):
    weight_E = np.array(weights, dtype)
    out_E = np.full(len(weight_E), np.nan)
    affinities(weight_E, inverse, out_E)
    return out_E


@njit
def _total(value_N):
    total = 0.0
    for place in range(value_N.shape[0]):
        prefetch(value_N, np.uint64(place))
        total += value_N[place]
    return total


def test_prefetching_changes_nothing():
    assert _total(np.arange(10.0)) == 45.0


def test_no_distance_is_affinity_one_exactly():
    assert affinity_of([0.0, 0.0, 0.0], 1e300).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("inverse", [1.0, 1e4, 1e-3])
def test_affinities_are_those_of_the_c_library_to_two_units_in_the_last_place(inverse):
    weight_E = np.concatenate((np.geomspace(1e-300, 700.0, 20011), np.linspace(0.0, 700.0, 20011))) / inverse
    exponent_E = -weight_E * inverse  # the product is rounded before the exponential: so is it here
    exact_E = np.exp(exponent_E.astype(np.longdouble))
    error_E = np.abs(affinity_of(weight_E, inverse) - exact_E) / exact_E
    assert error_E.max() < 4e-16
    library = [math.exp(exponent) for exponent in exponent_E.tolist()]
    np.testing.assert_allclose(affinity_of(weight_E, inverse), library, rtol=5e-16, atol=0)


@pytest.mark.parametrize("weight", [708.0, 709.0, 745.0, 1e4, 1e300, np.inf])
def test_far_pixels_have_an_affinity_that_is_normal_and_as_good_as_none(weight):
    (affinity,) = affinity_of([weight])
    assert 2.2250738585072014e-308 <= affinity < 1e-307


@fixed
@given(st.lists(st.floats(0, 2.0**126, width=32), max_size=20), st.sampled_from([1e-4, 1.0, 1e4]))
def test_float32_weights_are_taken_as_they_are(weights, inverse):
    single = affinity_of(weights, inverse, np.float32)
    np.testing.assert_array_equal(single, affinity_of(weights, inverse))
    assert ((single > 0.0) & (single <= 1.0)).all()


@pytest.mark.parametrize("start", [0.0, 1e-17, 0.1, math.log(2) / 2, 1.0, 17.3, 300.0, 699.0])
def test_affinities_do_not_increase(start):
    """Sums over merges count on it: to one unit in the last place, which no mean can show."""
    step = max(math.ulp(start), 1e-18)
    affinity_E = affinity_of(start + step * np.arange(100_000))
    assert (np.diff(affinity_E) <= 2.3e-16 * affinity_E[1:]).all()
    spread_E = affinity_of(start + np.linspace(0.0, 1.0, 100_000))
    assert (np.diff(spread_E) < 0.0).all()


def test_every_length_is_filled():
    """Vector instructions leave a rest that is no whole vector."""
    whole = affinity_of(np.linspace(0.0, 9.0, 40))
    for length in range(40):
        np.testing.assert_array_equal(affinity_of(np.linspace(0.0, 9.0, 40)[:length]), whole[:length])
