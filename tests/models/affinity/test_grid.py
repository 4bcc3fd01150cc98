import doctest
import re

import pytest
import torch
from hypothesis import given

from models.affinity import grid
from models.affinity.grid import check_guidance, edge_weights, grid_edges
from tests.models.affinity.dense import IMAGE_1CHW, field, fields, fixed, neighbours, weights_along


def test_example_of_the_docstring_holds():
    assert doctest.testmod(grid).failed == 0


def test_vertical_edges_come_first_and_both_kinds_are_row_major():
    first_nine = [[0, 4], [1, 5], [2, 6], [3, 7], [4, 8], [5, 9], [6, 10], [7, 11], [0, 1]]
    assert grid_edges(3, 4).tolist()[:9] == first_nine
    assert grid_edges(3, 4).tolist()[10] == [2, 3]
    assert grid_edges(3, 4).tolist()[15] == [9, 10]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (5, 1), (2, 2), (5, 7)])
def test_edges_are_all_neighbours_once(height, width):
    edges = grid_edges(height, width)
    assert edges.shape == (height * (width - 1) + width * (height - 1), 2)
    assert edges.dtype == torch.int64
    assert sorted(map(tuple, edges.tolist())) == sorted(neighbours(height, width))


def test_weights_of_the_worked_example():
    weights = edge_weights(IMAGE_1CHW, grid_edges(3, 4)[None])
    tree = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 15]
    assert weights[0, tree].tolist() == [1, 4, 1, 36, 1, 4, 16, 4, 4, 4, 1]


@fixed
@given(fields())
def test_weights_equal_the_loop(guidance_CHW):
    edges = grid_edges(*guidance_CHW.shape[1:])
    slow = torch.tensor(weights_along(edges.tolist(), guidance_CHW), dtype=torch.float64)
    torch.testing.assert_close(edge_weights(guidance_CHW[None], edges[None])[0], slow, rtol=1e-14, atol=0.0)


def test_each_image_is_weighed_along_its_own_edges():
    guidance_BCHW = torch.stack((field(1, 2, 3, 3, 0), field(2, 2, 3, 3, 0)))
    edges = grid_edges(3, 3)
    edge_BE2 = torch.stack((edges[:8], edges[-8:]))
    weights = edge_weights(guidance_BCHW, edge_BE2)
    for item in range(2):
        alone = edge_weights(guidance_BCHW[item : item + 1], edge_BE2[item : item + 1])
        assert torch.equal(weights[item], alone[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.uint8])
def test_weights_are_exact_whatever_the_type(dtype):
    guidance = (field(3, 3, 4, 5, 256) * 255).to(dtype)[None]
    edges = grid_edges(4, 5)[None]
    weights = edge_weights(guidance, edges)
    assert weights.dtype == torch.float64
    assert torch.equal(weights, edge_weights(guidance.double(), edges))


def test_weights_carry_no_gradient():
    guidance = field(3, 3, 4, 5, 0)[None].requires_grad_()
    assert not edge_weights(guidance, grid_edges(4, 5)[None]).requires_grad


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_colour_that_is_no_number_names_the_item(value):
    guidance = torch.zeros(3, 2, 4, 5)
    guidance[1, 0, 2, 3:] = value
    message = f"guidance_BCHW[1] must be finite, got {value} in 2 of 40 values."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_guidance(guidance)


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 0, 4, 5), (1, 3, 0, 5), (1, 3, 4, 0)])
def test_a_guidance_without_pixels_is_refused(shape):
    message = f"guidance_BCHW must have four dimensions, channels and pixels, got {shape}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_guidance(torch.zeros(shape))


def test_no_image_at_all_is_fine():
    check_guidance(torch.zeros(0, 3, 4, 5))
