import doctest
import re

import pytest
import torch
from hypothesis import given

from models.affinity import grid
from models.affinity.grid import (
    KnownEdgeWeights,
    check_guidance,
    check_size,
    check_weights,
    edge_pixels,
    edge_weights,
    grid_edges,
    widen,
)
from tests.models.affinity.dense import IMAGE_1CHW, field, fields, fixed, images, neighbours, weights_along

TREE = [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 15]


def decoded(edges, height, width):
    return list(zip(*(pixel.tolist() for pixel in edge_pixels(edges, height, width)), strict=True))


def test_examples_of_the_docstrings_hold():
    result = doctest.testmod(grid)
    assert (result.attempted, result.failed) == (2, 0)


def test_vertical_edges_come_first_and_both_kinds_are_row_major():
    edges = decoded(grid_edges(3, 4), 3, 4)
    assert edges[:9] == [(0, 4), (1, 5), (2, 6), (3, 7), (4, 8), (5, 9), (6, 10), (7, 11), (0, 1)]
    assert edges[10] == (2, 3)
    assert edges[15] == (9, 10)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (5, 1), (2, 2), (5, 7)])
def test_codes_increase_and_name_all_neighbours_once(height, width):
    edges = grid_edges(height, width)
    assert edges.shape == (height * (width - 1) + width * (height - 1),)
    assert edges.dtype == torch.int32
    assert (edges[1:] > edges[:-1]).all()
    assert sorted(decoded(edges, height, width)) == sorted(neighbours(height, width))


def test_a_code_is_the_upper_pixel_or_the_number_of_pixels_more_than_the_left_one():
    assert decoded(torch.tensor([5, 12 + 5]), 3, 4) == [(5, 9), (5, 6)]


def test_weights_of_the_worked_example():
    weight_1E = edge_weights(IMAGE_1CHW, grid_edges(3, 4)[None])
    assert weight_1E[0, TREE].tolist() == [1, 4, 1, 36, 1, 4, 16, 4, 4, 4, 1]


@fixed
@given(fields())
def test_weights_equal_the_loop(guidance_CHW):
    edges = grid_edges(*guidance_CHW.shape[1:])
    pairs = decoded(edges, *guidance_CHW.shape[1:])
    slow_E = torch.tensor(weights_along(pairs, guidance_CHW), dtype=torch.float64)
    torch.testing.assert_close(edge_weights(guidance_CHW[None], edges[None])[0], slow_E, rtol=1e-14, atol=0.0)


def test_each_image_is_weighed_along_its_own_edges():
    guidance_BCHW = images(1, 2, 2, (3, 3), 0)
    edges = grid_edges(3, 3)
    edge_BE = torch.stack((edges[:8], edges[-8:]))
    weight_BE = edge_weights(guidance_BCHW, edge_BE)
    for item in range(2):
        alone = edge_weights(guidance_BCHW[item : item + 1], edge_BE[item : item + 1])
        assert torch.equal(weight_BE[item], alone[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.uint8, torch.int64])
def test_weights_are_float32_and_exact_on_whole_numbers(dtype):
    guidance = (field(3, 3, 4, 5, 256) * 255).to(dtype)[None]
    edges = grid_edges(4, 5)[None]
    weight_1E = edge_weights(guidance, edges)
    assert weight_1E.dtype == torch.float32
    assert torch.equal(weight_1E.double(), edge_weights(guidance.double(), edges))


def test_weights_have_a_gradient():
    guidance = field(3, 3, 4, 5, 0)[None].requires_grad_()
    assert torch.autograd.gradcheck(lambda given: edge_weights(given, grid_edges(4, 5)[None]), guidance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_known_weights_have_the_gradient_of_measured_ones(dtype):
    guidance, edges = field(3, 3, 4, 5, 0)[None].to(dtype).requires_grad_(), grid_edges(4, 5)[None]
    measured = edge_weights(guidance, edges)
    known = KnownEdgeWeights.apply(guidance, edges, measured.detach())
    assert torch.equal(known, measured)
    slope = torch.linspace(-1, 1, 31, dtype=known.dtype)[None]
    (expected,) = torch.autograd.grad(measured, guidance, slope)
    (gradient,) = torch.autograd.grad(known, guidance, slope)
    assert gradient.dtype == dtype
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_colour_that_is_no_number_names_the_item(value):
    guidance = torch.zeros(3, 2, 4, 5)
    guidance[1, 0, 2, 3:] = value
    message = f"guidance_BCHW[1] must be finite, got {value} in 2 of 40 values."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_guidance(guidance)


@pytest.mark.parametrize("check", [check_guidance, check_size])
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 0, 4, 5), (1, 3, 0, 5), (1, 3, 4, 0)])
def test_a_guidance_without_pixels_is_refused(check, shape):
    message = f"guidance_BCHW must have four dimensions, channels and pixels, got {shape}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check(torch.zeros(shape))


def test_no_image_at_all_is_fine():
    check_guidance(torch.zeros(0, 3, 4, 5))


def test_negative_weights_are_refused():
    check_weights(torch.tensor([[0.0, -0.0, 2.0]]))
    check_weights(torch.zeros(2, 0))
    with pytest.raises(ValueError, match=r"^weights must not be negative, got -0\.5\.$"):
        check_weights(torch.tensor([[0.0, -0.5]], requires_grad=True))


def test_weights_are_widened():
    assert widen(torch.zeros(2, dtype=torch.bfloat16)).dtype == torch.float32
    assert widen(torch.zeros(2, dtype=torch.float64)).dtype == torch.float64
