import dataclasses

import pytest
import torch
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import shortest_path
from scipy.spatial.distance import squareform
from torch import Tensor

from models.affinity.fast.boruvka import grid_weights, spanning_tree_edges
from models.affinity.fast.hierarchy import Hierarchy, build_hierarchy, spread
from tests.models.affinity.dense import IMAGE_1CHW, MASK_1HW
from tests.models.affinity.fast.slow_trees import (
    KINDS,
    SIZES,
    cluster_matrix,
    draw,
    ends,
    grid_codes,
    kruskal,
    random_trees,
)


def affinity_of(weight_BE: Tensor, zeta: float = 0.6) -> Tensor:
    return torch.exp(-weight_BE.double() / zeta**2)


def matrix_of(edge_BE: Tensor, weight_BE: Tensor, height: int, width: int, zeta: float = 0.6) -> Tensor:
    """What the product does to unit vectors, shape (B, N, N)."""
    hierarchy = build_hierarchy(edge_BE, weight_BE, height, width)
    unit_BNN = torch.eye(height * width, dtype=torch.float64).expand(edge_BE.shape[0], -1, -1)
    return spread(hierarchy, affinity_of(weight_BE, zeta), unit_BNN)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_product_is_that_of_all_pairs(height, width, kind, dtype):
    edge_BE = random_trees(3, height, width)
    weight_BE = draw(kind, 3, height * width - 1, dtype)
    matrix_BNN = matrix_of(edge_BE, weight_BE, height, width)
    for codes, weight_E, matrix_NN in zip(edge_BE.tolist(), weight_BE, matrix_BNN, strict=True):
        slow_NN = cluster_matrix(codes, weight_E.tolist(), affinity_of(weight_E), height, width)
        torch.testing.assert_close(matrix_NN, slow_NN, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_matrix_is_symmetric_positive_and_of_unit_diagonal(kind):
    matrix_NN = matrix_of(random_trees(1, 6, 7), draw(kind, 1, 41), 6, 7)[0]
    torch.testing.assert_close(matrix_NN, matrix_NN.T, rtol=0.0, atol=1e-12)
    torch.testing.assert_close(matrix_NN.diagonal(), torch.ones(42, dtype=torch.float64))
    assert float(matrix_NN.min()) >= -1e-12
    assert float(matrix_NN.max()) <= 1.0 + 1e-12
    assert float(torch.linalg.eigvalsh(matrix_NN).min()) >= -1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_averages_keep_constants_ranges_and_simplices(kind):
    edge_BE, weight_BE = random_trees(2, 20, 30), draw(kind, 2, 599)
    hierarchy, affinity_BE = build_hierarchy(edge_BE, weight_BE, 20, 30), affinity_of(weight_BE)
    share_BCN = torch.rand(2, 4, 600, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    share_BCN[:, 0, ::3] = 0.0
    share_BCN = share_BCN / share_BCN.sum(dim=1, keepdim=True)
    total_B1N = spread(hierarchy, affinity_BE, torch.ones(2, 1, 600))
    assert float(total_B1N.min()) >= 1.0 - 1e-11
    mean_BCN = spread(hierarchy, affinity_BE, share_BCN) / total_B1N
    torch.testing.assert_close(
        mean_BCN.sum(dim=1), torch.ones(2, 600, dtype=torch.float64), rtol=0.0, atol=1e-11
    )
    assert (mean_BCN >= share_BCN.amin(dim=2, keepdim=True) - 1e-11).all()
    assert (mean_BCN <= share_BCN.amax(dim=2, keepdim=True) + 1e-11).all()


def test_equal_edges_and_endless_zeta_count_pixels_exactly():
    edge_BE = random_trees(1, 16, 13)
    hierarchy = build_hierarchy(edge_BE, draw("ties", 1, 207), 16, 13)
    ones = torch.ones(1, 1, 208)
    assert (spread(hierarchy, torch.ones(1, 207), ones) == 208.0).all()
    assert (spread(hierarchy, torch.zeros(1, 207), ones) == 1.0).all()


def test_the_worked_example():
    edge_BE = spanning_tree_edges(grid_weights(IMAGE_1CHW), 3, 4)
    weight_BE = torch.tensor([[1.0, 4, 1, 36, 1, 4, 16, 4, 4, 4, 1]])
    hierarchy = build_hierarchy(edge_BE, weight_BE, 3, 4)
    value_BCN = torch.stack((MASK_1HW.flatten(), torch.ones(12, dtype=torch.float64)))[None]
    product_BCN = spread(hierarchy, affinity_of(weight_BE, 2.0), value_BCN)[0]
    total = [4.084313, 3.26247, 2.275137, 1.864215, 4.084313, 3.26247]
    total += [2.275137, 1.369114, 4.084313, 3.673392, 3.673392, 1.369114]
    mean = [0.43555, 0.22556, 0.016155, 0.019716, 0.43555, 0.22556]
    mean += [0.016155, 0.268879, 0.381392, 0.200328, 0.200328, 0.73058]
    torch.testing.assert_close(product_BCN[1], torch.tensor(total).double(), rtol=0.0, atol=1e-6)
    torch.testing.assert_close(
        product_BCN[0] / product_BCN[1], torch.tensor(mean).double(), rtol=0.0, atol=1e-6
    )


def test_the_bottleneck_is_scipys_single_linkage():
    edge_BE, weight_BE = random_trees(1, 24, 25), draw("distinct", 1, 599)
    first, second = zip(*(ends(code, 24, 25) for code in edge_BE[0].tolist()), strict=True)
    graph = coo_array((weight_BE[0].numpy(), (first, second)), shape=(600, 600))
    # Distances along the tree are at least the edges on the way, so single linkage joins along the tree.
    linked = cophenet(linkage(squareform(shortest_path(graph, directed=False), checks=False), "single"))
    matrix_NN = matrix_of(edge_BE, weight_BE, 24, 25)[0]
    distance_NN = -torch.log(matrix_NN) * 0.6**2
    torch.testing.assert_close(
        distance_NN.fill_diagonal_(0.0), torch.from_numpy(squareform(linked)), rtol=0.0, atol=1e-9
    )
    some_KK = distance_NN[::11, ::11]
    detour_KKK = torch.maximum(some_KK[:, :, None], some_KK[None, :, :])
    assert (some_KK[:, None, :] <= detour_KKK + 1e-9).all()


def test_on_the_grids_tree_equal_weights_may_be_ordered_in_any_way():
    weights = draw("ties", 1, len(grid_codes(6, 5)))[0].tolist()
    matrices = []
    for tilt in (1e-9, -1e-9):
        tilted = [weight + tilt * place for place, weight in enumerate(weights)]
        codes = kruskal(tilted, 6, 5)
        weight_E = torch.tensor([[weights[grid_codes(6, 5).index(code)] for code in codes]])
        matrices.append(matrix_of(torch.tensor([codes]), weight_E, 6, 5))
    torch.testing.assert_close(*matrices, rtol=0.0, atol=1e-12)


def test_gradients_are_those_of_the_dense_product():
    edge_BE, weight_BE = random_trees(2, 4, 5), draw("distinct", 2, 19).requires_grad_()
    hierarchy = build_hierarchy(edge_BE, weight_BE, 4, 5)
    value_BCN = torch.rand(
        2, 3, 20, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    ).requires_grad_()
    zeta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def mean(weight_BE: Tensor, zeta: Tensor, value_BCN: Tensor) -> Tensor:
        affinity_BE = torch.exp(-weight_BE / zeta**2)
        product_BCN = spread(
            hierarchy, affinity_BE, torch.cat((value_BCN, torch.ones_like(value_BCN[:, :1])), dim=1)
        )
        return product_BCN[:, :-1] / product_BCN[:, -1:]

    assert torch.autograd.gradcheck(mean, (weight_BE, zeta, value_BCN), atol=1e-8)


def test_a_batch_is_its_trees_one_by_one_in_any_order():
    edge_BE, weight_BE = random_trees(4, 8, 9), draw("ties", 4, 71)
    together = build_hierarchy(edge_BE, weight_BE, 8, 9)
    turned = build_hierarchy(edge_BE.flip(0), weight_BE.flip(0), 8, 9)
    value_BCN = torch.rand(4, 2, 72, generator=torch.Generator().manual_seed(4))
    product_BCN = spread(together, affinity_of(weight_BE), value_BCN)
    alone = [
        spread(build_hierarchy(e[None], w[None], 8, 9), affinity_of(w[None]), v[None])
        for e, w, v in zip(edge_BE, weight_BE, value_BCN, strict=True)
    ]
    assert torch.equal(product_BCN, torch.cat(alone))
    assert torch.equal(spread(turned, affinity_of(weight_BE.flip(0)), value_BCN.flip(0)), product_BCN.flip(0))


def test_ten_runs_agree():
    edge_BE, weight_BE = random_trees(2, 17, 19), draw("ties", 2, 322)
    value_BCN = torch.rand(2, 5, 323, generator=torch.Generator().manual_seed(5))
    runs = [
        spread(build_hierarchy(edge_BE, weight_BE, 17, 19), affinity_of(weight_BE), value_BCN)
        for _ in range(10)
    ]
    assert all(torch.equal(run, runs[0]) for run in runs)


def test_no_step_needs_to_see_a_value_or_another_device():
    edge_BE, weight_BE = (
        torch.empty(3, 71, dtype=torch.int32, device="meta"),
        torch.empty(3, 71, requires_grad=True, device="meta"),
    )
    hierarchy = build_hierarchy(edge_BE, weight_BE, 8, 9)
    value_BCN = torch.empty(3, 2, 72, requires_grad=True, device="meta")
    spread(hierarchy, torch.exp(-weight_BE), value_BCN).sum().backward()
    assert weight_BE.grad.shape == (3, 71)


def test_a_pixel_costs_24_bytes():
    hierarchy = build_hierarchy(random_trees(1, 40, 40), draw("distinct", 1, 1599), 40, 40)
    parts = [getattr(hierarchy, field.name) for field in dataclasses.fields(Hierarchy)]
    assert all(part.dtype == torch.int32 for part in parts)
    assert sum(part.numel() * part.element_size() for part in parts) <= 24 * 1600


def test_a_structure_moves_to_a_device():
    hierarchy = build_hierarchy(random_trees(1, 2, 3), draw("distinct", 1, 5), 2, 3).to("meta")
    assert {getattr(hierarchy, field.name).device.type for field in dataclasses.fields(Hierarchy)} == {"meta"}


def test_one_pixel_has_no_cluster():
    none = torch.zeros(2, 0)
    hierarchy = build_hierarchy(none.int(), none, 1, 1)
    value_BCN = torch.rand(2, 3, 1)
    assert torch.equal(spread(hierarchy, none, value_BCN), value_BCN.double())


def test_an_empty_batch_has_no_product():
    none = torch.zeros(0, 11)
    hierarchy = build_hierarchy(none.int(), none, 3, 4)
    assert spread(hierarchy, none, torch.zeros(0, 2, 12)).shape == (0, 2, 12)


def test_edges_of_another_grid_are_refused():
    with pytest.raises(
        ValueError, match=r"must have shape \(B, 5\) for 2x3 pixels, got \(1, 6\) and \(1, 6\)\."
    ):
        build_hierarchy(torch.zeros(1, 6, dtype=torch.int32), torch.zeros(1, 6), 2, 3)
    with pytest.raises(ValueError, match=r"got \(1, 5\) and \(2, 5\)\."):
        build_hierarchy(torch.zeros(1, 5, dtype=torch.int32), torch.zeros(2, 5), 2, 3)
