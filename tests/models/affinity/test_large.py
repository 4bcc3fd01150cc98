"""Images that break recursion, stack arrays and quadratic loops."""

import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree as scipy_tree

from models.affinity.fast.boruvka import grid_weights
from models.affinity.global_ import GlobalPropagation
from models.affinity.grid import edge_pixels, grid_edges
from models.affinity.spanning_tree import edge_weights, minimum_spanning_tree
from models.affinity.tree_filter import TreeFilter
from tests.models.affinity.dense import field

LONG = 200_000


def along_a_rising_path(weight_E, zeta, value_N):
    """On a path whose weights rise, the largest edge between two pixels is the one at the later pixel."""
    affinity_E = np.exp(-weight_E / zeta**2)
    reach_N = np.concatenate(([0.0], affinity_E))  # of the edge before each pixel
    both_N2 = np.stack((value_N, np.ones(len(value_N))), axis=1)
    before_N2 = np.concatenate((np.zeros((1, 2)), both_N2.cumsum(axis=0)[:-1]))
    later_N2 = (reach_N[:, None] * both_N2)[::-1].cumsum(axis=0)[::-1]
    total_N2 = reach_N[:, None] * before_N2 + both_N2
    total_N2[:-1] += later_N2[1:]
    return total_N2[:, 0] / total_N2[:, 1]


@pytest.mark.parametrize("backend", ["cpu", "torch"])
@pytest.mark.parametrize("size", [(1, LONG), (LONG, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_path_of_200_000_pixels_whose_steps_rise(backend, size, dtype):
    """Every merge takes in one pixel: the clusters are nested as deep as the image is long."""
    step_E = torch.linspace(0.001, 1.0, LONG - 1, dtype=torch.float64)
    sign_E = torch.where(torch.arange(LONG - 1) % 2 == 0, 1.0, -1.0)
    colour_N = torch.cat((torch.zeros(1, dtype=torch.float64), (step_E * sign_E).cumsum(0)))
    guidance_1CHW = colour_N.reshape(1, 1, *size).to(dtype)
    x_1CHW = field(1, 1, *size, 0)[None].to(dtype)
    structure = minimum_spanning_tree(guidance_1CHW, backend=backend)
    y_1CHW = GlobalPropagation(zeta=0.3)(x_1CHW, structure)
    weight_E = guidance_1CHW.double().flatten().diff().square().numpy()
    expected_N = along_a_rising_path(np.maximum.accumulate(weight_E), 0.3, x_1CHW.double().flatten().numpy())
    # Neighbouring float32 steps may swap; then the largest of them counts, which is as good as the same.
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    np.testing.assert_allclose(y_1CHW.double().flatten().numpy(), expected_N, rtol=0, atol=tolerance)


@pytest.mark.parametrize("backend", ["cpu", "torch"])
@pytest.mark.parametrize("size", [(1, LONG), (LONG, 1)])
@pytest.mark.parametrize("order", ["falling", "constant"])
def test_a_path_of_200_000_pixels_stays_in_range(backend, size, order):
    colour_N = torch.linspace(1.0, 0.0, LONG).square() if order == "falling" else torch.zeros(LONG)
    guidance_1CHW, x_1CHW = colour_N.reshape(1, 1, *size), field(1, 1, *size, 0)[None].float()
    structure = minimum_spanning_tree(guidance_1CHW, backend=backend)
    for operator in (GlobalPropagation(zeta=0.003), TreeFilter(sigma=1e-5)):
        y_1CHW = operator(x_1CHW, structure)
        assert y_1CHW.min() >= x_1CHW.min()
        assert y_1CHW.max() <= x_1CHW.max()
        if order == "constant":
            torch.testing.assert_close(y_1CHW, x_1CHW.mean().expand_as(y_1CHW), rtol=0, atol=1e-6)


def photograph(side):
    """Smooth colours in float32, which no two neighbours share."""
    generator = torch.Generator().manual_seed(side)
    coarse = torch.rand(1, 3, side // 16, side // 16, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return smooth + 0.02 * torch.rand(1, 3, side, side, generator=generator)


def check(side):
    guidance_1CHW = photograph(side)
    x_1CHW = (guidance_1CHW[:, :1] > 0.5).float()
    structure = minimum_spanning_tree(guidance_1CHW)
    first = GlobalPropagation(zeta=0.003)(x_1CHW, structure)
    second = GlobalPropagation(zeta=0.01)(first, structure, edge_weights(first, structure))
    for y_1CHW in (first, second):
        assert y_1CHW.isfinite().all()
        assert 0.0 <= y_1CHW.min() < y_1CHW.max() <= 1.0
    return guidance_1CHW, structure


def test_an_image_of_four_million_pixels():
    check(2048)


@pytest.mark.slow
def test_an_image_of_sixteen_million_pixels_has_the_tree_that_scipy_finds():
    guidance_1CHW, structure = check(4096)
    num_pixels = 4096 * 4096
    weight_M = grid_weights(guidance_1CHW)[0].numpy()
    assert weight_M.min() > 0.0  # scipy takes zero for "no edge"
    from_M, to_M = (end.int().numpy() for end in edge_pixels(grid_edges(4096, 4096), 4096, 4096))
    graph = coo_array((weight_M, (from_M, to_M)), shape=(num_pixels, num_pixels)).tocsr()
    expected = scipy_tree(graph, overwrite=True).data.sum(dtype=np.float64)
    assert structure.weight_BE.sum(dtype=torch.float64).item() == pytest.approx(expected, rel=1e-6)
