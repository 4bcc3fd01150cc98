"""Derivatives in closed form against differences, backends against each other, and when there are none."""

from dataclasses import replace

import pytest
import torch

from models.affinity.global_ import GlobalPropagation
from models.affinity.spanning_tree import edge_weights, minimum_spanning_tree
from models.affinity.tree_filter import TreeFilter
from tests.models.affinity.dense import BACKENDS, field, images

everywhere = pytest.mark.parametrize("backend", BACKENDS)
IMAGE_R = torch.tensor([1, 0, 1])


def filtered(zeta):
    return TreeFilter(sigma=zeta, detach=False)


def averaged(zeta):
    return GlobalPropagation(zeta=zeta, detach=False)


both = pytest.mark.parametrize("make", [averaged, filtered])


def leaves(size=(3, 4), dtype=torch.float64):
    """Fields, guidances and a bandwidth, all with gradients."""
    drawn = images(1, 3, 2, size, 0), images(7, 2, 3, size, 0), torch.tensor(0.4, dtype=torch.float64)
    return tuple(tensor.to(dtype).requires_grad_() for tensor in drawn)


@everywhere
@both
def test_fields_guidance_and_bandwidth(backend, make):
    def function(x_RCHW, guidance_BCHW, zeta):
        structure = minimum_spanning_tree(guidance_BCHW, backend=backend)
        return make(zeta)(x_RCHW, structure, image_R=IMAGE_R)

    assert torch.autograd.gradcheck(function, leaves())


@everywhere
@both
@pytest.mark.parametrize("channels", [1, 2])
def test_weights(backend, make, channels):
    x_RCHW, guidance_BCHW, zeta = leaves()
    structure = minimum_spanning_tree(guidance_BCHW.detach(), backend=backend)
    weight_RKE = field(3, 3, channels, 11, 0).requires_grad_()

    def function(x_RCHW, weight_RKE, zeta):
        return make(zeta)(x_RCHW, structure, weight_RKE, image_R=IMAGE_R)

    assert torch.autograd.gradcheck(function, (x_RCHW, weight_RKE, zeta))


@everywhere
@both
def test_weights_of_the_field_itself(backend, make):
    x_RCHW, guidance_BCHW, zeta = leaves()
    structure = minimum_spanning_tree(guidance_BCHW.detach(), backend=backend)

    def function(x_RCHW, zeta):
        both_R = IMAGE_R.repeat_interleave(2)
        weight_RE = edge_weights(x_RCHW.flatten(0, 1)[:, None], structure, both_R)
        return make(zeta)(x_RCHW, structure, weight_RE.reshape(3, 2, -1), image_R=IMAGE_R)

    assert torch.autograd.gradcheck(function, (x_RCHW, zeta))


@everywhere
@both
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1)])
def test_narrow_images(backend, make, size):
    def function(x_RCHW, guidance_BCHW, zeta):
        structure = minimum_spanning_tree(guidance_BCHW, backend=backend)
        return make(zeta)(x_RCHW, structure, image_R=IMAGE_R)

    assert torch.autograd.gradcheck(function, leaves(size))


def gradients(make, backend, inputs, channels):
    """Of a loss over two passes that reaches everything; nine rows on one tree, four on the other."""
    x_RCHW, guidance_BCHW, zeta = inputs
    structure = minimum_spanning_tree(guidance_BCHW, backend=backend)
    first = make(zeta)(x_RCHW, structure, image_R=IMAGE_R)
    weights = edge_weights(first, structure, IMAGE_R)
    second = make(zeta)(first, structure, weights.expand(-1, channels, -1), image_R=IMAGE_R)
    target = torch.linspace(0, 1, second.numel(), dtype=second.dtype).reshape(second.shape)
    return torch.autograd.grad((second - target).square().mean(), inputs)


@both
def test_backends_agree(make):
    inputs = leaves((13, 11))
    expected = gradients(make, "reference", inputs, 2)
    for backend in ("cpu", "torch"):
        for ours, theirs in zip(gradients(make, backend, inputs, 2), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@both
@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_a_tree_with_many_rows(make, backend):
    x_1CHW, guidance_1CHW = (
        field(2, 9, 5, 4, 0)[None].requires_grad_(),
        field(3, 1, 5, 4, 0)[None].requires_grad_(),
    )

    def total(backend):
        structure = minimum_spanning_tree(guidance_1CHW, backend=backend)
        return torch.autograd.grad(make(0.3)(x_1CHW, structure).square().sum(), (x_1CHW, guidance_1CHW))

    for ours, theirs in zip(total(backend), total("reference"), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@everywhere
@both
def test_float32_gradients_are_close_and_of_the_type_of_their_inputs(backend, make):
    expected = gradients(make, "reference", leaves((7, 6)), 2)
    inputs = leaves((7, 6), torch.float32)
    for given, ours, theirs in zip(inputs, gradients(make, backend, inputs, 2), expected, strict=True):
        assert ours.dtype == given.dtype == torch.float32
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-6)


@everywhere
@both
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_has_gradients(backend, make, dtype):
    inputs = leaves((5, 4), dtype)
    for given, gradient in zip(inputs, gradients(make, backend, inputs, 2), strict=True):
        assert gradient.dtype == dtype
        assert gradient.shape == given.shape
        assert gradient.isfinite().all()


@everywhere
@both
def test_ties_give_finite_gradients(backend, make):
    x_RCHW, _, zeta = leaves((5, 4))
    guidance_BCHW = torch.zeros(2, 1, 5, 4, dtype=torch.float64, requires_grad=True)
    for gradient in gradients(make, backend, (x_RCHW, guidance_BCHW, zeta), 2):
        assert gradient.isfinite().all()


@everywhere
@both
def test_detached_results_have_no_graph(backend, make):
    x_RCHW, guidance_BCHW, zeta = leaves()
    structure = minimum_spanning_tree(guidance_BCHW, backend=backend)
    weights = edge_weights(x_RCHW, structure, IMAGE_R)
    operator = make(zeta)
    for given in (None, weights, weights.expand(-1, 2, -1)):
        y_RCHW = replace(operator, detach=True)(x_RCHW, structure, given, image_R=IMAGE_R)
        assert not y_RCHW.requires_grad
        assert y_RCHW.grad_fn is None
        attached = operator(x_RCHW, structure, given, image_R=IMAGE_R)
        assert attached.requires_grad
        torch.testing.assert_close(attached, y_RCHW, rtol=0, atol=1e-14)
        with torch.no_grad():
            assert not operator(x_RCHW, structure, given, image_R=IMAGE_R).requires_grad
    assert GlobalPropagation(zeta=1.0).detach
    assert TreeFilter(sigma=1.0).detach


@everywhere
@both
def test_without_anything_to_differentiate_there_is_no_graph(backend, make):
    x_RCHW, guidance_BCHW, _ = (tensor.detach() for tensor in leaves())
    structure = minimum_spanning_tree(guidance_BCHW, backend=backend)
    assert not make(0.4)(x_RCHW, structure, image_R=IMAGE_R).requires_grad


@everywhere
@both
@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_each_input_alone_may_want_a_gradient(backend, make, wanted):
    inputs = leaves()
    expected = gradients_of_one_pass(make, backend, inputs)[wanted]
    alone = [tensor.detach().requires_grad_(place == wanted) for place, tensor in enumerate(inputs)]
    structure = minimum_spanning_tree(alone[1], backend=backend)
    loss = make(alone[2])(alone[0], structure, image_R=IMAGE_R).square().sum()
    (gradient,) = torch.autograd.grad(loss, alone[wanted])
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


def gradients_of_one_pass(make, backend, inputs):
    structure = minimum_spanning_tree(inputs[1], backend=backend)
    loss = make(inputs[2])(inputs[0], structure, image_R=IMAGE_R).square().sum()
    return torch.autograd.grad(loss, inputs)


@both
def test_repeat_to_the_bit_whatever_the_threads(make):
    """More than 32768 edges, from where PyTorch shares its own sums out."""
    inputs, before = leaves((180, 190)), torch.get_num_threads()
    expected = gradients_of_one_pass(make, "cpu", inputs)
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for _ in range(2):
                again = gradients_of_one_pass(make, "cpu", inputs)
                for name, ours, first in zip(("x", "guidance", "zeta"), again, expected, strict=True):
                    assert torch.equal(ours, first), name
    finally:
        torch.set_num_threads(before)
