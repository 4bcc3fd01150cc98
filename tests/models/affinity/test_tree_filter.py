"""The tree filter against products along all paths; ``test_global_*`` test what both operators share."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.spanning_tree import edge_weights, minimum_spanning_tree
from models.affinity.tree_filter import TreeFilter
from tests.models.affinity.dense import (
    BACKENDS,
    IMAGE_1CHW,
    KINDS,
    MASK_1HW,
    SIZES,
    average,
    averages,
    field,
    fields,
    fixed,
    images,
    like,
    pairs,
    path_sums,
    weights_along,
)

IMAGE_R = torch.tensor([2, 0, 2, 0, 2])
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}


def distances(structure, guidance_CHW, image=0):
    edges = pairs(structure.edge_BE[image], structure.width)
    return path_sums(edges, weights_along(edges, guidance_CHW), guidance_CHW[0].numel())


@pytest.mark.parametrize("backend", BACKENDS)
def test_worked_example(backend):
    numbers = ".456892 .284077 .016733 .014018 .464528 .177494 .01874 .371615 .437471 .112407 .103249 .616423"
    for dtype in TOLERANCES:
        structure = minimum_spanning_tree(IMAGE_1CHW.to(dtype), backend=backend)
        y_RCHW = TreeFilter(sigma=8.0)(MASK_1HW[None].to(dtype), structure)
        expected = [float(number) for number in numbers.split()]
        assert y_RCHW.flatten().tolist() == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("levels", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_equals_all_paths(size, levels, backend):
    """``average`` divides by its bandwidth squared, the filter does not."""
    sigma = 0.5
    guidance_BCHW, x_RCHW = images(5, 3, 2, size, levels), images(1, 5, 6, size, 0)
    for dtype, tolerance in TOLERANCES.items():
        structure = minimum_spanning_tree(guidance_BCHW.to(dtype), backend=backend)
        distance_BNN = [distances(structure, guidance_CHW, b) for b, guidance_CHW in enumerate(guidance_BCHW)]
        expected = averages(distance_BNN, sigma**0.5, x_RCHW, IMAGE_R)
        for channels in (6,) if backend == "reference" else (1, 2, 6):
            y_RCHW = TreeFilter(sigma=sigma)(x_RCHW[:, :channels].to(dtype), structure, image_R=IMAGE_R)
            assert y_RCHW.dtype == dtype
            torch.testing.assert_close(y_RCHW.double(), expected[:, :channels], rtol=0, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", SIZES)
def test_equals_all_paths_with_other_weights(size, backend):
    guidance_BCHW, x_RCHW = images(5, 3, 2, size, 0), images(1, 5, 3, size, 0)
    for dtype, tolerance in TOLERANCES.items():
        structure = minimum_spanning_tree(guidance_BCHW.to(dtype), backend=backend)
        weights = [edge_weights(x_RCHW[:, c : c + 1].to(dtype), structure, IMAGE_R) for c in range(3)]
        shared = TreeFilter(sigma=0.5)(x_RCHW.to(dtype), structure, weights[0], image_R=IMAGE_R)
        own = TreeFilter(sigma=0.5)(x_RCHW.to(dtype), structure, torch.cat(weights, 1), image_R=IMAGE_R)
        for region, image in enumerate(IMAGE_R.tolist()):
            for channel, value_HW in enumerate(x_RCHW[region]):
                for y_RCHW, guide in ((shared, 0), (own, channel)):
                    distance_NN = distances(structure, x_RCHW[region, guide : guide + 1], image)
                    expected_HW = average(distance_NN, 0.5**0.5, value_HW)
                    y_HW = y_RCHW[region, channel].double()
                    torch.testing.assert_close(y_HW, expected_HW, rtol=0, atol=tolerance)


@fixed
@given(fields(), st.sampled_from([0.002, 0.05, 0.5, 5.0]))
def test_equals_all_paths_on_any_small_grid(guidance_CHW, sigma):
    x_RCHW = like(guidance_CHW)[None]
    for backend in BACKENDS:
        structure = minimum_spanning_tree(guidance_CHW[None], backend=backend)
        expected_HW = average(distances(structure, guidance_CHW), sigma**0.5, x_RCHW[0, 0])
        y_RCHW = TreeFilter(sigma=sigma)(x_RCHW, structure)
        torch.testing.assert_close(y_RCHW[0, 0], expected_HW, rtol=0, atol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_means_of_what_is_not_negative_are_not_negative(backend):
    guidance_1CHW = field(1, 3, 12, 13, 0)[None]
    for dtype in TOLERANCES:
        x_1CHW = torch.zeros(1, 3, 12, 13, dtype=dtype)
        x_1CHW[:, :, 3, 4] = torch.tensor([1.0, 1e-30, 255.0])
        for sigma in (0.002, 0.05, 1.0, 100.0):
            y_1CHW = TreeFilter(sigma=sigma)(x_1CHW, minimum_spanning_tree(guidance_1CHW, backend=backend))
            assert (y_1CHW >= 0).all()
            assert (y_1CHW <= x_1CHW.amax(dim=(2, 3), keepdim=True)).all()
