from itertools import pairwise

import numpy as np
import pytest
import torch

from models.affinity.fast import paths
from models.affinity.fast.dense import path_affinity
from tests.models.affinity.dense import images
from tests.models.affinity.fast.slow_trees import SIZES, draw, parents_by_search, path_matrix, random_trees

SIZE = (5, 6)
SIGMA = 0.7
ROWS = {"each one": [1] * 5, "gaps": [0, 3, 0, 9, 1]}


def hang(edge_E, num_pixels, width):
    filled = [np.empty(num_pixels, np.int32) for _ in range(3)]
    paths.hang(edge_E.numpy(), width, *filled)
    return [part.tolist() for part in filled]


@pytest.mark.parametrize(("height", "width"), [(1, 1), *SIZES])
def test_trees_hang_from_the_first_pixel(height, width):
    for edge_E in random_trees(3, height, width):
        order, parent, above = hang(edge_E, height * width, width)
        slow_parent, slow_edge, _ = parents_by_search(edge_E.tolist(), 0, height, width)
        slow_parent[0] = -1
        assert parent == slow_parent
        assert above == slow_edge
        assert sorted(order) == list(range(height * width))
        place = {pixel: number for number, pixel in enumerate(order)}
        assert all(place[parent[pixel]] < place[pixel] for pixel in order[1:])


@pytest.mark.parametrize(("height", "width"), [(1, 1), *SIZES])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_means_and_row_sums_are_those_of_all_paths(height, width, dtype):
    edge_BE, weight_BE = random_trees(2, height, width), draw("distinct", 2, height * width - 1, dtype)
    value_XN = images(4, 5, 1, (height, width), 0).reshape(5, -1).to(dtype)
    bounds = np.array([0, 4, 5])
    mean_XN, total_BN = paths.average(edge_BE, weight_BE, SIGMA, value_XN, bounds, width)
    assert mean_XN.dtype == dtype
    for tree, (begin, end) in enumerate(pairwise(bounds.tolist())):
        affinity_E = torch.exp(-weight_BE[tree].double() / SIGMA)
        slow_NN = path_matrix(edge_BE[tree].tolist(), affinity_E, height, width)
        torch.testing.assert_close(total_BN[tree], slow_NN.sum(dim=1), rtol=1e-12, atol=0)
        expected = value_XN[begin:end].double() @ slow_NN / slow_NN.sum(dim=1)
        tolerance = 1e-6 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(mean_XN[begin:end].double(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_derivatives(rows, dtype):
    edge_BE, weight_BE = random_trees(5, *SIZE), draw("distinct", 5, 29, dtype)
    value_XN = images(4, sum(rows), 1, SIZE, 0).reshape(sum(rows), -1).to(dtype)
    bounds = np.concatenate(([0], np.cumsum(rows))).astype(np.int64)
    mean_XN, total_BN = paths.average(edge_BE, weight_BE, SIGMA, value_XN, bounds, SIZE[1])
    slope_XN = torch.linspace(-1, 1, value_XN.numel(), dtype=torch.float64).reshape(value_XN.shape)
    divided = slope_XN / total_BN.repeat_interleave(torch.tensor(rows), dim=0)
    value_slope, affinity_slope = paths.average_gradient(
        edge_BE, weight_BE, SIGMA, (value_XN, mean_XN, divided), bounds, SIZE[1]
    )
    value_XN.requires_grad_()
    affinity_BE = torch.exp(-weight_BE.double() / SIGMA).requires_grad_()
    matrix_XNN = path_affinity(edge_BE, affinity_BE, SIZE).repeat_interleave(torch.tensor(rows), dim=0)
    slow_XN = torch.einsum("xij,xj->xi", matrix_XNN, value_XN.double()) / matrix_XNN.sum(dim=2)
    expected = torch.autograd.grad((slow_XN * slope_XN).sum(), (value_XN, affinity_BE))
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(value_slope, expected[0].double(), rtol=0, atol=tolerance)
    torch.testing.assert_close(affinity_slope, expected[1], rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize("size", [(1, 100_000), (100_000, 1)])
def test_a_long_path_needs_no_recursion(size):
    """On a path the product is two running sums, one from each end."""
    num_pixels = 100_000
    codes = torch.arange(num_pixels - 1, dtype=torch.int32) + (num_pixels if size[0] == 1 else 0)
    weight_E = draw("distinct", 1, num_pixels - 1)
    value_N = images(4, 1, 1, (1, num_pixels), 0).reshape(1, -1)
    mean_XN, _ = paths.average(codes[None], weight_E, SIGMA, value_N, np.array([0, 1]), size[1])
    affinity_E, value = np.exp(-weight_E[0].numpy() / SIGMA), value_N[0].numpy()
    before, after = np.zeros((2, num_pixels, 2))
    both = np.stack((value, np.ones(num_pixels)), axis=1)
    for pixel in range(1, num_pixels):
        before[pixel] = affinity_E[pixel - 1] * (before[pixel - 1] + both[pixel - 1])
    for pixel in range(num_pixels - 2, -1, -1):
        after[pixel] = affinity_E[pixel] * (after[pixel + 1] + both[pixel + 1])
    total = before + both + after
    np.testing.assert_allclose(mean_XN[0].numpy(), total[:, 0] / total[:, 1], rtol=0, atol=1e-12)
