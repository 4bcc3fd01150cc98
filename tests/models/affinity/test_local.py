import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.local import LocalPropagation
from tests.models.affinity.dense import (
    BOX_1HW,
    IMAGE_1CHW,
    MASK_1HW,
    field,
    fields,
    fixed,
    golden,
    like,
    sweeps,
    window_matrix,
)


def propagate(guidance_CHW, value_RHW, inside_RHW, *, kernel_size=3, zeta=0.3, iterations=4):
    """Every field over the windows of one image."""
    local = LocalPropagation(kernel_size=kernel_size, zeta=zeta, iterations=iterations)
    image_R = torch.zeros(len(value_RHW), dtype=torch.int64)
    return local.propagate(local.affinity(guidance_CHW[None]), value_RHW, inside_RHW, image_R)


@pytest.mark.parametrize(
    ("iterations", "expected"),
    [
        (1, ".700487 .483308 0 0 .460519 .158901 0 0 .429763 .023212 0 0"),
        (20, ".312389 .308029 .026551 0 .31089 .2848 .040138 0 .312138 .255031 .239327 0"),
    ],
)
def test_worked_example(iterations, expected):
    out = propagate(IMAGE_1CHW[0], MASK_1HW, BOX_1HW, zeta=3.0, iterations=iterations)
    assert out.flatten().tolist() == pytest.approx([float(x) for x in expected.split()], abs=6e-7)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_published_outputs(number):
    file = golden(f"apro_local_{number}")
    settings = {name: file[name].item() for name in ("kernel_size", "zeta", "iterations")}
    local = LocalPropagation(**settings)
    inside_BHW = file.get("mask", torch.ones_like(file["x"]))
    own_B = torch.arange(len(file["x"]))
    out = local.propagate(local.affinity(file["image"]), file["x"], inside_BHW, own_B)
    torch.testing.assert_close(out, file["y"], rtol=0, atol=2e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1), (5, 7), (16, 13)])
@pytest.mark.parametrize("levels", [0, 1, 256], ids=["random", "constant", "8 bits"])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 9])
def test_equals_the_matrix(size, levels, kernel_size):
    guidance_CHW = field(5, 3, *size, levels)
    value_RHW, inside_RHW = like(guidance_CHW, seed=1), like(guidance_CHW, seed=2)
    out = propagate(guidance_CHW, value_RHW, inside_RHW, kernel_size=kernel_size)
    expected = sweeps(window_matrix(guidance_CHW, kernel_size, 0.3), 4, inside_RHW[0], value_RHW[0])
    torch.testing.assert_close(out[0], expected, rtol=0, atol=1e-12)


@fixed
@given(fields(), st.sampled_from([1, 3, 7]), st.sampled_from([0.02, 0.3, 5.0]))
def test_affinities_sum_to_one_and_none_is_negative(guidance_CHW, kernel_size, zeta):
    local = LocalPropagation(kernel_size=kernel_size, zeta=zeta, iterations=1)
    affinity_HWK = local.affinity(guidance_CHW[None])[0]
    assert affinity_HWK.shape == (*guidance_CHW.shape[1:], kernel_size**2)
    assert affinity_HWK.min() >= 0.0
    total_HW = affinity_HWK.sum(dim=2)
    torch.testing.assert_close(total_HW, torch.ones_like(total_HW), rtol=0, atol=1e-12)


@fixed
@given(fields(), st.floats(0.0, 1.0))
def test_constants_stay_where_nothing_is_outside(guidance_CHW, level):
    constant_RHW = torch.full((1, *guidance_CHW.shape[1:]), level, dtype=torch.float64)
    out = propagate(guidance_CHW, constant_RHW, torch.ones_like(constant_RHW), iterations=20)
    torch.testing.assert_close(out, constant_RHW, rtol=0, atol=1e-13)


@fixed
@given(fields(), st.sampled_from([3, 5]))
def test_values_stay_in_range_where_nothing_is_outside(guidance_CHW, kernel_size):
    value_RHW = like(guidance_CHW)
    out = propagate(guidance_CHW, value_RHW, torch.ones_like(value_RHW), kernel_size=kernel_size)
    assert out.min() >= value_RHW.min() - 1e-13
    assert out.max() <= value_RHW.max() + 1e-13


@fixed
@given(fields())
def test_a_box_drains_is_zero_outside_and_never_grows(guidance_CHW):
    value_RHW = like(guidance_CHW, seed=1)
    inside_RHW = (like(guidance_CHW, seed=2) > 0.4).double()
    before = (value_RHW * inside_RHW).max()
    for iterations in (0, 1, 2, 5, 20):
        out = propagate(guidance_CHW, value_RHW, inside_RHW, iterations=iterations)
        assert (out[inside_RHW == 0.0] == 0.0).all()
        assert out.min() >= 0.0
        assert out.max() <= before + 1e-13
        before = out.max()


def test_what_lies_outside_the_box_is_never_read():
    guidance_CHW, inside_RHW = field(1, 3, 6, 5, 0), torch.zeros(1, 6, 5)
    inside_RHW[:, 1:4, 1:3] = 1.0
    value_RHW = field(2, 1, 6, 5, 0)
    other_RHW = torch.where(inside_RHW > 0.0, value_RHW, 77.0)
    assert torch.equal(
        propagate(guidance_CHW, value_RHW, inside_RHW), propagate(guidance_CHW, other_RHW, inside_RHW)
    )


def test_soft_boxes_multiply_in_each_sweep():
    ones_RHW = torch.ones(1, 4, 4, dtype=torch.float64)
    for iterations in (0, 1, 3):
        out = propagate(field(1, 1, 4, 4, 1), ones_RHW, 0.5 * ones_RHW, iterations=iterations)
        torch.testing.assert_close(out, ones_RHW * 0.5 ** (iterations + 1), rtol=1e-13, atol=0)


def test_a_window_of_one_pixel_changes_nothing():
    guidance_CHW, value_RHW = field(1, 3, 6, 5, 0), field(2, 2, 6, 5, 0)
    out = propagate(guidance_CHW, value_RHW, torch.ones_like(value_RHW), kernel_size=1)
    assert torch.equal(out, value_RHW)


def test_the_edge_of_the_image_is_no_sink():
    """A corner averages the four pixels that exist; zero padding would halve it."""
    value_RHW = torch.full((1, 2, 2), 0.5, dtype=torch.float64)
    value_RHW[0, 0, 0] = 0.9
    out = propagate(torch.zeros(1, 2, 2), value_RHW, torch.ones(1, 2, 2), iterations=1)
    torch.testing.assert_close(out, torch.full_like(out, 0.6), rtol=1e-14, atol=0)


@pytest.mark.parametrize("turn", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.rot90(1, (-2, -1))])
@fixed
@given(fields())
def test_pixels_may_be_mirrored_and_turned(turn, guidance_CHW):
    value_RHW, inside_RHW = like(guidance_CHW, seed=1), like(guidance_CHW, seed=2)
    expected = turn(propagate(guidance_CHW, value_RHW, inside_RHW))
    turned = propagate(turn(guidance_CHW), turn(value_RHW), turn(inside_RHW))
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-13)


def test_regions_on_one_affinity_equal_regions_alone():
    guidance_BCHW = torch.stack([field(seed, 3, 9, 8, 0) for seed in range(3)])
    value_RHW, inside_RHW = field(7, 4, 9, 8, 0), field(8, 4, 9, 8, 2)
    local, image_R = LocalPropagation(kernel_size=3, zeta=0.3, iterations=4), torch.tensor([2, 0, 1, 0])
    out = local.propagate(local.affinity(guidance_BCHW), value_RHW, inside_RHW, image_R)
    for region, image in enumerate(image_R.tolist()):
        part = slice(region, region + 1)
        assert torch.equal(out[part], propagate(guidance_BCHW[image], value_RHW[part], inside_RHW[part]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_sums_are_float64_whatever_the_type_and_layout(dtype):
    guidance_CHW, value_RHW = field(1, 3, 7, 6, 0).to(dtype), field(2, 2, 7, 6, 0).to(dtype)
    inside_RHW = field(3, 2, 7, 6, 0).to(dtype)
    out = propagate(guidance_CHW, value_RHW, inside_RHW)
    assert out.dtype == dtype
    exact = propagate(guidance_CHW.double(), value_RHW.double(), inside_RHW.double())
    assert torch.equal(out, exact.to(dtype))
    strided = [field_.repeat_interleave(2, dim=2)[..., ::2] for field_ in (guidance_CHW, value_RHW)]
    assert torch.equal(propagate(*strided, inside_RHW), out)


def test_repeats_to_the_bit_and_carries_no_gradient():
    guidance_CHW, value_RHW = (field(seed, 3, 12, 11, 0).requires_grad_() for seed in (1, 2))
    results = [propagate(guidance_CHW, value_RHW, torch.ones(3, 12, 11)) for _ in range(10)]
    assert all(torch.equal(result, results[0]) for result in results)
    assert not results[0].requires_grad


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": 4, "zeta": 0.1, "iterations": 1}, "kernel_size must be odd and positive, got 4."),
        ({"kernel_size": -1, "zeta": 0.1, "iterations": 1}, "kernel_size must be odd and positive, got -1."),
        ({"kernel_size": 3, "zeta": 0.0, "iterations": 1}, "zeta must be positive, got 0.0."),
        ({"kernel_size": 3, "zeta": 0.1, "iterations": -1}, "iterations must not be negative, got -1."),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        LocalPropagation(**settings)


def test_a_colour_that_is_no_number_names_the_image():
    guidance_BCHW = torch.zeros(2, 1, 3, 3)
    guidance_BCHW[1, 0, 0, 0] = torch.nan
    message = "guidance_BCHW[1] must be finite, got nan in 1 of 9 values."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        LocalPropagation(kernel_size=3, zeta=0.1, iterations=1).affinity(guidance_BCHW)


@pytest.mark.parametrize(
    ("affinity", "value", "inside", "regions", "message"),
    [
        (
            (1, 4, 4, 9),
            (1, 6, 6),
            (1, 6, 6),
            1,
            "affinity_BHWK must have shape (B, 6, 6, 9), got (1, 4, 4, 9).",
        ),
        (
            (1, 6, 6, 25),
            (1, 6, 6),
            (1, 6, 6),
            1,
            "affinity_BHWK must have shape (B, 6, 6, 9), got (1, 6, 6, 25).",
        ),
        ((1, 6, 6, 9), (2, 6, 6), (1, 6, 6), 2, "inside_RHW must have shape (2, 6, 6), got (1, 6, 6)."),
        ((1, 6, 6, 9), (2, 6, 6), (2, 6, 6), 1, "image_R must name the image of 2 regions, got 1."),
    ],
)
def test_sizes_that_differ_are_refused(affinity, value, inside, regions, message):
    local = LocalPropagation(kernel_size=3, zeta=0.1, iterations=1)
    image_R = torch.zeros(regions, dtype=torch.int64)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        local.propagate(
            torch.zeros(affinity, dtype=torch.float64), torch.zeros(value), torch.zeros(inside), image_R
        )
