import numpy as np
import pytest
import torch

from models.affinity.fast import averages, compiled
from models.affinity.fast.dense import bottleneck_affinity
from tests.models.affinity.dense import images
from tests.models.affinity.fast.slow_trees import draw, random_trees

SIZE = (5, 6)
RATE = 1.6
# Rows of each of five trees; a block holds four.
ROWS = {"each one": [1] * 5, "gaps": [0, 3, 0, 9, 1], "few": [2, 3, 2, 0, 0], "blocks": [4, 5, 8, 6, 7]}


def forest_of(dtype=torch.float64, kind="distinct", trees=5):
    weight_BE = draw(kind, trees, SIZE[0] * SIZE[1] - 1, dtype)
    edge_BE = random_trees(trees, *SIZE)
    return compiled.regrow(edge_BE, weight_BE, torch.arange(trees), SIZE[1])


def slow(forest, value_XN, rows):
    """Straight from the matrices, differentiable by weights and fields."""
    affinity_BE = torch.exp(-forest.weight_BE.double() * RATE)
    matrix_BNN = bottleneck_affinity(forest.edge_BE, forest.weight_BE.detach(), affinity_BE, SIZE)
    matrix_XNN = matrix_BNN.repeat_interleave(torch.tensor(rows), dim=0)
    total_XN = matrix_XNN.sum(dim=2)
    return torch.einsum("xij,xj->xi", matrix_XNN, value_XN.double()) / total_XN, matrix_BNN.sum(dim=2)


def fields_of(rows, dtype):
    count = sum(rows)
    bounds = np.concatenate(([0], np.cumsum(rows))).astype(np.int64)
    return images(3, count, 1, SIZE, 0).reshape(count, -1).to(dtype), bounds


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("kind", ["distinct", "ties", "constant"])
@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float64), (torch.float64, torch.float32)])
def test_means_and_row_sums(rows, kind, dtypes):
    for weight_dtype in dtypes:
        forest = forest_of(weight_dtype, kind)
        value_XN, bounds = fields_of(rows, dtypes[0])
        mean_XN, total_BN = slow(forest, value_XN, rows)
        kept = averages.average(forest, RATE, value_XN, bounds, keep=True)
        assert kept.mean_RN.dtype == dtypes[0]
        tolerance = 1e-7 if dtypes[0] == torch.float32 else 1e-13
        torch.testing.assert_close(kept.mean_RN.double(), mean_XN, rtol=0, atol=tolerance)
        used = torch.tensor(rows) > 0
        torch.testing.assert_close(kept.total_BN[used], total_BN[used], rtol=1e-13, atol=0)
        assert torch.equal(averages.average(forest, RATE, value_XN, bounds, keep=False).mean_RN, kept.mean_RN)


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_derivatives(rows, dtype):
    forest = forest_of(dtype)
    value_XN, bounds = fields_of(rows, dtype)
    result = averages.average(forest, RATE, value_XN, bounds, keep=True)
    slope_XN = torch.linspace(-1, 1, value_XN.numel(), dtype=dtype).reshape(value_XN.shape)
    value_slope, affinity_slope = averages.average_gradient(forest, RATE, result, value_XN, slope_XN, bounds)
    assert value_slope.dtype == affinity_slope.dtype == torch.float64

    value_XN.requires_grad_()
    affinity_BE = torch.exp(-forest.weight_BE.double() * RATE).requires_grad_()
    matrix_BNN = bottleneck_affinity(forest.edge_BE, forest.weight_BE, affinity_BE, SIZE)
    matrix_XNN = matrix_BNN.repeat_interleave(torch.tensor(rows), dim=0)
    mean_XN = torch.einsum("xij,xj->xi", matrix_XNN, value_XN.double()) / matrix_XNN.sum(dim=2)
    expected = torch.autograd.grad((mean_XN * slope_XN).sum(), (value_XN, affinity_BE))
    tolerance = 1e-6 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(value_slope, expected[0].double(), rtol=0, atol=tolerance)
    torch.testing.assert_close(affinity_slope, expected[1], rtol=0, atol=10 * tolerance)


def test_float64_means_are_cut_to_the_range_of_their_field():
    forest = forest_of()
    value_XN, bounds = fields_of([9, 1, 1, 1, 1], torch.float64)
    value_XN[1:] = torch.linspace(0.1, 0.7, 12, dtype=torch.float64)[:, None]
    mean_XN = averages.average(forest, 3.0, value_XN, bounds, keep=False).mean_RN
    assert (mean_XN.amin(dim=1) >= value_XN.amin(dim=1)).all()
    assert (mean_XN.amax(dim=1) <= value_XN.amax(dim=1)).all()


@pytest.mark.parametrize("kind", ["distinct", "ties", "constant"])
def test_reweighted_averages_are_those_over_the_ordered_tree_to_the_bit(kind):
    edge_BE, image_R = random_trees(3, *SIZE), torch.tensor([2, 0, 2, 1, 1, 0, 2])
    weight_RE = draw(kind, 7, SIZE[0] * SIZE[1] - 1, torch.float32)
    value_RN, bounds = fields_of([1] * 7, torch.float32)
    forest = compiled.regrow(edge_BE, weight_RE, image_R, SIZE[1])
    expected = averages.average(forest, RATE, value_RN, bounds, keep=False).mean_RN
    direct = averages.average_reweighted(edge_BE, weight_RE, image_R, SIZE[1], RATE, value_RN)
    assert torch.equal(direct, expected)


@pytest.mark.parametrize("rows", [1, 4, 7])
def test_one_pixel(rows):
    forest = compiled.Forest(
        torch.zeros(2, 0, dtype=torch.int32), torch.zeros(2, 0), torch.full((2, 1), -1, dtype=torch.int32)
    )
    value_XN, bounds = torch.rand(2 * rows, 1), np.array([0, rows, 2 * rows])
    result = averages.average(forest, RATE, value_XN, bounds, keep=True)
    assert torch.equal(result.mean_RN, value_XN)
    assert torch.equal(result.total_BN, torch.ones(2, 1, dtype=torch.float64))
    slopes = averages.average_gradient(forest, RATE, result, value_XN, torch.ones(2 * rows, 1), bounds)
    assert torch.equal(slopes[0], torch.ones(2 * rows, 1, dtype=torch.float64))
    assert slopes[1].shape == (2, 0)
    direct = (
        averages.average_reweighted(
            forest.edge_BE, torch.zeros(3, 0), torch.tensor([1, 0, 1]), 1, RATE, value_XN[:3]
        )
        if rows > 1
        else value_XN[:3]
    )
    assert torch.equal(direct, value_XN[:3])


def test_threads_do_not_change_a_bit():
    forest, before = forest_of(torch.float32), torch.get_num_threads()
    value_XN, bounds = fields_of([9, 0, 14, 1, 5], torch.float32)
    expected = averages.average(forest, RATE, value_XN, bounds, keep=False).mean_RN
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            again = averages.average(forest, RATE, value_XN, bounds, keep=False).mean_RN
            assert torch.equal(again, expected)
    finally:
        torch.set_num_threads(before)
