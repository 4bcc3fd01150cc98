"""Global propagation against whole matrices, numbers worked out by hand, and the published implementation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.fast.boruvka import grid_weights, spanning_tree_edges
from models.affinity.global_ import GlobalPropagation
from models.affinity.spanning_tree import edge_weights, minimum_spanning_tree
from tests.models.affinity.dense import (
    BACKENDS,
    IMAGE_1CHW,
    KINDS,
    MASK_1HW,
    SIZES,
    average,
    averages,
    bottlenecks,
    codes,
    field,
    fields,
    fixed,
    golden,
    grid_bottlenecks,
    images,
    like,
    pairs,
    structure_on,
)

# Regions of three images: not in order, an image twice, another thrice, one not at all.
IMAGE_R = torch.tensor([2, 0, 2, 0, 2])
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}
ZETAS = st.sampled_from([0.02, 0.1, 0.4, 3.0])
NUMBERS = {
    2.0: ".43555 .22556 .016155 .019716 .43555 .22556 .016155 .268879 .381392 .200328 .200328 .73058",
    6.0: ".254847 .238976 .203948 .205927 .254847 .238976 .203948 .292556 .251864 .236935 .236935 .311423",
}


def on_tree(structure, weight_RE, image_R):
    """Bottlenecks of other weights along the trees of a structure, one matrix a row of weights."""
    edges = [pairs(structure.edge_BE[image], structure.width) for image in image_R.tolist()]
    num_pixels = structure.edge_BE.shape[1] + 1
    rows = zip(edges, weight_RE.tolist(), strict=True)
    return [bottlenecks(tree, weights, num_pixels) for tree, weights in rows]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("zeta", NUMBERS)
def test_worked_example(backend, zeta):
    for dtype in TOLERANCES:
        structure = minimum_spanning_tree(IMAGE_1CHW.to(dtype), backend=backend)
        y_RCHW = GlobalPropagation(zeta=zeta)(MASK_1HW[None].to(dtype), structure)
        expected = [float(number) for number in NUMBERS[zeta].split()]
        assert y_RCHW.flatten().tolist() == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_row_sums_of_the_worked_example(backend):
    """A pixel keeps one over its row sum of its own value."""
    sums = "4.084313 3.26247 2.275137 1.864215 4.084313 3.26247 2.275137 1.369114 "
    sums += "4.084313 3.673392 3.673392 1.369114"
    unit_1CHW = torch.eye(12, dtype=torch.float64).reshape(1, 12, 3, 4)
    y_1CHW = GlobalPropagation(zeta=2.0)(unit_1CHW, minimum_spanning_tree(IMAGE_1CHW, backend=backend))
    own_N = y_1CHW.reshape(12, 12).diagonal()
    assert (1.0 / own_N).tolist() == pytest.approx([float(number) for number in sums.split()], abs=6e-7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("levels", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_equals_all_pairs_over_the_grid(size, levels, backend):
    guidance_BCHW = images(5, 3, 2, size, levels)
    distance_BNN = [grid_bottlenecks(guidance_CHW) for guidance_CHW in guidance_BCHW]
    x_RCHW = images(1, 5, 9, size, 0)
    expected = averages(distance_BNN, 0.4, x_RCHW, IMAGE_R)
    for dtype, tolerance in TOLERANCES.items():
        structure = minimum_spanning_tree(guidance_BCHW.to(dtype), backend=backend)
        for channels in (9,) if backend == "reference" else (1, 2, 3, 5, 9):
            y_RCHW = GlobalPropagation(zeta=0.4)(x_RCHW[:, :channels].to(dtype), structure, image_R=IMAGE_R)
            assert y_RCHW.dtype == dtype
            torch.testing.assert_close(y_RCHW.double(), expected[:, :channels], rtol=0, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("levels", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("size", SIZES[:-1])
def test_equals_all_pairs_with_other_weights_on_the_tree(size, levels, backend):
    guidance_BCHW, x_RCHW = images(5, 3, 2, size, 0), images(1, 5, 3, size, 0)
    num_edges = size[0] * size[1] - 1
    draw_K1E = torch.cat([field(seed, 1, 1, num_edges, levels) for seed in range(15)]) if num_edges else None
    for dtype, tolerance in TOLERANCES.items():
        structure = minimum_spanning_tree(guidance_BCHW.to(dtype), backend=backend)
        weight_KE = torch.zeros(15, 0) if draw_K1E is None else draw_K1E[:, 0]
        shared, own = weight_KE[:5, None].to(dtype), weight_KE.reshape(5, 3, -1).to(dtype)
        distance_RNN = on_tree(structure, shared[:, 0], IMAGE_R)
        y_RCHW = GlobalPropagation(zeta=0.4)(x_RCHW.to(dtype), structure, shared, image_R=IMAGE_R)
        expected = averages(distance_RNN, 0.4, x_RCHW, torch.arange(5))
        torch.testing.assert_close(y_RCHW.double(), expected, rtol=0, atol=tolerance)
        y_RCHW = GlobalPropagation(zeta=0.4)(x_RCHW.to(dtype), structure, own, image_R=IMAGE_R)
        for channel in range(3):
            distance_RNN = on_tree(structure, own[:, channel], IMAGE_R)
            expected = averages(distance_RNN, 0.4, x_RCHW[:, channel : channel + 1], torch.arange(5))
            torch.testing.assert_close(y_RCHW[:, channel, None].double(), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS[1:])
@pytest.mark.parametrize("channels", [*range(1, 14), 32])
def test_any_number_of_channels_shares_a_tree(backend, channels):
    guidance_1CHW = field(5, 3, 11, 9, 0)[None]
    x_1CHW = field(2, channels, 11, 9, 0)[None]
    distance_NN = grid_bottlenecks(guidance_1CHW[0])
    expected = torch.stack([average(distance_NN, 0.3, value_HW) for value_HW in x_1CHW[0]])[None]
    for dtype, tolerance in TOLERANCES.items():
        structure = minimum_spanning_tree(guidance_1CHW.to(dtype), backend=backend)
        y_1CHW = GlobalPropagation(zeta=0.3)(x_1CHW.to(dtype), structure)
        torch.testing.assert_close(y_1CHW.double(), expected, rtol=0, atol=tolerance)


@fixed
@given(fields(), ZETAS)
def test_equals_all_pairs_over_any_small_grid(guidance_CHW, zeta):
    x_RCHW = like(guidance_CHW)[None]
    expected = average(grid_bottlenecks(guidance_CHW), zeta, x_RCHW[0, 0])
    for backend in BACKENDS:
        structure = minimum_spanning_tree(guidance_CHW[None], backend=backend)
        y_RCHW = GlobalPropagation(zeta=zeta)(x_RCHW, structure)
        torch.testing.assert_close(y_RCHW[0, 0], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("backend", ["cpu", "torch"])
@pytest.mark.parametrize(
    ("number", "low_error", "high_error"),
    [(0, 2e-6, 2e-6), (1, 2e-6, 2e-6), (2, 2e-6, 2e-6), (3, 1e-5, 5e-4)],
)
def test_published_outputs(number, low_error, high_error, backend):
    """Their sums are float32, which may err by 2e-3; the largest file, of 96x128 pixels, shows most of it."""
    file = golden(f"apro_global_{number}")
    low, high = (GlobalPropagation(zeta=file[name].item()) for name in ("zeta_low", "zeta_high"))
    size = tuple(file["image"].shape[2:])
    y_low = low(file["x"], minimum_spanning_tree(file["image"], backend=backend))
    torch.testing.assert_close(y_low, file["y_low"], rtol=0, atol=low_error)
    edge_BE = torch.stack([codes(edge_E2, size) for edge_E2 in file["tree"]])
    published = structure_on(edge_BE, torch.zeros(edge_BE.shape), size, backend)
    y_high = high(file["y_low"], published, edge_weights(file["y_low"], published))
    torch.testing.assert_close(y_high, file["y_high"], rtol=0, atol=high_error)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_trees_of_weights_plus_one_change_the_first_pass_little(number):
    """The release adds one in float32 before it builds the tree, and weighs its edges without."""
    file = golden(f"apro_global_{number}")
    size, zeta = tuple(file["image"].shape[2:]), file["zeta_low"].item()
    weight_BM = grid_weights(file["image"])
    edge_BE = spanning_tree_edges(weight_BM + 1.0, *size)
    rounded = structure_on(edge_BE, torch.zeros(edge_BE.shape), size)
    y_RCHW = GlobalPropagation(zeta=zeta)(file["x"], rounded, edge_weights(file["image"], rounded))
    torch.testing.assert_close(y_RCHW, file["y_low"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("seed", range(3))
def test_on_photographs_of_256_levels_weights_plus_one_make_ties_that_hardly_show(seed):
    """Squares of 1 / 255 are above the spacing of float32 numbers near one; small steps fall together."""
    smooth_1CHW = torch.nn.functional.avg_pool2d(field(seed, 3, 44, 43, 0)[None].float(), 5, 1)
    edge_BE = spanning_tree_edges(grid_weights(smooth_1CHW) + 1.0, 40, 39)
    exact = minimum_spanning_tree(smooth_1CHW)
    rounded = structure_on(edge_BE, torch.zeros(edge_BE.shape), (40, 39))
    x_1CHW = like(smooth_1CHW[0])[None].float()
    for zeta in (0.01, 0.05, 0.2):
        operator = GlobalPropagation(zeta=zeta)
        theirs = operator(x_1CHW, rounded, edge_weights(smooth_1CHW, rounded))
        torch.testing.assert_close(theirs, operator(x_1CHW, exact), rtol=0, atol=2e-3)
