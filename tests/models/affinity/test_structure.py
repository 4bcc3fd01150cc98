"""Trees that are kept, chosen, joined, moved and weighed anew."""

import re
from itertools import pairwise

import pytest
import torch

from models.affinity.fast.hierarchy import Hierarchy
from models.affinity.global_ import GlobalPropagation
from models.affinity.spanning_tree import Structure, check_rows, edge_weights, join, minimum_spanning_tree
from models.affinity.tree_filter import TreeFilter
from tests.models.affinity.dense import BACKENDS, field, images, like, pairs, structure_on, weights_along

SIZE = (6, 5)
GUIDANCE_BCHW = torch.stack([field(seed, 3, *SIZE, levels) for seed, levels in ((1, 0), (2, 3), (3, 1))])
# The same place, but not the same device to PyTorch: what crosses devices runs without a second one.
ELSEWHERE = torch.device("cpu", 0)


def tensors(structure):
    kept = structure.merges
    merges = [kept] if isinstance(kept, torch.Tensor) else []
    if isinstance(kept, Hierarchy):
        merges = [getattr(kept, name) for name in Hierarchy.__dataclass_fields__]
    return [structure.edge_BE, structure.weight_BE, *merges]


def same(one, other):
    parts = zip(tensors(one), tensors(other), strict=True)
    return one.backend == other.backend and all(torch.equal(mine, theirs) for mine, theirs in parts)


def weighed(structure):
    """Edges and their weights, whatever their order."""
    return [
        sorted(zip(edges, weights, strict=True))
        for edges, weights in zip(structure.edge_BE.tolist(), structure.weight_BE.tolist(), strict=True)
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_trees_of_a_batch_are_those_of_its_images(backend):
    both = minimum_spanning_tree(GUIDANCE_BCHW, backend=backend)
    alone = [minimum_spanning_tree(guidance_CHW[None], backend=backend) for guidance_CHW in GUIDANCE_BCHW]
    assert same(join(alone), both)
    for image, structure in enumerate(alone):
        assert same(both.select([image]), structure)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rows", [[2, 0], [1, 1, 1], [0, 1, 2], []])
def test_trees_are_selected_in_any_order_and_number(backend, rows):
    structure = minimum_spanning_tree(GUIDANCE_BCHW, backend=backend)
    chosen = structure.select(rows)
    assert len(chosen) == len(rows)
    assert same(chosen, structure.select(torch.tensor(rows, dtype=torch.int32)))
    if rows:
        assert same(chosen, minimum_spanning_tree(GUIDANCE_BCHW[rows], backend=backend))
    x_RCHW = (
        torch.stack([like(GUIDANCE_BCHW[0], row, 2) for row in rows]) if rows else torch.zeros(0, 2, *SIZE)
    )
    direct = GlobalPropagation(zeta=0.3)(x_RCHW, structure, image_R=torch.tensor(rows, dtype=torch.int64))
    torch.testing.assert_close(GlobalPropagation(zeta=0.3)(x_RCHW, chosen), direct, rtol=0, atol=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("row", [-1, 3])
def test_a_tree_that_is_not_there_can_not_be_selected(backend, row):
    with pytest.raises(IndexError):
        minimum_spanning_tree(GUIDANCE_BCHW, backend=backend).select([row])


def test_only_structures_of_one_kind_are_joined():
    one = minimum_spanning_tree(torch.zeros(1, 1, 2, 3))
    message = "structures to join must share height, width, backend and device, got "
    for others, kinds in (
        ([], []),
        ([one, minimum_spanning_tree(torch.zeros(1, 1, 3, 2))], [(2, 3, "cpu", "cpu"), (3, 2, "cpu", "cpu")]),
        (
            [one, minimum_spanning_tree(torch.zeros(1, 1, 2, 3), backend="torch")],
            [(2, 3, "cpu", "cpu"), (2, 3, "torch", "cpu")],
        ),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(f'{message}{kinds}.')}$"):
            join(others)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_device_of_a_structure_is_kept(backend):
    structure = minimum_spanning_tree(GUIDANCE_BCHW, backend=backend)
    assert structure.to("cpu") is structure


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_structure_that_moves_computes_with_what_is_best_there(backend):
    structure = minimum_spanning_tree(GUIDANCE_BCHW.clone().requires_grad_(), backend=backend)
    moved = structure.to(ELSEWHERE)
    assert moved.backend == "cpu"
    assert (moved.height, moved.width) == SIZE
    assert weighed(moved) == weighed(structure)
    assert not moved.weight_BE.requires_grad
    x_RCHW = torch.stack([like(guidance_CHW, 7, 2) for guidance_CHW in GUIDANCE_BCHW])
    for operator in (GlobalPropagation(zeta=0.2), TreeFilter(sigma=0.4)):
        torch.testing.assert_close(operator(x_RCHW, moved), operator(x_RCHW, structure), rtol=0, atol=1e-12)


def test_a_device_that_does_not_exist_is_an_error():
    with pytest.raises(RuntimeError):
        minimum_spanning_tree(GUIDANCE_BCHW).to("nowhere")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", [0, 2])
def test_weights_of_another_field_go_along_the_tree(backend, dtype, levels):
    structure = minimum_spanning_tree(GUIDANCE_BCHW, backend=backend)
    image_R = torch.tensor([2, 0, 2, 1])
    other_RCHW = images(9, 4, 2, SIZE, levels).to(dtype)
    weight_R1E = edge_weights(other_RCHW, structure, image_R)
    assert weight_R1E.shape == (4, 1, 29)
    assert weight_R1E.dtype == dtype
    again = structure.reweighted(weight_R1E[:, 0], image_R)
    assert len(again) == 4
    for region, image in enumerate(image_R.tolist()):
        edge_E = structure.edge_BE[image]
        slow_E = torch.tensor(weights_along(pairs(edge_E, SIZE[1]), other_RCHW[region]), dtype=dtype)
        torch.testing.assert_close(weight_R1E[region, 0], slow_E)
        expected = sorted(zip(edge_E.tolist(), weight_R1E[region, 0].tolist(), strict=True))
        assert weighed(again)[region] == expected


@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_structures_keep_edges_in_the_order_in_which_they_merge(levels, dtype):
    structure = minimum_spanning_tree(images(2, 2, 2, SIZE, levels).to(dtype))
    again = structure.reweighted(
        edge_weights(images(5, 2, 1, SIZE, levels), structure)[:, 0], torch.arange(2)
    )
    for part in (structure, again, structure.to(ELSEWHERE)):
        for weights in part.weight_BE.tolist():
            assert all(light <= heavy for light, heavy in pairwise(weights))


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_of_any_float_type_can_be_put_on_a_tree(backend):
    structure = minimum_spanning_tree(GUIDANCE_BCHW, backend=backend)
    half_RE = edge_weights(GUIDANCE_BCHW, structure)[:, 0].half()
    again = structure.reweighted(half_RE, torch.arange(3))
    assert again.weight_BE.dtype == torch.float32
    assert weighed(again) == weighed(structure.reweighted(half_RE.float(), torch.arange(3)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_of_any_layout_and_type_of_field_are_the_same(backend):
    structure = minimum_spanning_tree(GUIDANCE_BCHW, backend=backend)
    whole_RCHW = (images(4, 3, 2, SIZE, 256) * 255).round()
    expected = edge_weights(whole_RCHW, structure)
    turned = whole_RCHW.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    types = [torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.int64]
    for other in (turned, whole_RCHW[:1].expand(3, -1, -1, -1), *(whole_RCHW.to(dtype) for dtype in types)):
        weights = edge_weights(other, structure)
        reference = edge_weights(other.contiguous().double(), structure)
        assert torch.equal(weights.double(), reference)
        assert (other is not turned) or torch.equal(weights, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_fields_that_do_not_fit_the_trees_are_refused(backend):
    structure = minimum_spanning_tree(torch.zeros(2, 1, 2, 3), backend=backend)
    for shape in ((2, 1, 3, 2), (1, 2, 3)):
        message = f"guidance_RCHW must have 2x3 pixels, got {shape}."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            edge_weights(torch.zeros(shape), structure)
    message = "3 rows need as many trees, got 2: name the tree of each by image_R."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        edge_weights(torch.zeros(3, 1, 2, 3), structure)


@pytest.mark.parametrize(
    ("image_R", "message"),
    [
        (torch.tensor([0]), "image_R must name the image of 2 regions, got (1,)."),
        (torch.tensor([[0, 1]]), "image_R must name the image of 2 regions, got (1, 2)."),
        (torch.tensor([0, 3]), "image_R must lie in [0, 3), got 0 to 3."),
        (torch.tensor([-1, 2]), "image_R must lie in [0, 3), got -1 to 2."),
    ],
)
def test_a_row_without_a_tree_is_refused(image_R, message):
    structure = minimum_spanning_tree(torch.zeros(3, 1, 2, 3))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_rows(2, structure, image_R)


def test_rows_are_numbered_if_nothing_else_is_said():
    structure = minimum_spanning_tree(torch.zeros(3, 1, 2, 3))
    assert check_rows(3, structure, None).tolist() == [0, 1, 2]
    named = check_rows(2, structure, torch.tensor([2, 0], dtype=torch.int32))
    assert named.tolist() == [2, 0]
    assert named.dtype == torch.int64


@pytest.mark.parametrize(("backend", "limit"), [("cpu", 16), ("torch", 32), ("reference", 16)])
def test_a_structure_is_small(backend, limit):
    structure = minimum_spanning_tree(field(1, 3, 40, 50, 0)[None].float(), backend=backend)
    assert sum(tensor.nbytes for tensor in tensors(structure)) <= limit * 40 * 50


@pytest.mark.parametrize("backend", BACKENDS)
def test_given_trees_take_given_weights(backend):
    structure = minimum_spanning_tree(GUIDANCE_BCHW, backend="torch")
    built = structure_on(structure.edge_BE, structure.weight_BE, SIZE, backend)
    assert isinstance(built, Structure)
    assert weighed(built) == weighed(structure)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("keep", [lambda s: s, lambda s: s.select([1, 0]), lambda s: join([s, s])])
def test_weights_keep_their_gradient_in_what_is_selected_and_joined(backend, keep):
    guidance_BCHW = GUIDANCE_BCHW[:2].clone().requires_grad_()
    structure = keep(minimum_spanning_tree(guidance_BCHW, backend=backend))
    (gradient,) = torch.autograd.grad(structure.weight_BE.square().sum(), guidance_BCHW)
    plain = minimum_spanning_tree(GUIDANCE_BCHW[:2], backend=backend).edge_BE
    other = GUIDANCE_BCHW[:2].clone().requires_grad_()
    slow = sum(
        sum(((field_CN[:, u] - field_CN[:, v]).square().sum()).square() for u, v in pairs(edge_E, SIZE[1]))
        for field_CN, edge_E in zip(other.flatten(2), plain, strict=True)
    )
    (expected,) = torch.autograd.grad(slow * (len(structure) / 2), other)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_graph_is_kept_where_none_is_wanted(backend):
    guidance_BCHW = GUIDANCE_BCHW.clone().requires_grad_()
    assert minimum_spanning_tree(guidance_BCHW, backend=backend).weight_BE.requires_grad
    with torch.no_grad():
        structure = minimum_spanning_tree(guidance_BCHW, backend=backend)
        assert not structure.weight_BE.requires_grad
        assert not edge_weights(guidance_BCHW, structure).requires_grad
    weight_R1E = edge_weights(guidance_BCHW, structure)
    assert weight_R1E.requires_grad
    assert structure.reweighted(weight_R1E[:, 0], torch.arange(3)).weight_BE.requires_grad
