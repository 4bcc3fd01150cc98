"""What local propagation takes, refuses, repeats and differentiates."""

import re

import pytest
import torch

from models.affinity.local import LocalPropagation
from tests.models.affinity.dense import (
    field,
)
from tests.models.affinity.local_cases import FAST, HERE, propagate


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("detach", [True, False])
def test_no_region_gives_an_empty_result(backend, detach):
    local = LocalPropagation(kernel_size=3, zeta=0.3, iterations=4, detach=detach)
    guidance_BCHW, image_R = field(1, 3, 5, 4, 0)[None], torch.zeros(0, dtype=torch.int64)
    out = local(torch.zeros(0, 2, 5, 4), guidance_BCHW, image_R=image_R, backend=backend)
    assert out.shape == (0, 2, 5, 4)
    empty_BCHW = local(torch.zeros(0, 1, 5, 4), torch.zeros(0, 3, 5, 4), backend=backend)
    assert empty_BCHW.shape == (0, 1, 5, 4)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_sums_are_wide_whatever_the_type_and_layout(dtype, backend):
    guidance_CHW, value_RHW = field(1, 3, 7, 6, 0).to(dtype), field(2, 2, 7, 6, 0).to(dtype)
    inside_RHW = field(3, 2, 7, 6, 0).to(dtype)
    out = propagate(guidance_CHW, value_RHW, inside_RHW, backend=backend)
    assert out.dtype == dtype
    wide = propagate(guidance_CHW.float(), value_RHW.float(), inside_RHW.float(), backend=backend)
    assert torch.equal(out, wide.to(dtype))
    arguments = (field_.mT.contiguous().mT for field_ in (guidance_CHW, value_RHW, inside_RHW))
    assert torch.equal(propagate(*arguments, backend=backend), out)
    stepped = (field_.repeat_interleave(2, dim=2)[..., ::2] for field_ in (guidance_CHW, value_RHW))
    assert torch.equal(propagate(*stepped, inside_RHW.flip(2).flip(2), backend=backend), out)


@pytest.mark.parametrize("backend", FAST)
def test_a_guidance_in_float64_or_bytes_is_taken_as_it_is(backend):
    value_RHW = field(2, 2, 7, 6, 0).float()
    bytes_CHW = (field(1, 3, 7, 6, 256) * 255).round().byte()
    exact = propagate(bytes_CHW.double(), value_RHW.double(), zeta=80.0, backend="reference")
    out = propagate(bytes_CHW.double(), value_RHW, zeta=80.0, backend=backend)
    assert torch.equal(out, exact.float())
    out = propagate(bytes_CHW, value_RHW, zeta=80.0, backend=backend)
    torch.testing.assert_close(out, exact.float(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", ["auto", *HERE])
def test_arguments_are_left_as_they_are_and_the_result_is_detached(backend):
    arguments = [field(seed, 1, 12, 11, 0)[None].requires_grad_() for seed in (1, 2, 3)]
    copies = [argument.detach().clone() for argument in arguments]
    for iterations in (0, 1):
        local = LocalPropagation(kernel_size=3, zeta=0.3, iterations=iterations)
        out = local(*arguments, backend=backend)
        assert not out.requires_grad
        out.zero_()
        assert all(torch.equal(argument, copy) for argument, copy in zip(arguments, copies, strict=True))


def test_repeats_to_the_bit_with_any_number_of_threads():
    """One tall box is cut into strips where threads are idle; three boxes are dealt to two threads."""
    x_RCHW, guidance_BCHW = field(2, 3, 61, 37, 0)[:, None].float(), field(1, 3, 61, 37, 0)[None].float()
    mask_RCHW = torch.zeros(3, 1, 61, 37)
    mask_RCHW[0, :, 1:60, 2:30], mask_RCHW[1, :, 5:20], mask_RCHW[2] = 1.0, 1.0, 0.5
    local, image_R = LocalPropagation(kernel_size=5, zeta=0.3, iterations=6), torch.zeros(3).long()
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3) * 4:
            torch.set_num_threads(threads)
            out = local(x_RCHW, guidance_BCHW, mask_RCHW, image_R=image_R, backend="cpu")
            alone = local(x_RCHW[:1], guidance_BCHW, mask_RCHW[:1], backend="cpu")
            assert torch.equal(alone, out[:1])
            results.append(out)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("mask_channels", [1, 2])
def test_gradients_reach_fields_guidance_mask_and_bandwidth(backend, mask_channels):
    tensors = (
        field(1, 6, 3, 4, 0).reshape(3, 2, 3, 4),
        field(2, 4, 3, 4, 0).reshape(2, 2, 3, 4),
        field(3, 3 * mask_channels, 3, 4, 0).reshape(3, mask_channels, 3, 4) * 0.9 + 0.05,
        torch.tensor(0.7, dtype=torch.float64),
    )

    def run(x, guidance, mask, zeta):
        local = LocalPropagation(kernel_size=5, zeta=zeta, iterations=2, detach=False)
        return local(x, guidance, mask, image_R=torch.tensor([1, 0, 1]), backend=backend)

    inputs = tuple(tensor.requires_grad_() for tensor in tensors)
    assert torch.autograd.gradcheck(run, inputs, fast_mode=mask_channels == 2)


def test_gradients_agree_and_are_given_where_asked_for():
    guidance_CHW, value_RHW = field(1, 3, 9, 8, 0), field(2, 2, 9, 8, 0)
    inside_RHW = (field(3, 2, 9, 8, 0) > 0.3).double()
    found = []
    for backend in ("reference", "torch", "auto"):
        arguments = [field_.clone().requires_grad_() for field_ in (guidance_CHW, value_RHW)]
        out = propagate(*arguments, inside_RHW, backend=backend, detach=False, iterations=20)
        found.append(torch.autograd.grad(out.square().sum(), arguments))
    for gradients in found[1:]:
        torch.testing.assert_close(gradients, found[0], rtol=1e-9, atol=1e-12)
    single = [field_.float().requires_grad_() for field_ in (guidance_CHW, value_RHW)]
    out = propagate(*single, inside_RHW, detach=False, iterations=20)
    gradients = torch.autograd.grad(out.square().sum(), single)
    torch.testing.assert_close([g.double() for g in gradients], list(found[0]), rtol=1e-3, atol=1e-4)


def test_a_bandwidth_in_a_tensor_equals_the_number():
    guidance_CHW, value_RHW = field(1, 3, 9, 8, 0), field(2, 2, 9, 8, 0)
    zeta = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    for backend in HERE:
        out = propagate(guidance_CHW, value_RHW, zeta=zeta, backend=backend)
        assert not out.requires_grad
        torch.testing.assert_close(out, propagate(guidance_CHW, value_RHW), rtol=0, atol=1e-14)
    with torch.no_grad():
        assert not propagate(guidance_CHW, value_RHW, zeta=zeta, detach=False).requires_grad


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel_size": 4}, "kernel_size must be odd and positive, got 4."),
        ({"kernel_size": -1}, "kernel_size must be odd and positive, got -1."),
        ({"zeta": 0.0}, "zeta must be positive, got 0.0."),
        ({"zeta": float("nan")}, "zeta must be positive, got nan."),
        ({"zeta": torch.tensor(-0.5)}, "zeta must be positive, got -0.5."),
        (
            {"zeta": torch.ones(2)},
            "zeta must be a number or a tensor without dimensions, got shape (2,).",
        ),
        ({"iterations": -1}, "iterations must not be negative, got -1."),
    ],
)
def test_settings_without_a_meaning_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        LocalPropagation(**{"kernel_size": 3, "zeta": 0.1, "iterations": 1, **settings})


def test_a_colour_that_is_no_number_names_the_image():
    guidance_BCHW = torch.zeros(2, 1, 3, 3)
    local = LocalPropagation(kernel_size=3, zeta=0.1, iterations=1)
    for bad in (torch.nan, torch.inf):
        guidance_BCHW[1, 0, 0, 0] = bad
        message = f"guidance_BCHW[1] must be finite, got {bad} in 1 of 9 values."
        for call in (local.affinity, lambda guidance: local(torch.zeros(2, 1, 3, 3), guidance)):
            with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
                call(guidance_BCHW)


def test_finite_colours_whose_sum_is_not_are_taken():
    guidance_BCHW = torch.full((1, 1, 2, 2), 3e38)
    x_BCHW = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    out = LocalPropagation(kernel_size=3, zeta=0.1, iterations=1)(x_BCHW, guidance_BCHW)
    torch.testing.assert_close(out, torch.full_like(out, 0.5))


def arguments_of(**changes):
    arguments = {
        "x_RCHW": torch.zeros(3, 2, 4, 5),
        "guidance_BCHW": torch.zeros(2, 3, 4, 5),
        "mask_RCHW": torch.ones(3, 1, 4, 5),
        "image_R": torch.tensor([0, 1, 1]),
    }
    return {**arguments, **changes}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x_RCHW": torch.zeros(3, 4, 5)}, ValueError, "x_RCHW must have four dimensions, got (3, 4, 5)."),
        (
            {"x_RCHW": torch.zeros(3, 2, 4, 5).int()},
            TypeError,
            "x_RCHW must be of a float type, got torch.int32.",
        ),
        (
            {"guidance_BCHW": torch.zeros(2, 3, 4, 5, device="meta")},
            ValueError,
            "guidance_BCHW must be on cpu like x_RCHW, got meta.",
        ),
        (
            {"mask_RCHW": torch.zeros(3, 1, 4, 5, device="meta")},
            ValueError,
            "mask_RCHW must be on cpu like x_RCHW, got meta.",
        ),
        (
            {"guidance_BCHW": torch.zeros(2, 0, 4, 5)},
            ValueError,
            "guidance_BCHW must have four dimensions, channels and pixels, got (2, 0, 4, 5).",
        ),
        (
            {"guidance_BCHW": torch.zeros(2, 3, 5, 4)},
            ValueError,
            "guidance_BCHW must have height and width (4, 5) like x_RCHW, got (5, 4).",
        ),
        (
            {"mask_RCHW": torch.ones(3, 3, 4, 5)},
            ValueError,
            "mask_RCHW must have shape (3, 1 or 2, 4, 5), got (3, 3, 4, 5).",
        ),
        (
            {"mask_RCHW": torch.ones(1, 1, 4, 5)},
            ValueError,
            "mask_RCHW must have shape (3, 1 or 2, 4, 5), got (1, 1, 4, 5).",
        ),
        (
            {"image_R": None},
            ValueError,
            "image_R must name the image of 3 regions: there are 2 images.",
        ),
        ({"image_R": torch.ones(3)}, TypeError, "image_R must hold integers, got torch.float32."),
        ({"image_R": torch.ones(3).bool()}, TypeError, "image_R must hold integers, got torch.bool."),
        ({"image_R": torch.tensor([0, 1])}, ValueError, "image_R must have shape (3,), got (2,)."),
        ({"image_R": torch.tensor([0, 2, -1])}, ValueError, "image_R[1] must lie in [0, 2), got 2."),
        ({"image_R": torch.tensor([0, 1, -1])}, ValueError, "image_R[2] must lie in [0, 2), got -1."),
        (
            {"backend": "numpy"},
            ValueError,
            "backend must be one of 'auto', 'reference', 'cpu', 'torch', 'triton', got 'numpy'.",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(changes, error, message):
    local = LocalPropagation(kernel_size=3, zeta=0.1, iterations=1)
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        local(**arguments_of(**changes))


@pytest.mark.parametrize("backend", ["cpu", "triton"])
def test_a_backend_without_gradients_is_refused_where_one_is_wanted(backend):
    local = LocalPropagation(kernel_size=3, zeta=0.1, iterations=1, detach=False)
    arguments = arguments_of()
    arguments["x_RCHW"].requires_grad_()
    message = f"backend '{backend}' has no gradient: pass backend='auto', or construct with detach=True."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        local(**arguments, backend=backend)


def test_a_matrix_of_all_pairs_is_refused_where_it_is_too_large():
    local = LocalPropagation(kernel_size=3, zeta=0.1, iterations=1)
    message = (
        "backend 'reference' takes images of at most 4096 pixels, got 4160: it holds a matrix of all pairs. "
        "Pass backend='auto'."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        local(torch.zeros(1, 1, 64, 65), torch.zeros(1, 1, 64, 65), backend="reference")
