import pytest
import torch

from models.affinity.fast.boruvka import grid_weights, spanning_tree_edges
from models.affinity.fast.rooting import product_spread, root_trees
from tests.models.affinity.dense import IMAGE_1CHW, MASK_1HW
from tests.models.affinity.fast.slow_trees import SIZES, draw, parents_by_search, path_matrix, random_trees


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_parents_are_those_of_a_search_from_the_first_pixel(height, width):
    edge_BE = random_trees(3, height, width)
    trees = root_trees(edge_BE, height, width)
    assert trees.parent_BN.dtype == trees.edge_BN.dtype == torch.int32
    for row, codes in enumerate(edge_BE.tolist()):
        parent, edge_to, _ = parents_by_search(codes, 0, height, width)
        assert trees.parent_BN[row].tolist() == parent
        assert trees.edge_BN[row].tolist() == edge_to


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("smallest", [0.0, 0.5])
def test_the_product_is_that_of_all_paths(height, width, smallest):
    edge_BE = random_trees(3, height, width)
    affinity_BE = (draw("distinct", 3, height * width - 1) * 1.2 - 0.2).clamp(min=smallest, max=1.0)
    unit_BNN = torch.eye(height * width, dtype=torch.float64).expand(3, -1, -1)
    matrix_BNN = product_spread(root_trees(edge_BE, height, width), affinity_BE, unit_BNN)
    for codes, affinity_E, matrix_NN in zip(edge_BE.tolist(), affinity_BE, matrix_BNN, strict=True):
        slow_NN = path_matrix(codes, affinity_E, height, width)
        torch.testing.assert_close(matrix_NN, slow_NN, rtol=0.0, atol=1e-12)


def test_the_worked_example():
    edge_BE = spanning_tree_edges(grid_weights(IMAGE_1CHW), 3, 4)
    affinity_BE = torch.exp(-torch.tensor([[1.0, 4, 1, 36, 1, 4, 16, 4, 4, 4, 1]]) / 8.0)
    value_BCN = torch.stack((MASK_1HW.flatten(), torch.ones(12, dtype=torch.float64)))[None]
    product_BCN = product_spread(root_trees(edge_BE, 3, 4), affinity_BE, value_BCN)[0]
    mean = [0.456892, 0.284077, 0.016733, 0.014018, 0.464528, 0.177494]
    mean += [0.01874, 0.371615, 0.437471, 0.112407, 0.103249, 0.616423]
    torch.testing.assert_close(
        product_BCN[0] / product_BCN[1], torch.tensor(mean).double(), rtol=0.0, atol=1e-6
    )


def test_row_sums_are_at_least_one_and_constants_stay():
    affinity_BE = draw("distinct", 2, 599)
    trees = root_trees(random_trees(2, 20, 30), 20, 30)
    total_B1N = product_spread(trees, affinity_BE, torch.ones(2, 1, 600))
    assert float(total_B1N.min()) >= 1.0
    constant_B1N = product_spread(trees, affinity_BE, torch.full((2, 1, 600), 0.25)) / total_B1N
    torch.testing.assert_close(constant_B1N, torch.full_like(constant_B1N, 0.25), rtol=1e-14, atol=0.0)


def test_gradients_reach_affinities_and_values():
    trees = root_trees(random_trees(2, 4, 5), 4, 5)
    affinity_BE = draw("distinct", 2, 19)
    affinity_BE[0, 3] = 0.0
    value_BCN = torch.rand(2, 3, 20, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    inputs = affinity_BE.requires_grad_(), value_BCN.requires_grad_()
    assert torch.autograd.gradcheck(lambda *given: product_spread(trees, *given), inputs)


def test_a_batch_is_its_trees_one_by_one():
    edge_BE, affinity_BE = random_trees(3, 8, 9), draw("distinct", 3, 71)
    value_BCN = torch.rand(3, 2, 72, generator=torch.Generator().manual_seed(4))
    together = product_spread(root_trees(edge_BE, 8, 9), affinity_BE, value_BCN)
    for row in range(3):
        part = slice(row, row + 1)
        alone = product_spread(root_trees(edge_BE[part], 8, 9), affinity_BE[part], value_BCN[part])
        assert torch.equal(alone, together[part])


def test_ten_runs_agree():
    edge_BE, affinity_BE, value_BCN = random_trees(2, 17, 19), draw("distinct", 2, 322), torch.ones(2, 1, 323)
    runs = [product_spread(root_trees(edge_BE, 17, 19), affinity_BE, value_BCN) for _ in range(10)]
    assert all(torch.equal(run, runs[0]) for run in runs)


def test_no_step_needs_to_see_a_value_or_another_device():
    trees = root_trees(torch.empty(3, 71, dtype=torch.int32, device="meta"), 8, 9)
    affinity_BE = torch.empty(3, 71, requires_grad=True, device="meta")
    value_BCN = torch.empty(3, 2, 72, requires_grad=True, device="meta")
    product_spread(trees, affinity_BE, value_BCN).sum().backward()
    assert affinity_BE.grad.shape == (3, 71)
    assert value_BCN.grad.shape == (3, 2, 72)


def test_one_pixel_is_its_own_tree():
    none = torch.zeros(2, 0)
    trees = root_trees(none.int(), 1, 1)
    value_BCN = torch.rand(2, 3, 1)
    assert trees.parent_BN.tolist() == [[0], [0]]
    assert trees.edge_BN.tolist() == [[-1], [-1]]
    assert torch.equal(product_spread(trees, none, value_BCN), value_BCN.double())


def test_trees_move_to_a_device():
    trees = root_trees(random_trees(1, 2, 3), 2, 3).to("meta")
    assert trees.parent_BN.device.type == trees.edge_BN.device.type == "meta"


def test_an_empty_batch_has_no_product():
    none = torch.zeros(0, 11)
    trees = root_trees(none.int(), 3, 4)
    assert product_spread(trees, none, torch.zeros(0, 2, 12)).shape == (0, 2, 12)


def test_edges_of_another_grid_are_refused():
    with pytest.raises(ValueError, match=r"edge_BE must have 5 edges a row for 2x3 pixels, got 6\."):
        root_trees(torch.zeros(1, 6, dtype=torch.int32), 2, 3)
