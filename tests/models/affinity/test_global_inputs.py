"""What may be handed to a propagation, what is refused and how, and that answers repeat."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from models.affinity.global_ import GlobalPropagation
from models.affinity.spanning_tree import edge_weights, minimum_spanning_tree
from models.affinity.tree_filter import TreeFilter
from tests.models.affinity.dense import BACKENDS, field, images

SIZE = (6, 5)
OPERATORS = {"global": GlobalPropagation(zeta=0.3), "filter": TreeFilter(sigma=0.3)}
everywhere = pytest.mark.parametrize("backend", BACKENDS)
both = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)


@pytest.fixture
def threads():
    """Sets the number of threads, and sets it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@everywhere
@both
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_rounded_once(backend, operator, dtype):
    guidance_BCHW, x_RCHW = images(1, 2, 3, SIZE, 0).to(dtype), images(5, 2, 4, SIZE, 0).to(dtype)
    structure = minimum_spanning_tree(guidance_BCHW, backend=backend)
    weights = edge_weights(x_RCHW, structure)
    for given in (None, weights, weights.expand(-1, 4, -1)):
        y_RCHW = operator(x_RCHW, structure, given)
        assert y_RCHW.dtype == dtype
        assert torch.equal(y_RCHW, operator(x_RCHW.float(), structure, given).to(dtype))


@everywhere
@both
def test_float64_fields_on_float32_trees_are_computed_in_float64(backend, operator):
    guidance_BCHW, x_RCHW = (images(1, 2, 3, SIZE, 256) * 255).round(), images(5, 2, 4, SIZE, 0)
    wide = replace(operator, **{name: 40.0 for name in operator.__dataclass_fields__ if name != "detach"})
    double = wide(x_RCHW, minimum_spanning_tree(guidance_BCHW, backend=backend))
    mixed = wide(x_RCHW, minimum_spanning_tree(guidance_BCHW.float(), backend=backend))
    torch.testing.assert_close(mixed, double, rtol=0, atol=1e-13)
    single = wide(x_RCHW.float(), minimum_spanning_tree(guidance_BCHW, backend=backend))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-6)


@everywhere
@both
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 2])
def test_weights_of_any_float_type_are_taken(backend, operator, dtype, channels):
    structure = minimum_spanning_tree(images(1, 2, 3, SIZE, 0), backend=backend)
    x_RCHW = images(5, 2, 2, SIZE, 0).float()
    weights = torch.cat([edge_weights(x_RCHW[:, c : c + 1], structure) for c in range(channels)], 1).to(dtype)
    y_RCHW = operator(x_RCHW, structure, weights)
    assert y_RCHW.dtype == torch.float32
    torch.testing.assert_close(y_RCHW, operator(x_RCHW, structure, weights.float()), rtol=0, atol=1e-6)


@everywhere
@both
def test_memory_layout_does_not_matter(backend, operator):
    guidance_BCHW, x_RCHW = images(1, 3, 3, SIZE, 0).float(), images(5, 3, 4, SIZE, 0).float()
    structure = minimum_spanning_tree(guidance_BCHW, backend=backend)
    weights = torch.cat([edge_weights(x_RCHW[:, c : c + 1], structure) for c in range(4)], 1)
    turned = x_RCHW.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    strided = x_RCHW.repeat_interleave(2, dim=3)[..., ::2]
    backwards = weights.mT.contiguous().mT
    for other in (turned, strided):
        assert not other.is_contiguous()
        for plain, given in ((None, None), (weights, backwards), (weights[:, :1], backwards[:, :1])):
            expected, y_RCHW = operator(x_RCHW, structure, plain), operator(other, structure, given)
            if backend == "reference":
                torch.testing.assert_close(y_RCHW, expected, rtol=0, atol=1e-7)
            else:
                assert torch.equal(y_RCHW, expected)
    same = x_RCHW[:1].expand(3, -1, -1, -1)
    torch.testing.assert_close(operator(same, structure), operator(same.contiguous(), structure))


@everywhere
@both
@pytest.mark.parametrize("shape", [(0, 2, 6, 5), (2, 0, 6, 5), (0, 0, 6, 5)])
def test_nothing_gives_nothing(backend, operator, shape):
    structure = minimum_spanning_tree(images(1, 2, 3, SIZE, 0), backend=backend)
    image_R = torch.zeros(shape[0], dtype=torch.int64)
    x_RCHW = torch.zeros(shape, dtype=torch.float16, requires_grad=True)
    for weights in (None, torch.zeros(shape[0], 1, 29)):
        y_RCHW = operator(x_RCHW, structure, weights, image_R=image_R)
        assert y_RCHW.shape == shape
        assert y_RCHW.dtype == torch.float16
        assert not y_RCHW.requires_grad
        assert replace(operator, detach=False)(x_RCHW, structure, weights, image_R=image_R).requires_grad


@both
def test_no_image_and_no_region_is_no_result(operator):
    for backend in BACKENDS:
        none = minimum_spanning_tree(torch.zeros(0, 3, *SIZE), backend=backend)
        assert operator(torch.zeros(0, 3, *SIZE), none).shape == (0, 3, *SIZE)


@everywhere
@both
@pytest.mark.parametrize("channels", [1, 5])
def test_one_pixel_is_its_own_average(backend, operator, channels):
    structure = minimum_spanning_tree(torch.rand(2, 3, 1, 1), backend=backend)
    x_RCHW = field(3, channels, 1, 3, 0).permute(2, 0, 1)[..., None]
    image_R = torch.tensor([1, 1, 0])
    for weights in (None, torch.zeros(3, 1, 0), torch.zeros(3, channels, 0)):
        assert torch.equal(operator(x_RCHW, structure, weights, image_R=image_R), x_RCHW)


@everywhere
@both
def test_a_bandwidth_may_be_a_tensor(backend, operator):
    structure = minimum_spanning_tree(images(1, 2, 3, SIZE, 0), backend=backend)
    x_RCHW = images(5, 2, 2, SIZE, 0)
    (name,) = (name for name in operator.__dataclass_fields__ if name != "detach")
    expected = replace(operator, **{name: 0.375})(x_RCHW, structure)
    for dtype in (torch.float64, torch.float32, torch.float16):
        given = torch.tensor(0.375, dtype=dtype)
        y_RCHW = replace(operator, **{name: given})(x_RCHW, structure)
        torch.testing.assert_close(y_RCHW, expected, rtol=0, atol=1e-13)
    rounded = torch.tensor(0.3)
    y_RCHW = replace(operator, **{name: rounded})(x_RCHW, structure)
    expected = replace(operator, **{name: float(rounded)})(x_RCHW, structure)
    torch.testing.assert_close(y_RCHW, expected, rtol=0, atol=1e-10)


@both
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_fields_must_be_of_a_float_type(operator, dtype):
    structure = minimum_spanning_tree(torch.zeros(1, 1, *SIZE))
    with pytest.raises(TypeError, match=rf"^x_RCHW must be of a float type, got {dtype}\.$"):
        operator(torch.zeros(1, 1, *SIZE, dtype=dtype), structure)


@both
@pytest.mark.parametrize("shape", [(2, 1, 5, 6), (2, 6, 5), (2, 1, 1, 6, 5)])
def test_fields_must_have_the_pixels_of_the_trees(operator, shape):
    structure = minimum_spanning_tree(torch.zeros(2, 1, *SIZE))
    message = f"x_RCHW must have shape (R, C, H, W) with 6x5 pixels, got {shape}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        operator(torch.zeros(shape), structure)


@both
@pytest.mark.parametrize("shape", [(2, 2, 29), (2, 1, 30), (1, 1, 29), (2, 29), (2, 3, 29, 1)])
def test_weights_must_be_one_set_a_region_or_a_channel(operator, shape):
    structure = minimum_spanning_tree(torch.zeros(2, 1, *SIZE))
    message = f"weights must have shape (2, 1 or 3, 29), got {shape}."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        operator(torch.zeros(2, 3, *SIZE), structure, torch.zeros(shape))


@both
@pytest.mark.parametrize(
    ("image_R", "message"),
    [
        (None, "3 rows need as many trees, got 2: name the tree of each by image_R."),
        (torch.tensor([0, 1]), "image_R must name the image of 3 regions, got (2,)."),
        (torch.tensor([0, 1, 2]), "image_R must lie in [0, 2), got 0 to 2."),
        (torch.tensor([0, -1, 1]), "image_R must lie in [0, 2), got -1 to 1."),
    ],
)
def test_every_region_must_have_a_tree(operator, image_R, message):
    structure = minimum_spanning_tree(torch.zeros(2, 1, *SIZE))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        operator(torch.zeros(3, 1, *SIZE), structure, image_R=image_R)


def test_compiled_loops_need_merges():
    bare = replace(minimum_spanning_tree(torch.zeros(1, 1, *SIZE)), merges=None)
    with pytest.raises(TypeError, match=r"^merges of backend 'cpu' must be a tensor, got NoneType\.$"):
        GlobalPropagation(zeta=1.0)(torch.zeros(1, 1, *SIZE), bare)


@both
def test_images_too_large_for_whole_matrices_say_so(operator):
    structure = minimum_spanning_tree(torch.zeros(1, 1, 64, 65), backend="reference")
    message = (
        "backend 'reference' takes images of at most 4096 pixels, got 64x65: it holds a matrix of all pairs. "
        "Pass backend='auto'."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        operator(torch.zeros(1, 1, 64, 65), structure)


@both
def test_repeats_to_the_bit_whatever_the_threads(operator, threads):
    guidance_BCHW, x_RCHW = images(1, 3, 3, (40, 37), 20).float(), images(6, 9, 5, (40, 37), 0).float()
    image_R = torch.tensor([2, 0, 0, 2, 2, 0, 1, 2, 2])

    def both_passes():
        structure = minimum_spanning_tree(guidance_BCHW)
        first = operator(x_RCHW, structure, image_R=image_R)
        weights = torch.cat([edge_weights(first[:, c : c + 1], structure, image_R) for c in range(5)], 1)
        return first, operator(first, structure, weights, image_R=image_R)

    expected = both_passes()
    for count in (1, 2, 3):
        threads(count)
        for _ in range(10):
            assert all(torch.equal(one, other) for one, other in zip(both_passes(), expected, strict=True))
    threads(2)
    with ThreadPoolExecutor(4) as pool:  # several callers share the threads
        for result in pool.map(lambda _: both_passes(), range(8)):
            assert all(torch.equal(one, other) for one, other in zip(result, expected, strict=True))
