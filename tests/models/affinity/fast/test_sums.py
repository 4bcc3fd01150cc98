"""The sweeps over merges, against whole matrices built from the definition of a merge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.fast import sums
from tests.models.affinity.dense import fixed


def random_merges(seed, num_pixels):
    """Any binary tree over the pixels, as the merge above each node; children come before parents."""
    random, parent = np.random.default_rng(seed), np.full(2 * num_pixels - 1, -1, np.int32)
    open_nodes = list(range(num_pixels))
    for merge in range(num_pixels - 1):
        for _ in range(2):
            parent[open_nodes.pop(random.integers(len(open_nodes)))] = merge
        open_nodes.append(num_pixels + merge)
    return parent


def chain(num_pixels):
    """Every merge takes in one pixel more."""
    parent = np.full(2 * num_pixels - 1, -1, np.int32)
    parent[:num_pixels] = np.maximum(np.arange(num_pixels) - 1, 0)
    parent[num_pixels:-1] = np.arange(1, num_pixels - 1)
    return parent if num_pixels > 1 else np.array([-1], np.int32)


def sides(parent_P):
    """The two sets of pixels that each merge joins."""
    num_pixels = (len(parent_P) + 1) // 2
    members = [[pixel] for pixel in range(num_pixels)] + [[] for _ in range(num_pixels - 1)]
    joined = [[] for _ in range(num_pixels - 1)]
    for node, above in enumerate(parent_P[:-1].tolist()):
        joined[above].append(members[node])
        members[num_pixels + above] += members[node]
    return joined


def matrix_of(parent_P, affinity_E):
    matrix_NN = np.eye((len(parent_P) + 1) // 2)
    for (left, right), affinity in zip(sides(parent_P), affinity_E, strict=True):
        matrix_NN[np.ix_(left, right)] = matrix_NN[np.ix_(right, left)] = affinity
    return matrix_NN


def case(seed, num_pixels, kind):
    random = np.random.default_rng(seed)
    parent_P = chain(num_pixels) if kind == "chain" else random_merges(seed, num_pixels)
    affinity_E = np.sort(random.random(num_pixels - 1))[::-1].copy()
    if kind == "ties":
        affinity_E = np.round(affinity_E * 2) / 2
    return parent_P, affinity_E, random.random((4, num_pixels))


cases = st.builds(
    case, st.integers(0, 2**31), st.integers(1, 24), st.sampled_from(["random", "ties", "chain"])
)


@fixed
@given(cases, st.sampled_from([np.float32, np.float64]))
def test_one_and_four_fields_are_averaged(drawn, dtype):
    parent_P, affinity_E, value_4N = drawn
    value_4N = value_4N.astype(dtype)
    num_pixels, num_merges = value_4N.shape[1], len(affinity_E)
    matrix_NN = matrix_of(parent_P, affinity_E)
    total_N = matrix_NN.sum(axis=1)
    expected = value_4N.astype(np.float64) @ matrix_NN / total_N
    tolerance = 1e-7 if dtype == np.float32 else 1e-14

    out_N, found_N, room = np.empty(num_pixels, dtype), np.empty(num_pixels), np.full((num_merges, 2), 7.0)
    sums.average_one(parent_P, affinity_E, value_4N[0], room, out_N, found_N)
    np.testing.assert_allclose(out_N, expected[0], rtol=0, atol=tolerance)
    np.testing.assert_allclose(found_N, total_N, rtol=1e-14)
    again_N = np.empty(num_pixels, dtype)
    sums.average_one(parent_P, affinity_E, value_4N[0], room, again_N, np.empty(0))
    np.testing.assert_array_equal(again_N, out_N)

    out_4N = np.empty_like(value_4N)
    sums.average_four(parent_P, affinity_E, found_N, value_4N, out_4N, np.full((num_merges, 4), 7.0))
    np.testing.assert_allclose(out_4N, expected, rtol=0, atol=tolerance)


@fixed
@given(cases)
def test_one_field_is_multiplied(drawn):
    parent_P, affinity_E, value_4N = drawn
    out_N = np.empty(value_4N.shape[1])
    sums.spread_one(parent_P, affinity_E, value_4N[0], out_N, np.full((len(affinity_E), 4), 7.0))
    np.testing.assert_allclose(out_N, matrix_of(parent_P, affinity_E) @ value_4N[0], rtol=1e-13)


@fixed
@given(cases)
def test_derivatives_by_affinity_are_sums_over_pairs(drawn):
    parent_P, affinity_E, (slope_N, value_N, mean_N, _) = drawn
    out_E = np.ones(len(affinity_E))
    sums.affinity_gradient(parent_P, slope_N, value_N, mean_N, np.full((len(out_E), 4), 7.0), out_E)
    expected = [
        1.0  # what was there is added to
        + sum(
            slope_N[i] * (value_N[j] - mean_N[i]) + slope_N[j] * (value_N[i] - mean_N[j])
            for i in left
            for j in right
        )
        for left, right in sides(parent_P)
    ]
    np.testing.assert_allclose(out_E, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["random", "ties", "chain"])
def test_no_mean_falls_out_of_the_range_of_its_field(kind):
    """An image of zeros and one pixel of one: no mean falls below zero."""
    num_pixels = 3000
    parent_P, affinity_E, _ = case(3, num_pixels, kind)
    value_N, out_N = np.zeros(num_pixels, np.float32), np.empty(num_pixels, np.float32)
    value_N[17] = 1.0
    sums.average_one(parent_P, affinity_E, value_N, np.empty((num_pixels - 1, 2)), out_N, np.empty(0))
    assert out_N.min() >= 0.0
    sums.average_one(parent_P, affinity_E, 1 - value_N, np.empty((num_pixels - 1, 2)), out_N, np.empty(0))
    assert out_N.max() <= 1.0
