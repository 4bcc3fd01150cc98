import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.global_ import GlobalPropagation
from models.affinity.spanning_tree import SpanningTree, minimum_spanning_tree, structure_of
from tests.models.affinity.dense import (
    IMAGE_1CHW,
    MASK_1HW,
    average,
    field,
    fields,
    fixed,
    golden,
    grid_bottlenecks,
    like,
    tree_bottlenecks,
)

ZETAS = st.sampled_from([0.02, 0.1, 0.4, 3.0])


def propagate(guidance_CHW, value_RHW, zeta):
    """Every field over the tree of one image."""
    structure = structure_of(minimum_spanning_tree(guidance_CHW[None]), guidance_CHW[None])
    return GlobalPropagation(zeta=zeta)(structure, value_RHW, torch.zeros(len(value_RHW), dtype=torch.int64))


@pytest.mark.parametrize(
    ("zeta", "expected"),
    [
        (
            2.0,
            ".43555 .22556 .016155 .019716 .43555 .22556 .016155 .268879 .381392 .200328 .200328 .73058",
        ),
        (
            6.0,
            ".254847 .238976 .203948 .205927 .254847 .238976 .203948 .292556 .251864 .236935 .236935 .311423",
        ),
    ],
)
def test_worked_example(zeta, expected):
    out = propagate(IMAGE_1CHW[0], MASK_1HW, zeta).flatten().tolist()
    assert out == pytest.approx([float(number) for number in expected.split()], abs=6e-7)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_published_outputs(number):
    file = golden(f"apro_global_{number}")
    image_BCHW, value_BHW = file["image"], file["x"][:, 0]
    own_B = torch.arange(len(image_BCHW))
    low, high = (GlobalPropagation(zeta=file[name].item()) for name in ("zeta_low", "zeta_high"))
    first_BHW = low(structure_of(minimum_spanning_tree(image_BCHW), image_BCHW), value_BHW, own_B)
    torch.testing.assert_close(first_BHW, file["y_low"][:, 0], rtol=0, atol=2e-3)
    tree = SpanningTree(edge_BE2=file["tree"], height=image_BCHW.shape[2], width=image_BCHW.shape[3])
    second_BHW = high(structure_of(tree, file["y_low"]), file["y_low"][:, 0], own_B)
    torch.testing.assert_close(second_BHW, file["y_high"][:, 0], rtol=0, atol=2e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (5, 7), (16, 13)])
@pytest.mark.parametrize("levels", [0, 1, 3, 256], ids=["random", "constant", "ties", "8 bits"])
@pytest.mark.parametrize("zeta", [0.05, 0.4])
def test_equals_all_pairs_over_the_grid(size, levels, zeta):
    guidance_CHW = field(5, 2, *size, levels)
    value_RHW = like(guidance_CHW)
    expected = average(grid_bottlenecks(guidance_CHW), zeta, value_RHW[0])
    torch.testing.assert_close(propagate(guidance_CHW, value_RHW, zeta)[0], expected, rtol=0, atol=1e-10)
    single = propagate(guidance_CHW, value_RHW.float(), zeta)[0]
    torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-5)


@fixed
@given(fields(), ZETAS)
def test_equals_all_pairs_over_any_small_grid(guidance_CHW, zeta):
    value_RHW = like(guidance_CHW)
    expected = average(grid_bottlenecks(guidance_CHW), zeta, value_RHW[0])
    torch.testing.assert_close(propagate(guidance_CHW, value_RHW, zeta)[0], expected, rtol=0, atol=1e-10)


@fixed
@given(fields(), st.integers(0, 2**31), ZETAS)
def test_equals_all_pairs_with_other_weights_on_the_tree(guidance_CHW, seed, zeta):
    tree, other_CHW = minimum_spanning_tree(guidance_CHW[None]), field(seed, 1, *guidance_CHW.shape[1:], 0)
    value_RHW = like(guidance_CHW)
    zero = torch.zeros(1, dtype=torch.int64)
    out = GlobalPropagation(zeta=zeta)(structure_of(tree, other_CHW[None]), value_RHW, zero)
    expected = average(tree_bottlenecks(tree.edge_BE2[0], other_CHW), zeta, value_RHW[0])
    torch.testing.assert_close(out[0], expected, rtol=0, atol=1e-10)


@fixed
@given(fields(max_side=5), ZETAS)
def test_is_an_average_by_a_symmetric_positive_matrix(guidance_CHW, zeta):
    size = guidance_CHW[0].numel()
    unit_RHW = torch.eye(size, dtype=torch.float64).reshape(size, *guidance_CHW.shape[1:])
    mean_NN = propagate(guidance_CHW, unit_RHW, zeta).flatten(1).T
    torch.testing.assert_close(mean_NN.sum(dim=1), torch.ones(size, dtype=torch.float64), rtol=0, atol=1e-12)
    affinity_NN = mean_NN / mean_NN.diagonal()[:, None]
    torch.testing.assert_close(affinity_NN, affinity_NN.T, rtol=1e-9, atol=1e-12)
    assert affinity_NN.min() >= 0.0
    assert affinity_NN.max() <= 1.0 + 1e-12
    assert torch.linalg.eigvalsh((affinity_NN + affinity_NN.T) / 2).min() >= -1e-12


@fixed
@given(fields(), ZETAS, st.floats(-3.0, 3.0))
def test_constants_stay(guidance_CHW, zeta, level):
    constant_RHW = torch.full((1, *guidance_CHW.shape[1:]), level, dtype=torch.float64)
    torch.testing.assert_close(propagate(guidance_CHW, constant_RHW, zeta), constant_RHW, rtol=0, atol=1e-14)


@fixed
@given(fields(), ZETAS, st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]))
def test_values_never_leave_the_range_of_the_input(guidance_CHW, zeta, dtype):
    value_RHW = like(guidance_CHW, num=3).round().to(dtype)
    value_RHW[0] = 0.0
    value_RHW[1] = 1.0
    out_RHW = propagate(guidance_CHW, value_RHW, zeta)
    assert (out_RHW.amin(dim=(1, 2)) >= value_RHW.amin(dim=(1, 2))).all()
    assert (out_RHW.amax(dim=(1, 2)) <= value_RHW.amax(dim=(1, 2))).all()


@fixed
@given(fields(), ZETAS)
def test_is_linear_and_monotone(guidance_CHW, zeta):
    low, high = like(guidance_CHW, num=2).sort(dim=0).values
    mixed = 0.25 * low + 2.0 * high
    out_low, out_high, out_mixed = propagate(guidance_CHW, torch.stack((low, high, mixed)), zeta)
    torch.testing.assert_close(out_mixed, 0.25 * out_low + 2.0 * out_high, rtol=0, atol=1e-12)
    assert (out_low <= out_high + 1e-12).all()


@fixed
@given(fields(), ZETAS)
def test_classes_that_sum_to_one_still_do(guidance_CHW, zeta):
    class_RHW = like(guidance_CHW, num=4).softmax(dim=0)
    total_HW = propagate(guidance_CHW, class_RHW, zeta).sum(dim=0)
    torch.testing.assert_close(total_HW, torch.ones_like(total_HW), rtol=0, atol=1e-12)


@fixed
@given(fields(levels=(0, 1, 2, 4)))
def test_narrow_bandwidth_averages_flat_zones_and_wide_bandwidth_everything(guidance_CHW):
    value_RHW = like(guidance_CHW)
    same_NN = torch.from_numpy(grid_bottlenecks(guidance_CHW) == 0.0).double()
    zone_N = same_NN @ value_RHW[0].flatten() / same_NN.sum(dim=1)
    narrow = propagate(guidance_CHW, value_RHW, 1e-6)[0].flatten()
    torch.testing.assert_close(narrow, zone_N, rtol=0, atol=1e-12)
    wide = propagate(guidance_CHW, value_RHW, 1e6)
    torch.testing.assert_close(wide, value_RHW.mean().expand_as(wide), rtol=0, atol=1e-10)


SYMMETRIES = {
    "mirror columns": lambda pixels: pixels.flip(-1),
    "mirror rows": lambda pixels: pixels.flip(-2),
    "quarter turn": lambda pixels: pixels.rot90(1, (-2, -1)),
    "transpose": lambda pixels: pixels.transpose(-2, -1),
}


@pytest.mark.parametrize("symmetry", SYMMETRIES.values(), ids=SYMMETRIES)
@fixed
@given(fields())
def test_pixels_may_be_mirrored_and_turned(symmetry, guidance_CHW):
    value_RHW = like(guidance_CHW)
    expected = symmetry(propagate(guidance_CHW, value_RHW, 0.3))
    turned = propagate(symmetry(guidance_CHW), symmetry(value_RHW), 0.3)
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-12)


@fixed
@given(fields(), st.randoms(use_true_random=False))
def test_order_of_channels_and_a_shift_of_colours_do_not_matter(guidance_CHW, random):
    order = random.sample(range(len(guidance_CHW)), len(guidance_CHW))
    value_RHW = like(guidance_CHW)
    other = propagate(guidance_CHW[order] + 0.5, value_RHW, 0.3)
    torch.testing.assert_close(other, propagate(guidance_CHW, value_RHW, 0.3), rtol=0, atol=1e-9)


def test_regions_on_one_structure_equal_regions_alone():
    guidance_BCHW = torch.stack([field(seed, 3, 9, 8, levels) for seed, levels in enumerate((0, 4, 1))])
    value_RHW, image_R = field(7, 5, 9, 8, 0), torch.tensor([2, 0, 1, 0, 0])
    propagation = GlobalPropagation(zeta=0.2)
    out = propagation(structure_of(minimum_spanning_tree(guidance_BCHW), guidance_BCHW), value_RHW, image_R)
    for region, image in enumerate(image_R.tolist()):
        alone = propagate(guidance_BCHW[image], value_RHW[region : region + 1], 0.2)
        assert torch.equal(out[region], alone[0])
    order = torch.tensor([4, 2, 0, 3, 1])
    again = propagation(
        structure_of(minimum_spanning_tree(guidance_BCHW), guidance_BCHW), value_RHW[order], image_R[order]
    )
    assert torch.equal(again, out[order])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_sums_are_float64_whatever_the_type(dtype):
    guidance_CHW, value_RHW = field(1, 3, 7, 6, 0).to(dtype), field(2, 2, 7, 6, 0).to(dtype)
    out = propagate(guidance_CHW, value_RHW, 0.3)
    assert out.dtype == dtype
    assert torch.equal(out, propagate(guidance_CHW.double(), value_RHW.double(), 0.3).to(dtype))


def test_memory_layout_does_not_matter_and_arguments_stay():
    guidance_CHW, value_RHW = field(1, 3, 7, 6, 0), field(2, 2, 7, 6, 0)
    expected, copy = propagate(guidance_CHW, value_RHW, 0.3), value_RHW.clone()
    strided = value_RHW.repeat_interleave(2, dim=2)[..., ::2]
    turned = value_RHW.transpose(1, 2).contiguous().transpose(1, 2)
    for same in (strided, turned, torch.stack((value_RHW, value_RHW), dim=3)[..., 1]):
        assert not same.is_contiguous()
        assert torch.equal(propagate(guidance_CHW, same, 0.3), expected)
    assert torch.equal(value_RHW, copy)


def test_repeats_to_the_bit_with_any_number_of_threads():
    guidance_CHW, value_RHW = field(1, 3, 24, 20, 16), field(2, 3, 24, 20, 0)
    expected, before = propagate(guidance_CHW, value_RHW, 0.3), torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert all(torch.equal(propagate(guidance_CHW, value_RHW, 0.3), expected) for _ in range(4))
    finally:
        torch.set_num_threads(before)
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: propagate(guidance_CHW, value_RHW, 0.3), range(12)):
            assert torch.equal(result, expected)


def test_result_carries_no_gradient():
    guidance_CHW, value_RHW = (field(seed, 2, 4, 5, 0).requires_grad_() for seed in (1, 2))
    out = propagate(guidance_CHW, value_RHW, 0.3)
    assert not out.requires_grad
    (value_RHW - out).abs().sum().backward()
    assert guidance_CHW.grad is None
    assert torch.equal(value_RHW.grad, torch.sign(value_RHW.detach() - out))


def test_no_region_is_no_result():
    assert propagate(field(1, 3, 4, 5, 0), torch.zeros(0, 4, 5), 0.3).shape == (0, 4, 5)


@pytest.mark.parametrize("zeta", [0.0, -1.0, float("nan")])
def test_bandwidth_must_be_positive(zeta):
    with pytest.raises(ValueError, match=f"^zeta must be positive, got {zeta}\\.$"):
        GlobalPropagation(zeta=zeta)


def test_sizes_that_differ_are_refused():
    guidance_CHW = field(1, 1, 6, 5, 0)
    message = "value_RHW must have 6x5 pixels, got (2, 5, 6)."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        propagate(guidance_CHW, torch.zeros(2, 5, 6), 0.2)
    structure = structure_of(minimum_spanning_tree(guidance_CHW[None]), guidance_CHW[None])
    with pytest.raises(ValueError, match=r"^image_R must name the image of 2 regions, got 1\.$"):
        GlobalPropagation(zeta=0.2)(structure, torch.zeros(2, 6, 5), torch.tensor([0]))
