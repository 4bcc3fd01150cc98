"""The loops on trees that are not grids, against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import squareform

from models.affinity.fast.trees import junction_spans, linear_order, spanning_edges, spread
from tests.models.affinity.dense import bottlenecks, fixed


def random_tree(seed, num_pixels, levels):
    """Attach each pixel to an earlier one; weights are integers below ``levels``, so many are equal."""
    random = np.random.default_rng(seed)
    edges = [(int(random.integers(pixel)), pixel) for pixel in range(1, num_pixels)]
    label = random.permutation(num_pixels)
    edge_E2 = label[np.array(edges, np.int64).reshape(-1, 2)]
    return edge_E2, random.integers(levels, size=num_pixels - 1).astype(float)


trees_with_ties = st.builds(
    random_tree, st.integers(0, 2**31), st.integers(1, 25), st.sampled_from([1, 2, 5, 1000])
)


def lay_out(edge_E2, weight_E):
    """Run the two loops that prepare ``spread``."""
    num_edges = len(weight_E)
    place, junction = np.empty(num_edges + 1, np.int64), np.empty(num_edges)
    linear_order(edge_E2, weight_E, np.argsort(weight_E, kind="stable"), place, junction)
    spans = tuple(np.empty(num_edges, np.int64) for _ in range(3))
    junction_spans(junction, *spans)
    return place, junction, spans


def distances(edge_E2, weight_E):
    return bottlenecks([tuple(edge) for edge in edge_E2.tolist()], weight_E.tolist(), len(weight_E) + 1)


def matrix(edge_E2, weight_E, zeta):
    """The affinity matrix, one unit vector at a time."""
    place, junction, spans = lay_out(edge_E2, weight_E)
    size = len(place)
    affinity_NN = np.empty((size, size))
    for pixel, unit_N in enumerate(np.eye(size)):
        spread(place, np.exp(-junction / zeta**2), *spans, unit_N, affinity_NN[pixel])
    return affinity_NN.T


@fixed
@given(trees_with_ties)
def test_largest_junction_between_two_places_is_their_bottleneck(tree):
    place, junction, _ = lay_out(*tree)
    assert sorted(place.tolist()) == list(range(len(place)))
    expected = distances(*tree)
    for first in range(len(place)):
        for second in range(first + 1, len(place)):
            assert junction[first:second].max() == expected[place[first], place[second]]


@fixed
@given(st.lists(st.integers(0, 4), max_size=20))
def test_spans_follow_their_definition(heights):
    key = [(height, index) for index, height in enumerate(heights)]
    spans = tuple(np.empty(len(heights), np.int64) for _ in range(3))
    junction_spans(np.array(heights, float), *spans)
    for junction, (left, right, parent) in enumerate(zip(*spans, strict=True)):
        first, last = junction, junction + 1
        while first > 0 and key[first - 1] < key[junction]:
            first -= 1
        while last < len(heights) and key[last] < key[junction]:
            last += 1
        assert (left, right) == (first, last)
        around = [index for index in (first - 1, last) if 0 <= index < len(heights)]
        if around:
            assert heights[parent] == min(heights[index] for index in around)
            assert parent in around
        else:
            assert parent == -1


@fixed
@given(trees_with_ties, st.sampled_from([0.5, 1.0, 20.0]))
def test_matrix_equals_the_formula_and_is_an_affinity(tree, zeta):
    affinity_NN = matrix(*tree, zeta)
    np.testing.assert_allclose(affinity_NN, np.exp(-distances(*tree) / zeta**2), rtol=0, atol=1e-12)
    np.testing.assert_allclose(affinity_NN, affinity_NN.T, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.diag(affinity_NN), 1.0, rtol=0, atol=1e-12)
    assert affinity_NN.min() >= -1e-12
    assert affinity_NN.max() <= 1.0 + 1e-12
    assert np.linalg.eigvalsh((affinity_NN + affinity_NN.T) / 2).min() >= -1e-12


@fixed
@given(trees_with_ties, st.integers(0, 2**31))
def test_spread_is_self_adjoint(tree, seed):
    place, junction, spans = lay_out(*tree)
    u, v = np.random.default_rng(seed).normal(size=(2, len(place)))
    image_of_u, image_of_v = np.empty_like(u), np.empty_like(v)
    for source, image in ((u, image_of_u), (v, image_of_v)):
        spread(place, np.exp(-junction), *spans, source, image)
    assert u @ image_of_v == pytest.approx(image_of_u @ v, abs=1e-10)


@fixed
@given(trees_with_ties)
def test_junctions_are_an_ultrametric(tree):
    place, junction, _ = lay_out(*tree)
    size = len(place)
    distance_NN = np.zeros((size, size))
    for first in range(size):
        for second in range(first + 1, size):
            pair = (place[first], place[second])
            distance_NN[pair] = distance_NN[pair[::-1]] = junction[first:second].max()
    assert (distance_NN[:, None] <= np.maximum(distance_NN[:, :, None], distance_NN[None])).all()


def test_bottlenecks_are_the_heights_of_single_linkage():
    random = np.random.default_rng(7)
    points = random.random((24, 2))
    pair_E2 = np.stack(np.triu_indices(24, k=1), axis=1)
    length_E = np.linalg.norm(points[pair_E2[:, 0]] - points[pair_E2[:, 1]], axis=1)
    kept = spanning_edges(pair_E2, np.argsort(length_E), 24)
    heights_NN = squareform(cophenet(linkage(length_E, method="single")))
    expected = np.exp(-heights_NN / 0.3**2)
    np.testing.assert_allclose(matrix(pair_E2[kept], length_E[kept], 0.3), expected, rtol=0, atol=1e-12)


@fixed
@given(st.integers(0, 2**31), st.integers(1, 12), st.sampled_from([1, 3, 1000]))
def test_spanning_edges_are_those_of_a_slow_kruskal(seed, num_pixels, levels):
    random = np.random.default_rng(seed)
    pair_E2 = np.stack(np.triu_indices(num_pixels, k=1), axis=1).astype(np.int64)
    order_E = np.argsort(random.integers(levels, size=len(pair_E2)), kind="stable")
    component, expected = list(range(num_pixels)), []
    for edge in order_E.tolist():
        first, second = (component[pixel] for pixel in pair_E2[edge])
        if first != second:
            component = [first if name == second else name for name in component]
            expected.append(edge)
    assert spanning_edges(pair_E2, order_E, num_pixels).tolist() == expected


@pytest.mark.parametrize("order", ["rising", "falling", "random"])
def test_a_path_of_100_000_pixels_needs_no_recursion(order):
    size, random = 100_000, np.random.default_rng(0)
    edge_E2 = np.stack((np.arange(size - 1), np.arange(1, size)), axis=1)
    rising = np.linspace(0.0, 1.0, size - 1)
    weight_E = {"rising": rising, "falling": rising[::-1].copy(), "random": random.permutation(rising)}[order]
    place, junction, spans = lay_out(edge_E2, weight_E)
    ones, total = np.ones(size), np.empty(size)
    spread(place, np.exp(-junction / 0.1**2), *spans, ones, total)
    assert total.min() >= 1.0 - 1e-9
    value = random.random(size)
    out = np.empty(size)
    spread(place, np.exp(-junction / 0.1**2), *spans, value, out)
    pixel = 5
    distance_N = np.empty(size)
    distance_N[pixel] = 0.0
    distance_N[pixel + 1 :] = np.maximum.accumulate(weight_E[pixel:])
    distance_N[:pixel] = np.maximum.accumulate(weight_E[:pixel][::-1])[::-1]
    assert out[pixel] == pytest.approx(np.exp(-distance_N / 0.1**2) @ value, abs=1e-9)
