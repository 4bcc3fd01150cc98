"""What holds for every average over a tree, whatever the image."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.affinity.global_ import GlobalPropagation
from models.affinity.spanning_tree import edge_weights, minimum_spanning_tree
from models.affinity.tree_filter import TreeFilter
from tests.models.affinity.dense import BACKENDS, field, fields, images, like

few = settings(max_examples=25, derandomize=True, deadline=None)
ZETAS = st.sampled_from([0.02, 0.1, 0.4, 3.0])
TURNS = [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.rot90(1, (-2, -1))]


def propagate(guidance_CHW, x_CHW, zeta, backend="cpu"):
    """All channels over the tree of one image."""
    structure = minimum_spanning_tree(guidance_CHW[None], backend=backend)
    return GlobalPropagation(zeta=zeta)(x_CHW[None], structure)[0]


def both(guidance_CHW, x_CHW, zeta, backend):
    """By the largest edge between pixels, and by all edges between them."""
    structure = minimum_spanning_tree(guidance_CHW[None], backend=backend)
    for operator in (GlobalPropagation(zeta=zeta), TreeFilter(sigma=zeta)):
        yield operator(x_CHW[None], structure)[0]


@few
@given(fields(max_side=5), ZETAS)
def test_is_an_average_by_a_symmetric_positive_matrix(guidance_CHW, zeta):
    size = guidance_CHW[0].numel()
    unit_CHW = torch.eye(size, dtype=torch.float64).reshape(size, *guidance_CHW.shape[1:])
    one_N = torch.ones(size, dtype=torch.float64)
    for backend in BACKENDS:
        for y_CHW in both(guidance_CHW, unit_CHW, zeta, backend):
            mean_NN = y_CHW.flatten(1).T
            torch.testing.assert_close(mean_NN.sum(dim=1), one_N, rtol=0, atol=1e-12)
            affinity_NN = mean_NN / mean_NN.diagonal()[:, None]
            torch.testing.assert_close(affinity_NN, affinity_NN.T, rtol=0, atol=1e-12)
            assert affinity_NN.min() >= -1e-12
            assert affinity_NN.max() <= 1.0 + 1e-12
            assert torch.linalg.eigvalsh((affinity_NN + affinity_NN.T) / 2).min() >= -1e-12


@few
@given(fields(), ZETAS, st.floats(-3.0, 3.0))
def test_constants_stay(guidance_CHW, zeta, level):
    constant_CHW = torch.full((1, *guidance_CHW.shape[1:]), level, dtype=torch.float64)
    for backend in BACKENDS:
        for y_CHW in both(guidance_CHW, constant_CHW, zeta, backend):
            torch.testing.assert_close(y_CHW, constant_CHW, rtol=0, atol=1e-14)
        for y_CHW in both(guidance_CHW, constant_CHW.float(), zeta, backend):
            assert torch.equal(y_CHW, constant_CHW.float())
    assert torch.equal(propagate(guidance_CHW, constant_CHW, zeta, "cpu"), constant_CHW)


@pytest.mark.parametrize("backend", BACKENDS)
@few
@given(guidance_CHW=fields(max_side=9), zeta=ZETAS, seed=st.integers(0, 99))
def test_values_never_leave_the_range_of_the_input(backend, guidance_CHW, zeta, seed):
    """Not by a rounding error: what is below zero has no logarithm."""
    x_CHW = like(guidance_CHW, seed, num=5)
    x_CHW[1] = (x_CHW[1] < 0.3).double()
    x_CHW[2:] *= torch.tensor([0.0, 1.0, 1e-3], dtype=torch.float64)[:, None, None]
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        typed_CHW = x_CHW.to(dtype)
        y_CHW = propagate(guidance_CHW, typed_CHW, zeta, backend)
        assert (y_CHW.amin(dim=(1, 2)) >= typed_CHW.amin(dim=(1, 2))).all()
        assert (y_CHW.amax(dim=(1, 2)) <= typed_CHW.amax(dim=(1, 2))).all()


@few
@given(fields(), ZETAS)
def test_is_linear_and_monotone(guidance_CHW, zeta):
    low, high = like(guidance_CHW, num=2).sort(dim=0).values
    x_CHW = torch.stack((low, high, 0.25 * low + 2.0 * high))
    for backend in BACKENDS:
        for y_low, y_high, y_mixed in both(guidance_CHW, x_CHW, zeta, backend):
            torch.testing.assert_close(y_mixed, 0.25 * y_low + 2.0 * y_high, rtol=0, atol=1e-12)
            assert (y_low <= y_high + 1e-12).all()


@few
@given(fields(), ZETAS)
def test_classes_that_sum_to_one_still_do(guidance_CHW, zeta):
    class_CHW = like(guidance_CHW, num=4).softmax(dim=0)
    one_HW = torch.ones_like(class_CHW[0])
    for backend in BACKENDS:
        for y_CHW in both(guidance_CHW, class_CHW, zeta, backend):
            torch.testing.assert_close(y_CHW.sum(dim=0), one_HW, rtol=0, atol=1e-12)


@few
@given(fields(levels=(0,)))
def test_small_bandwidths_change_nothing_where_no_neighbours_are_equal(guidance_CHW):
    x_CHW = like(guidance_CHW, num=3)
    for backend in BACKENDS:
        for y_CHW in both(guidance_CHW, x_CHW, 1e-20, backend):
            torch.testing.assert_close(y_CHW, x_CHW, rtol=0, atol=1e-12)


def test_small_bandwidths_average_flat_parts():
    guidance_CHW = torch.tensor([[[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0]]])
    x_CHW = torch.tensor([[[3.0, 6.0, 1.0, 2.0], [5.0, 9.0, 3.0, 4.0]]])
    expected_CHW = torch.tensor([[[6.0, 6.0, 2.0, 3.0], [5.0, 6.0, 2.0, 3.0]]])
    for backend in BACKENDS:
        for y_CHW in both(guidance_CHW, x_CHW, 1e-6, backend):
            torch.testing.assert_close(y_CHW, expected_CHW)


@few
@given(fields())
def test_large_bandwidths_average_everything(guidance_CHW):
    x_CHW = like(guidance_CHW, num=3)
    mean_CHW = x_CHW.mean(dim=(1, 2), keepdim=True).expand_as(x_CHW)
    for backend in BACKENDS:
        for y_CHW in both(guidance_CHW, x_CHW, 1e20, backend):
            torch.testing.assert_close(y_CHW, mean_CHW, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("levels", [1, 0])
@pytest.mark.parametrize("zeta", [1e-200, 1e-160, 1e160, 1e200])
def test_bandwidths_whose_square_is_no_number_are_bandwidths(backend, levels, zeta):
    guidance_CHW, x_CHW = field(1, 2, 5, 4, levels), field(2, 3, 5, 4, 0)
    mean_CHW = x_CHW.mean(dim=(1, 2), keepdim=True).expand_as(x_CHW)
    expected_CHW = x_CHW if levels == 0 and zeta < 1.0 else mean_CHW
    y_CHW = propagate(guidance_CHW, x_CHW, zeta, backend)
    torch.testing.assert_close(y_CHW, expected_CHW, rtol=0, atol=1e-12)


@pytest.mark.parametrize("turn", TURNS)
@few
@given(guidance_CHW=fields(), zeta=ZETAS)
def test_pixels_may_be_mirrored_and_turned_whatever_the_ties(turn, guidance_CHW, zeta):
    """A first pass does not depend on how ties are broken; codes, which break them, turn with the image."""
    x_CHW = like(guidance_CHW, num=2)
    for backend in BACKENDS:
        turned_CHW = propagate(turn(guidance_CHW), turn(x_CHW), zeta, backend)
        plain_CHW = propagate(guidance_CHW, x_CHW, zeta, backend)
        torch.testing.assert_close(turned_CHW, turn(plain_CHW), rtol=0, atol=1e-10)


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_other_weights_may_be_mirrored_and_turned_where_no_two_edges_are_equal(turn, backend):
    guidance_CHW, x_CHW = field(1, 3, 7, 6, 0), field(2, 2, 7, 6, 0)

    def second(guidance_CHW, x_CHW):
        structure = minimum_spanning_tree(guidance_CHW[None], backend=backend)
        weight_R1E = edge_weights(x_CHW[None], structure)
        for operator in (GlobalPropagation(zeta=0.3), TreeFilter(sigma=0.3)):
            yield operator(x_CHW[None], structure, weight_R1E)[0]

    results = zip(second(guidance_CHW, x_CHW), second(turn(guidance_CHW), turn(x_CHW)), strict=True)
    for plain_CHW, turned_CHW in results:
        torch.testing.assert_close(turned_CHW, turn(plain_CHW), rtol=0, atol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_regions_and_images_do_not_meet(backend):
    guidance_BCHW = torch.stack([field(seed, 3, 6, 5, levels) for seed, levels in ((1, 0), (2, 4), (3, 1))])
    image_R = torch.tensor([2, 0, 1, 0, 2])
    x_RCHW = images(4, 5, 2, (6, 5), 0)
    structure = minimum_spanning_tree(guidance_BCHW, backend=backend)
    for operator in (GlobalPropagation(zeta=0.3), TreeFilter(sigma=0.3)):
        y_RCHW = operator(x_RCHW, structure, image_R=image_R)
        for region, image in enumerate(image_R.tolist()):
            alone = minimum_spanning_tree(guidance_BCHW[image : image + 1], backend=backend)
            y_1CHW = operator(x_RCHW[region : region + 1], alone)
            torch.testing.assert_close(y_RCHW[region : region + 1], y_1CHW, rtol=0, atol=1e-14)
        order_R = torch.tensor([3, 1, 4, 0, 2])
        shuffled = operator(x_RCHW[order_R], structure, image_R=image_R[order_R])
        torch.testing.assert_close(shuffled, y_RCHW[order_R], rtol=0, atol=1e-14)
        order_B = torch.tensor([1, 2, 0])
        moved = operator(x_RCHW, structure.select(order_B), image_R=order_B.argsort()[image_R])
        torch.testing.assert_close(moved, y_RCHW, rtol=0, atol=1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_images_of_a_batch_are_as_alone_to_the_bit(backend):
    guidance_BCHW, x_BCHW = images(1, 3, 3, (9, 8), 8), images(4, 3, 5, (9, 8), 0)
    together = GlobalPropagation(zeta=0.3)(x_BCHW, minimum_spanning_tree(guidance_BCHW, backend=backend))
    for guidance_CHW, x_CHW, y_CHW in zip(guidance_BCHW, x_BCHW, together, strict=True):
        assert torch.equal(propagate(guidance_CHW, x_CHW, 0.3, backend), y_CHW)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_field_that_is_no_number_stays_visible_and_spoils_no_other(backend):
    guidance_1CHW, x_RCHW = field(1, 3, 6, 5, 0)[None], images(2, 6, 1, (6, 5), 0)
    image_R = torch.zeros(6, dtype=torch.int64)
    spoiled_RCHW = x_RCHW.clone()
    spoiled_RCHW[2, 0, 3, 2] = torch.nan
    structure = minimum_spanning_tree(guidance_1CHW, backend=backend)
    kept_R = torch.tensor([0, 1, 3, 4, 5])
    for operator in (GlobalPropagation(zeta=0.4), TreeFilter(sigma=0.4)):
        y_RCHW = operator(spoiled_RCHW, structure, image_R=image_R)
        assert y_RCHW[2].isnan().any()
        if backend != "reference":  # one matrix product for all regions may round otherwise
            assert torch.equal(y_RCHW[kept_R], operator(x_RCHW, structure, image_R=image_R)[kept_R])
        assert y_RCHW[kept_R].isfinite().all()
