"""Which edges the trees hold, and what a guidance must be."""

import doctest
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree as scipy_tree
from scipy.spatial.distance import squareform

from models.affinity import spanning_tree
from models.affinity.fast.boruvka import grid_weights, spanning_tree_edges
from models.affinity.spanning_tree import minimum_spanning_tree
from tests.models.affinity.dense import (
    BACKENDS,
    IMAGE_1CHW,
    KINDS,
    SIZES,
    bottlenecks,
    codes,
    field,
    fields,
    fixed,
    golden,
    grid_bottlenecks,
    images,
    pairs,
)
from tests.models.affinity.fast.slow_trees import kruskal


def codes_of(structure, image=0):
    return structure.edge_BE[image].sort().values.tolist()


def tree_distances(structure, image=0):
    """All pairs, along the tree, with the weights that the structure names."""
    edge_E = structure.edge_BE[image]
    weights = structure.weight_BE[image].tolist()
    return bottlenecks(pairs(edge_E, structure.width), weights, len(edge_E) + 1)


def slow_tree(guidance_CHW):
    weight_1M = grid_weights(guidance_CHW[None])
    return kruskal(weight_1M[0].tolist(), *guidance_CHW.shape[1:])


def test_example_of_the_docstring_holds():
    result = doctest.testmod(spanning_tree)
    assert (result.attempted, result.failed) == (1, 0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_worked_example(backend, dtype):
    structure = minimum_spanning_tree(IMAGE_1CHW.to(dtype), backend=backend)
    # Edges 0..8, 10 and 15 in the order of the grid: 9 vertical rows of codes, then those to the right.
    assert codes_of(structure) == [0, 1, 2, 3, 4, 5, 6, 7, 12 + 0, 12 + 2, 12 + 9]
    order = structure.edge_BE[0].argsort()
    assert structure.weight_BE[0, order].tolist() == [1, 4, 1, 36, 1, 4, 16, 4, 4, 4, 1]
    assert structure.weight_BE.sum() == 76
    distance_NN = tree_distances(structure)
    assert distance_NN[0].tolist() == [0, 4, 16, 16, 1, 4, 16, 36, 1, 4, 4, 36]
    assert distance_NN[11].tolist() == [36, 36, 36, 36, 36, 36, 36, 4, 36, 36, 36, 0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_tree_is_that_of_a_slow_kruskal(backend, dtype, levels, size):
    guidance_BCHW = images(3, 2, 2, size, levels).to(dtype)
    structure = minimum_spanning_tree(guidance_BCHW, backend=backend)
    assert (structure.height, structure.width, structure.backend, len(structure)) == (*size, backend, 2)
    assert structure.edge_BE.dtype == torch.int32
    assert structure.weight_BE.dtype == dtype
    for image, guidance_CHW in enumerate(guidance_BCHW):
        assert codes_of(structure, image) == slow_tree(guidance_CHW)
        tolerance = 1e-6 if dtype == torch.float32 else 1e-14
        expected = grid_bottlenecks(guidance_CHW)
        np.testing.assert_allclose(tree_distances(structure, image), expected, rtol=tolerance, atol=0)


@fixed
@given(fields(max_side=7, levels=(0, 1, 2, 3, 256)))
def test_all_backends_agree_on_the_edges_whatever_the_ties(guidance_CHW):
    for dtype in (torch.float32, torch.float64):
        guidance_1CHW = guidance_CHW[None].to(dtype)
        slow = slow_tree(guidance_1CHW[0])
        for backend in BACKENDS:
            assert codes_of(minimum_spanning_tree(guidance_1CHW, backend=backend)) == slow


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("levels", [0, 2, 256])
def test_a_larger_tree_weighs_what_scipy_says(backend, levels):
    guidance_1CHW = images(5, 1, 3, (97, 83), levels).float()
    weight_M = grid_weights(guidance_1CHW)[0].double().numpy() + 1.0  # scipy takes zero for "no edge"
    from_M, to_M = spanning_tree.grid.edge_pixels(spanning_tree.grid.grid_edges(97, 83), 97, 83)
    graph = coo_array((weight_M, (from_M.numpy(), to_M.numpy())), shape=(97 * 83, 97 * 83)).tocsr()
    structure = minimum_spanning_tree(guidance_1CHW, backend=backend)
    total = structure.weight_BE.double().sum().item() + structure.weight_BE.shape[1]
    assert total == pytest.approx(scipy_tree(graph).sum(), rel=1e-12)


@fixed
@given(fields())
def test_bottlenecks_are_the_heights_of_single_linkage_and_an_ultrametric(guidance_CHW):
    structure = minimum_spanning_tree(guidance_CHW[None])
    distance_NN = tree_distances(structure)
    assert (distance_NN[:, None] <= np.maximum(distance_NN[:, :, None], distance_NN[None])).all()
    if len(distance_NN) > 1:
        # Pixels without an edge between them are as far apart as any two can be.
        far = float(structure.weight_BE.max()) + 1.0
        apart_NN = np.full_like(distance_NN, far)
        np.fill_diagonal(apart_NN, 0.0)
        edges = pairs(structure.edge_BE[0], structure.width)
        for (u, v), weight in zip(edges, structure.weight_BE[0].tolist(), strict=True):
            apart_NN[u, v] = apart_NN[v, u] = weight
        heights = cophenet(linkage(squareform(apart_NN), method="single"))
        np.testing.assert_array_equal(squareform(heights), distance_NN)


@fixed
@given(fields(levels=(2, 3, 256)), st.sampled_from([(-1,), (-2,), (-2, -1)]))
def test_bottlenecks_do_not_depend_on_how_ties_are_broken(guidance_CHW, sides):
    usual = tree_distances(minimum_spanning_tree(guidance_CHW[None]))
    pixel_HW = torch.arange(guidance_CHW[0].numel()).reshape(guidance_CHW.shape[1:])
    place_N = pixel_HW.flip(sides).flatten().argsort().numpy()
    mirrored = tree_distances(minimum_spanning_tree(guidance_CHW.flip(sides)[None]))
    np.testing.assert_array_equal(mirrored[np.ix_(place_N, place_N)], usual)


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_published_trees_are_ours(number, backend):
    file = golden(f"apro_global_{number}")
    size = tuple(file["image"].shape[2:])
    ours = minimum_spanning_tree(file["image"], backend=backend)
    for image, edge_E2 in enumerate(file["tree"]):
        assert codes_of(ours, image) == codes(edge_E2, size).tolist()


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_published_trees_are_those_of_weights_plus_one(number):
    file = golden(f"apro_global_{number}")
    size = tuple(file["image"].shape[2:])
    edge_BE = spanning_tree_edges(grid_weights(file["image"]) + 1.0, *size)
    for edge_E, edge_E2 in zip(edge_BE, file["tree"], strict=True):
        assert torch.equal(edge_E, codes(edge_E2, size))


@pytest.mark.parametrize("backend", BACKENDS)
def test_memory_layout_and_type_of_the_guidance_do_not_matter(backend):
    guidance_BCHW = (field(4, 3, 6, 5, 256)[None] * 255).round()
    expected = minimum_spanning_tree(guidance_BCHW, backend=backend)
    strided = guidance_BCHW.repeat_interleave(2, dim=3)[..., ::2]
    turned = guidance_BCHW.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert not strided.is_contiguous()
    types = [torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.int64]
    for same in (strided, turned, *(guidance_BCHW.to(dtype) for dtype in types)):
        structure = minimum_spanning_tree(same, backend=backend)
        assert torch.equal(structure.edge_BE, expected.edge_BE)
        assert torch.equal(structure.weight_BE.double(), expected.weight_BE)
        assert structure.weight_BE.dtype == (torch.float64 if same.dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_is_compared_in_float32(backend):
    guidance_BCHW = images(4, 2, 3, (9, 8), 0)
    for dtype in (torch.float16, torch.bfloat16):
        half = minimum_spanning_tree(guidance_BCHW.to(dtype), backend=backend)
        single = minimum_spanning_tree(guidance_BCHW.to(dtype).float(), backend=backend)
        assert torch.equal(half.edge_BE, single.edge_BE)
        assert torch.equal(half.weight_BE, single.weight_BE)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (4, 1), (4, 5)])
def test_a_colour_that_is_no_number_names_the_image(backend, value, dtype, size):
    guidance_BCHW = torch.zeros(4, 2, *size, dtype=dtype)
    guidance_BCHW[2, 1, -1, -1] = value
    message = f"guidance_BCHW[2] must be finite, got {value} in 1 of {2 * size[0] * size[1]} values."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        minimum_spanning_tree(guidance_BCHW, backend=backend)


@fixed
@given(st.integers(1, 5), st.integers(1, 5), st.data())
def test_no_place_hides_a_colour_that_is_no_number(height, width, data):
    guidance_1CHW = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(3))
    bad = data.draw(st.lists(st.integers(0, height * width - 1), min_size=1, max_size=4))
    value = data.draw(st.sampled_from([torch.nan, torch.inf, -torch.inf]))
    guidance_1CHW.view(-1)[bad] = value
    for dtype in (torch.float32, torch.float64):
        for backend in BACKENDS:
            with pytest.raises(ValueError, match=r"^guidance_BCHW\[0\] must be finite, got "):
                minimum_spanning_tree(guidance_1CHW.to(dtype), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_differences_whose_square_is_not_finite_are_refused(backend):
    guidance_BCHW = torch.zeros(2, 1, 2, 3)
    guidance_BCHW[1, 0, 0, 2] = 1e30
    message = (
        "guidance_BCHW[1] must have differences whose square is finite in torch.float32, got values from "
        "0 to 1e+30."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        minimum_spanning_tree(guidance_BCHW, backend=backend)
    assert minimum_spanning_tree(guidance_BCHW.double(), backend=backend).weight_BE.isfinite().all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 0, 4, 5), (1, 3, 0, 5), (1, 3, 4, 0)])
def test_a_guidance_without_pixels_is_refused(backend, shape):
    message = f"guidance_BCHW must have four dimensions, channels and pixels, got {shape}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        minimum_spanning_tree(torch.zeros(shape), backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_image_is_no_tree(backend):
    structure = minimum_spanning_tree(torch.zeros(0, 3, 4, 5), backend=backend)
    assert len(structure) == 0
    assert structure.edge_BE.shape == structure.weight_BE.shape == (0, 19)


def test_a_backend_that_does_not_exist_is_refused():
    message = "backend must be one of 'auto', 'reference', 'cpu', 'torch', 'triton', got 'gpu'."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        minimum_spanning_tree(torch.zeros(1, 1, 2, 2), backend="gpu")
