import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.fast.dense import bottleneck_affinity, path_affinity
from tests.models.affinity.dense import bottlenecks, fixed, pairs, path_sums
from tests.models.affinity.fast.slow_trees import draw, random_trees

side = st.integers(1, 6)
KINDS = ["distinct", "ties", "constant"]


@fixed
@given(side, side, st.sampled_from(KINDS), st.sampled_from([torch.float32, torch.float64]))
def test_affinities_are_those_of_the_largest_edge(height, width, kind, dtype):
    edge_BE, weight_BE = random_trees(2, height, width), draw(kind, 2, height * width - 1, dtype)
    matrix_BNN = bottleneck_affinity(edge_BE, weight_BE, torch.exp(-weight_BE), (height, width))
    assert matrix_BNN.dtype == torch.float64
    for edge_E, weight_E, matrix_NN in zip(edge_BE, weight_BE, matrix_BNN, strict=True):
        distance_NN = bottlenecks(pairs(edge_E, width), weight_E.tolist(), height * width)
        expected_NN = torch.exp(-torch.from_numpy(distance_NN).to(dtype)).double()
        torch.testing.assert_close(
            matrix_NN, expected_NN, rtol=1e-6 if dtype == torch.float32 else 1e-14, atol=0
        )


@fixed
@given(side, side, st.sampled_from(KINDS))
def test_affinities_are_products_along_the_path(height, width, kind):
    edge_BE, weight_BE = random_trees(2, height, width), draw(kind, 2, height * width - 1)
    matrix_BNN = path_affinity(edge_BE, torch.exp(-weight_BE), (height, width))
    for edge_E, weight_E, matrix_NN in zip(edge_BE, weight_BE, matrix_BNN, strict=True):
        distance_NN = path_sums(pairs(edge_E, width), weight_E.tolist(), height * width)
        torch.testing.assert_close(matrix_NN, torch.exp(-torch.from_numpy(distance_NN)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [(1, 1), (3, 4)])
def test_edges_may_stand_in_any_order(size):
    count = size[0] * size[1] - 1
    edge_BE, weight_BE = random_trees(2, *size), draw("distinct", 2, count)
    order_E = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    shuffled = edge_BE[:, order_E], weight_BE[:, order_E]
    plain = bottleneck_affinity(edge_BE, weight_BE, torch.exp(-weight_BE), size)
    assert torch.equal(bottleneck_affinity(*shuffled, torch.exp(-shuffled[1]), size), plain)
    plain = path_affinity(edge_BE, torch.exp(-weight_BE), size)
    torch.testing.assert_close(path_affinity(shuffled[0], torch.exp(-shuffled[1]), size), plain)


def test_affinities_have_gradients():
    edge_BE, weight_BE = random_trees(2, 2, 3), draw("distinct", 2, 5)
    affinity_BE = torch.exp(-weight_BE).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda given: bottleneck_affinity(edge_BE, weight_BE, given, (2, 3)), affinity_BE
    )
    assert torch.autograd.gradcheck(lambda given: path_affinity(edge_BE, given, (2, 3)), affinity_BE)


def test_no_tree_is_no_matrix():
    edge_BE, none = torch.zeros(0, 5, dtype=torch.int32), torch.zeros(0, 5)
    for matrix_BNN in (
        bottleneck_affinity(edge_BE, none, none, (2, 3)),
        path_affinity(edge_BE, none, (2, 3)),
    ):
        assert matrix_BNN.shape == (0, 6, 6)
        assert matrix_BNN.dtype == torch.float64


def test_too_many_pixels_are_refused():
    message = (
        "backend 'reference' takes images of at most 4096 pixels, got 1x4097: it holds a matrix of all "
        "pairs. Pass backend='auto'."
    )
    edge_BE, weight_BE = torch.zeros(1, 4096, dtype=torch.int32), torch.zeros(1, 4096)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        bottleneck_affinity(edge_BE, weight_BE, weight_BE, (1, 4097))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        path_affinity(edge_BE, weight_BE, (1, 4097))
