import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.fast.trees import spanning_edges
from models.affinity.grid import edge_weights, grid_edges
from models.affinity.spanning_tree import SpanningTree, minimum_spanning_tree, structure_of
from tests.models.affinity.dense import (
    IMAGE_1CHW,
    field,
    fields,
    fixed,
    golden,
    grid_bottlenecks,
    tree_bottlenecks,
    weights_along,
)

SIZES = [(1, 1), (1, 7), (7, 1), (5, 7), (16, 13)]
KINDS = {"random": 0, "constant": 1, "ties": 3, "8 bits": 256}


def slow_kruskal(guidance_CHW):
    """Names of components in a list; the order is (weight, edge number)."""
    edges = grid_edges(*guidance_CHW.shape[1:]).tolist()
    weights = weights_along(edges, guidance_CHW)
    component, kept = list(range(guidance_CHW[0].numel())), []
    for _, number in sorted((weight, number) for number, weight in enumerate(weights)):
        first, second = (component[pixel] for pixel in edges[number])
        if first != second:
            component = [first if name == second else name for name in component]
            kept.append(edges[number])
    return kept


def distances_of(structure, image=0):
    """All pairs, from the places of the row."""
    place, junction = structure.place_BN[image].tolist(), structure.junction_BE[image].numpy()
    out = np.zeros((len(place), len(place)))
    for first in range(len(place)):
        for second in range(first + 1, len(place)):
            pair = (place[first], place[second])
            out[pair] = out[pair[::-1]] = junction[first:second].max()
    return out


def test_tree_of_the_worked_example():
    edges = grid_edges(3, 4).tolist()
    tree = minimum_spanning_tree(IMAGE_1CHW)
    assert sorted(edges.index(edge) for edge in tree.edge_BE2[0].tolist()) == [*range(9), 10, 15]
    assert edge_weights(IMAGE_1CHW, tree.edge_BE2)[0].tolist() == [1, 1, 1, 1, 4, 4, 4, 4, 4, 16, 36]


def test_bottlenecks_of_the_worked_example():
    structure = structure_of(minimum_spanning_tree(IMAGE_1CHW), IMAGE_1CHW)
    assert structure.junction_BE.sum() == 76
    distance_NN = distances_of(structure)
    assert distance_NN[0].tolist() == [0, 4, 16, 16, 1, 4, 16, 36, 1, 4, 4, 36]
    assert distance_NN[11].tolist() == [36, 36, 36, 36, 36, 36, 36, 4, 36, 36, 36, 0]


@pytest.mark.parametrize("levels", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_tree_and_bottlenecks_equal_their_slow_twins(levels, size):
    guidance_CHW = field(3, 2, *size, levels)
    tree = minimum_spanning_tree(guidance_CHW[None])
    assert (tree.height, tree.width) == size
    assert tree.edge_BE2[0].tolist() == slow_kruskal(guidance_CHW)
    fast = distances_of(structure_of(tree, guidance_CHW[None]))
    np.testing.assert_allclose(fast, grid_bottlenecks(guidance_CHW), rtol=1e-12, atol=0)


@fixed
@given(fields())
def test_bottlenecks_over_the_tree_are_those_over_the_grid(guidance_CHW):
    structure = structure_of(minimum_spanning_tree(guidance_CHW[None]), guidance_CHW[None])
    np.testing.assert_allclose(distances_of(structure), grid_bottlenecks(guidance_CHW), rtol=1e-12, atol=0)


@fixed
@given(fields(levels=(2, 3)), st.integers(0, 2**31))
def test_bottlenecks_do_not_depend_on_how_ties_are_broken(guidance_CHW, seed):
    _, height, width = guidance_CHW.shape
    edges = grid_edges(height, width)
    weights = edge_weights(guidance_CHW[None], edges[None])[0].numpy()
    shuffled = np.lexsort((np.random.default_rng(seed).permutation(len(weights)), weights))
    kept = spanning_edges(edges.numpy(), shuffled, height * width)
    other = SpanningTree(edge_BE2=edges[torch.from_numpy(kept)][None], height=height, width=width)
    usual = minimum_spanning_tree(guidance_CHW[None])
    np.testing.assert_array_equal(
        distances_of(structure_of(other, guidance_CHW[None])),
        distances_of(structure_of(usual, guidance_CHW[None])),
    )


@fixed
@given(fields(levels=(0, 2, 256)), st.integers(0, 2**31), st.sampled_from([0, 2]))
def test_other_weights_on_the_same_tree_go_along_the_tree(guidance_CHW, seed, levels):
    tree = minimum_spanning_tree(guidance_CHW[None])
    other_CHW = field(seed, 1, *guidance_CHW.shape[1:], levels)
    expected = tree_bottlenecks(tree.edge_BE2[0], other_CHW)
    np.testing.assert_allclose(
        distances_of(structure_of(tree, other_CHW[None])), expected, rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_published_trees_are_ours(number):
    file = golden(f"apro_global_{number}")
    ours = minimum_spanning_tree(file["image"]).edge_BE2
    for image in range(len(ours)):
        published = {frozenset(edge) for edge in file["tree"][image].tolist()}
        assert {frozenset(edge) for edge in ours[image].tolist()} == published


def test_images_of_a_batch_do_not_meet():
    guidance_BCHW = torch.stack([field(seed, 2, 5, 7, levels) for seed, levels in enumerate((0, 3, 1))])
    both = minimum_spanning_tree(guidance_BCHW)
    together = structure_of(both, guidance_BCHW)
    for image in range(3):
        part = guidance_BCHW[image : image + 1]
        alone = minimum_spanning_tree(part)
        assert torch.equal(both.edge_BE2[image], alone.edge_BE2[0])
        structure = structure_of(alone, part)
        for name in ("place_BN", "junction_BE", "left_BE", "right_BE", "parent_BE"):
            assert torch.equal(getattr(together, name)[image], getattr(structure, name)[0]), name


def test_memory_layout_and_type_of_the_guidance_do_not_matter():
    guidance_BCHW = (field(4, 3, 6, 5, 256)[None] * 255).round()
    expected = minimum_spanning_tree(guidance_BCHW).edge_BE2
    strided = guidance_BCHW.repeat_interleave(2, dim=3)[..., ::2]
    turned = guidance_BCHW.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert not strided.is_contiguous()
    assert not turned.is_contiguous()
    for same in (strided, turned, guidance_BCHW.half(), guidance_BCHW.bfloat16(), guidance_BCHW.byte()):
        assert torch.equal(minimum_spanning_tree(same).edge_BE2, expected)


def test_no_image_has_no_tree():
    none = torch.zeros(0, 3, 4, 5)
    tree = minimum_spanning_tree(none)
    assert tree.edge_BE2.shape == (0, 19, 2)
    assert structure_of(tree, none).place_BN.shape == (0, 20)


def test_a_colour_that_is_no_number_names_the_image():
    guidance_BCHW = torch.zeros(4, 1, 2, 2)
    guidance_BCHW[2, 0, 1, 1] = torch.nan
    message = "guidance_BCHW[2] must be finite, got nan in 1 of 4 values."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        minimum_spanning_tree(guidance_BCHW)


def test_sizes_that_differ_are_refused():
    tree = minimum_spanning_tree(torch.zeros(2, 1, 2, 3))
    for shape in ((2, 1, 3, 2), (1, 1, 2, 3)):
        message = f"guidance_BCHW must match 2 trees of 2x3 pixels, got {shape}."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            structure_of(tree, torch.zeros(shape))
