import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree as scipy_tree

from models.affinity.fast.boruvka import component_room, grid_weights, merge, spanning_tree_edges
from tests.models.affinity.dense import IMAGE_1CHW
from tests.models.affinity.fast.slow_trees import (
    KINDS,
    SIZES,
    draw,
    ends,
    grid_codes,
    kruskal,
    num_grid_edges,
)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_tree_is_the_one_that_kruskal_finds(height, width, kind, dtype):
    weight_BM = draw(kind, 3, num_grid_edges(height, width), dtype)
    edge_BE = spanning_tree_edges(weight_BM, height, width)
    assert edge_BE.dtype == torch.int32
    assert edge_BE.tolist() == [kruskal(row, height, width) for row in weight_BM.tolist()]


def test_one_pixel_has_no_edge():
    assert spanning_tree_edges(torch.zeros(2, 0), 1, 1).shape == (2, 0)


def test_an_empty_batch_has_no_tree():
    assert spanning_tree_edges(torch.zeros(0, num_grid_edges(3, 4)), 3, 4).shape == (0, 11)


def test_the_worked_example():
    weight_BM = grid_weights(IMAGE_1CHW)
    edge_BE = spanning_tree_edges(weight_BM, 3, 4)
    places = [grid_codes(3, 4).index(code) for code in edge_BE[0].tolist()]
    assert places == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 15]
    assert weight_BM[0, places].tolist() == [1, 4, 1, 36, 1, 4, 16, 4, 4, 4, 1]


def test_the_total_weight_is_that_of_scipy():
    height, width = 40, 50
    weight_BM = draw("distinct", 2, num_grid_edges(height, width))
    codes = grid_codes(height, width)
    first, second = np.array([ends(code, height, width) for code in codes]).T
    place = {code: number for number, code in enumerate(codes)}
    for weight_M, edge_E in zip(weight_BM, spanning_tree_edges(weight_BM, height, width), strict=True):
        graph = coo_array((weight_M.numpy(), (first, second)), shape=(height * width,) * 2)
        total = float(weight_M[[place[code] for code in edge_E.tolist()]].sum())
        assert total == pytest.approx(float(scipy_tree(graph).sum()), rel=1e-12)


def test_a_batch_is_its_images_one_by_one_in_any_order():
    weight_BM = draw("ties", 4, num_grid_edges(9, 8))
    together = spanning_tree_edges(weight_BM, 9, 8)
    assert torch.equal(together, torch.cat([spanning_tree_edges(row[None], 9, 8) for row in weight_BM]))
    assert torch.equal(spanning_tree_edges(weight_BM.flip(0), 9, 8), together.flip(0))


def test_ten_runs_agree():
    weight_BM = draw("ties", 2, num_grid_edges(31, 29), torch.float32)
    first = spanning_tree_edges(weight_BM, 31, 29)
    assert all(torch.equal(spanning_tree_edges(weight_BM, 31, 29), first) for _ in range(9))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_step_needs_to_see_a_value_or_another_device(dtype):
    guidance_BCHW = torch.empty(3, 20, 8, 9, dtype=dtype, device="meta")
    edge_BE = spanning_tree_edges(grid_weights(guidance_BCHW), 8, 9)
    assert edge_BE.shape == (3, 71)


@pytest.mark.parametrize("channels", [1, 3, 16, 37])
def test_weights_are_squared_colour_distances(channels):
    guidance_BCHW = torch.rand(2, channels, 4, 5, generator=torch.Generator().manual_seed(1)).double()
    colour_BNC = guidance_BCHW.flatten(2).transpose(1, 2)
    first, second = np.array([ends(code, 4, 5) for code in grid_codes(4, 5)]).T
    expected = (colour_BNC[:, first] - colour_BNC[:, second]).square().sum(dim=2)
    torch.testing.assert_close(grid_weights(guidance_BCHW), expected, rtol=1e-12, atol=0.0)
    assert torch.autograd.gradcheck(grid_weights, guidance_BCHW.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_of_short_floats_are_float32(dtype):
    guidance_BCHW = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(1)).to(dtype)
    weight_BM = grid_weights(guidance_BCHW)
    assert weight_BM.dtype == torch.float32
    torch.testing.assert_close(weight_BM, grid_weights(guidance_BCHW.double()).float())


def test_weights_of_any_strides_are_taken():
    wide = draw("distinct", 6, num_grid_edges(4, 5), torch.float32)
    assert torch.equal(
        spanning_tree_edges(wide[::2], 4, 5), spanning_tree_edges(wide[::2].contiguous(), 4, 5)
    )
    turned = wide.t().contiguous().t()
    assert torch.equal(spanning_tree_edges(turned, 4, 5), spanning_tree_edges(wide, 4, 5))


def test_other_weights_are_refused():
    with pytest.raises(TypeError, match=r"weight_BM must be float32 or float64, got torch\.float16\."):
        spanning_tree_edges(torch.zeros(1, 7, dtype=torch.float16), 2, 3)
    with pytest.raises(ValueError, match=r"weight_BM must have 7 edges a row for 2x3 pixels, got 8\."):
        spanning_tree_edges(torch.zeros(1, 8), 2, 3)


def test_a_batch_that_no_key_can_number_is_refused():
    weight_BM = torch.zeros(1, 1).expand(2**30, 1)
    with pytest.raises(
        ValueError, match=r"fewer than 2\*\*31 pixels, got 1073741824 images of 1x2: split it\."
    ):
        spanning_tree_edges(weight_BM, 1, 2)


def test_components_at_least_halve():
    assert [component_room(pixels) for pixels in (1, 2, 3, 9)] == [[1], [2, 1], [3, 1], [9, 4, 2, 1]]


def test_merging_follows_chains_to_their_leader():
    other_V = torch.tensor([1, 0, 0, 2, 3, 5, 7, 6])
    merged_V, leads_V = merge(other_V, torch.arange(9), 8)
    assert leads_V.nonzero().flatten().tolist() == [0, 5, 6]
    assert merged_V.tolist() == [0, 0, 0, 0, 0, 1, 2, 2]
