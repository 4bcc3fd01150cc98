import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.fast import compiled
from models.affinity.fast.boruvka import grid_weights
from tests.models.affinity.dense import SIZES, fields, fixed, images, pairs, slow_merges, weights_along
from tests.models.affinity.fast.slow_trees import draw, grid_codes, kruskal, random_trees

dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def check(forest, image, weight_of, height, width):
    """The forest holds the edges of ``weight_of`` by weight, and their merges."""
    codes = forest.edge_BE[image].tolist()
    assert sorted(codes) == sorted(weight_of)
    assert forest.weight_BE[image].tolist() == [weight_of[code] for code in codes]
    assert (forest.weight_BE[image].diff() >= 0).all()
    edges = pairs(forest.edge_BE[image], width)
    assert forest.parent_BP[image].tolist() == slow_merges(edges, height * width)[0]


@dtypes
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("levels", [0, 1, 3, 256])
def test_grown_trees(dtype, size, levels):
    guidance_BCHW = images(3, 3, 2, size, levels).to(dtype)
    forest = compiled.grow(guidance_BCHW)
    assert (forest.edge_BE.dtype, forest.weight_BE.dtype) == (torch.int32, dtype)
    for image, weight_M in enumerate(grid_weights(guidance_BCHW).tolist()):
        weight_of = dict(zip(grid_codes(*size), weight_M, strict=True))
        codes = kruskal(weight_M, *size)
        check(forest, image, {code: weight_of[code] for code in codes}, *size)
        ordered = sorted(codes, key=lambda code: (weight_of[code], code))
        assert forest.edge_BE[image].tolist() == ordered


@dtypes
@pytest.mark.parametrize("kind", ["distinct", "ties", "constant", "decreasing"])
@pytest.mark.parametrize("size", SIZES)
def test_trees_are_ordered_by_other_weights(dtype, kind, size):
    count = size[0] * size[1] - 1
    edge_BE, image_R = random_trees(3, *size), torch.tensor([2, 2, 0])
    weight_RE = draw(kind, 3, count, dtype)
    forest = compiled.regrow(edge_BE, weight_RE, image_R, size[1])
    for row, image in enumerate(image_R.tolist()):
        weight_of = dict(zip(edge_BE[image].tolist(), weight_RE[row].tolist(), strict=True))
        check(forest, row, weight_of, *size)


@fixed
@given(fields(), st.sampled_from([torch.float32, torch.float64]))
def test_edges_are_measured(guidance_CHW, dtype):
    height, width = guidance_CHW.shape[1:]
    edge_BE, image_R = random_trees(2, height, width), torch.tensor([1, 0, 1])
    field_RCHW = torch.stack([guidance_CHW * scale for scale in (1.0, 0.5, 3.0)]).to(dtype)
    weight_RE = compiled.edge_weights(field_RCHW.flatten(2), edge_BE, image_R, width)
    assert weight_RE.dtype == dtype
    for weight_E, field_CHW, image in zip(weight_RE, field_RCHW, image_R.tolist(), strict=True):
        slow_E = torch.tensor(weights_along(pairs(edge_BE[image], width), field_CHW), dtype=dtype)
        torch.testing.assert_close(weight_E, slow_E)


@dtypes
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, "a square too large"])
def test_what_is_not_finite_shows_in_the_last_weight_of_its_own_tree(dtype, value):
    guidance_BCHW = images(3, 3, 2, (4, 5), 0).to(dtype)
    guidance_BCHW[1, 0, 2, 3] = value if isinstance(value, float) else torch.finfo(dtype).max / 2
    assert compiled.grow(guidance_BCHW).weight_BE[:, -1].isfinite().tolist() == [True, False, True]


@dtypes
def test_threads_do_not_change_a_bit(dtype):
    guidance_BCHW, before = images(3, 5, 2, (9, 10), 4).to(dtype), torch.get_num_threads()
    expected = compiled.grow(guidance_BCHW)
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            for ours, theirs in zip(compiled.grow(guidance_BCHW), expected, strict=True):
                assert torch.equal(ours, theirs)
    finally:
        torch.set_num_threads(before)


def test_no_image_is_no_tree():
    forest = compiled.grow(torch.zeros(0, 3, 2, 2))
    assert [len(part) for part in forest] == [0, 0, 0]
