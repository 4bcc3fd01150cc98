import pytest
import torch

from models.affinity.fast.intervals import spread_intervals
from tests.models.affinity.fast.slow_trees import cluster_matrix

# A row of five pixels whose edges weigh 3, 1, 4, 2. The clusters are {1, 2}, {0, 1, 2}, {3, 4} and all;
# the pixels lie in the order 3 4 0 2 1.
PIXEL = torch.tensor([[3, 4, 0, 2, 1]])
LEAF_PARENT = torch.tensor([[2, 2, 1, 0, 0]])
PARENT = torch.tensor([[1, 3, 3, -1]])
FIRST = torch.tensor([[3, 2, 0, 0]])
LAST = torch.tensor([[4, 4, 1, 4]])
INDEX = (PIXEL, LEAF_PARENT, PARENT, FIRST, LAST)
WEIGHT = [3.0, 1.0, 4.0, 2.0]
EDGE_OF_CLUSTER = [1, 0, 3, 2]


def affinity(zeta: float = 1.5) -> torch.Tensor:
    return torch.exp(-torch.tensor([WEIGHT], dtype=torch.float64)[:, EDGE_OF_CLUSTER] / zeta**2)


def matrix(affinity_BE: torch.Tensor) -> torch.Tensor:
    by_edge = torch.empty(4, dtype=torch.float64)
    by_edge[EDGE_OF_CLUSTER] = affinity_BE[0].detach()
    return cluster_matrix([5, 6, 7, 8], WEIGHT, by_edge, 1, 5)


@pytest.mark.parametrize("width", [torch.int32, torch.int64])
@pytest.mark.parametrize("channels", [1, 6])
def test_the_product_is_that_of_the_matrix(width, channels):
    value_BCN = torch.rand(1, channels, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    product_BCN = spread_intervals(*(part.to(width) for part in INDEX), affinity(), value_BCN)
    assert product_BCN.dtype == torch.float64
    torch.testing.assert_close(product_BCN[0], value_BCN[0] @ matrix(affinity()), rtol=0.0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_short_values_are_summed_in_float64(dtype):
    value_BCN = torch.rand(1, 2, 5, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    affinity_BE = affinity().float().requires_grad_()
    product_BCN = spread_intervals(*INDEX, affinity_BE, value_BCN)
    torch.testing.assert_close(
        product_BCN, spread_intervals(*INDEX, affinity_BE.double(), value_BCN.double())
    )
    product_BCN.sum().backward()
    assert value_BCN.grad.dtype == dtype
    assert affinity_BE.grad.dtype == torch.float32


def test_the_inputs_are_left_alone():
    before = [part.clone() for part in INDEX]
    value_BCN = torch.ones(1, 1, 5, dtype=torch.float64)
    spread_intervals(*INDEX, affinity(), value_BCN)
    assert all(torch.equal(part, kept) for part, kept in zip(INDEX, before, strict=True))
    assert torch.equal(value_BCN, torch.ones(1, 1, 5, dtype=torch.float64))


def test_gradients_reach_affinities_and_values():
    value_BCN = torch.rand(1, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    inputs = affinity().requires_grad_(), value_BCN.requires_grad_()
    assert torch.autograd.gradcheck(lambda *given: spread_intervals(*INDEX, *given), inputs)


def test_only_the_gradients_that_are_wanted_are_found():
    value_BCN, affinity_BE = torch.rand(1, 1, 5, dtype=torch.float64), affinity().requires_grad_()
    spread_intervals(*INDEX, affinity_BE, value_BCN).sum().backward()
    assert value_BCN.grad is None
    assert affinity_BE.grad is not None


def test_one_pixel_is_its_own_product():
    one, none = torch.zeros(2, 1, dtype=torch.int32), torch.zeros(2, 0, dtype=torch.int32)
    affinity_BE = torch.zeros(2, 0, dtype=torch.float64, requires_grad=True)
    value_BCN = torch.rand(2, 3, 1, dtype=torch.float64, requires_grad=True)
    product_BCN = spread_intervals(one, one, none, none, none, affinity_BE, value_BCN)
    assert torch.equal(product_BCN, value_BCN)
    product_BCN.sum().backward()
    assert torch.equal(value_BCN.grad, torch.ones(2, 3, 1, dtype=torch.float64))
    assert affinity_BE.grad.shape == (2, 0)


def test_no_step_needs_to_see_a_value_or_another_device():
    index = [part.to("meta") for part in INDEX]
    affinity_BE = torch.empty(1, 4, requires_grad=True, device="meta")
    value_BCN = torch.empty(1, 2, 5, requires_grad=True, device="meta")
    spread_intervals(*index, affinity_BE, value_BCN).sum().backward()
    assert affinity_BE.grad.shape == (1, 4)
    assert value_BCN.grad.shape == (1, 2, 5)
