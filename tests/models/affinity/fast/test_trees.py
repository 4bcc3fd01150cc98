"""The loops that grow trees, against their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.affinity.fast import trees
from tests.models.affinity.dense import bottlenecks, field, fixed, pairs, slow_merges
from tests.models.affinity.fast.slow_trees import SIZES, ends, grid_codes, kruskal

side = st.integers(1, 7)
levels = st.sampled_from([1, 2, 3, 1000])


def grid_of(seed, height, width, levels, dtype=np.float32):
    """Weights of the edges below and on the right, and the same in increasing order of code."""
    weight_2HW = np.random.default_rng(seed).integers(levels, size=(2, height, width)).astype(dtype)
    weight_2HW[0, -1] = weight_2HW[1, :, -1] = np.inf
    return (*weight_2HW, np.concatenate((weight_2HW[0, :-1].ravel(), weight_2HW[1, :, :-1].ravel())))


def merge(codes, height, width):
    """Run the union-find over edges in the given order."""
    num_pixels = height * width
    key_M, parent_P = np.array(codes, np.uint64), np.full(2 * num_pixels - 1, -7, np.int32)
    merges = trees.merge_edges(key_M, len(key_M), width, np.empty(2 * num_pixels, np.int32), parent_P)
    return merges, key_M, parent_P


def slow_merge(codes, height, width):
    """The merge above each node, and the codes that merged something."""
    parent, kept = slow_merges([ends(code, height, width) for code in codes], height * width)
    return parent, [codes[place] for place in kept]


@fixed
@given(st.integers(0, 2**31), st.integers(1, 3), side, side, st.sampled_from([np.float32, np.float64]))
def test_weights_are_squared_differences_to_two_neighbours(seed, channels, height, width, dtype):
    guidance_CHW = field(seed, channels, height, width, 0).numpy().astype(dtype)
    below_HW, right_HW = np.empty((2, height, width), dtype)
    trees.grid_weights(guidance_CHW, below_HW, right_HW)
    for y in range(height):
        for x in range(width):
            here_C, below, right = guidance_CHW[:, y, x], np.inf, np.inf
            if y + 1 < height:
                below = float(((guidance_CHW[:, y + 1, x] - here_C) ** 2).sum())
            if x + 1 < width:
                right = float(((guidance_CHW[:, y, x + 1] - here_C) ** 2).sum())
            assert below_HW[y, x] == pytest.approx(below, rel=1e-6)
            assert right_HW[y, x] == pytest.approx(right, rel=1e-6)


@fixed
@given(st.integers(0, 2**31), side, side, levels)
def test_candidates_lack_the_largest_edge_of_every_cell_and_no_edge_of_the_tree(seed, height, width, levels):
    below_HW, right_HW, weight_M = grid_of(seed, height, width, levels)
    largest_YX = np.empty((height + 1, width + 1), np.uint8)
    trees.closing_edges(below_HW, right_HW, largest_YX)
    room = trees.make_room(height, width)
    bits = below_HW.view(np.uint32), right_HW.view(np.uint32)
    count = trees.pack_candidates(*bits, largest_YX, room.key_M)
    assert count < len(room.key_M)  # the spare place is spare
    key_M = room.key_M[:count]
    codes = (key_M & np.uint64(2**32 - 1)).tolist()

    weight_of = dict(zip(grid_codes(height, width), weight_M.tolist(), strict=True))
    closing = set()
    for y in range(height - 1):
        for x in range(width - 1):
            corner = y * width + x
            cell = [corner, corner + 1, height * width + corner, height * width + corner + width]
            closing.add(max(cell, key=lambda code: (weight_of[code], code)))
    assert codes == [code for code in weight_of if code not in closing]
    assert set(kruskal(weight_M.tolist(), height, width)) <= set(codes)
    weights = (key_M >> np.uint64(32)).astype(np.uint32).view(np.float32)
    assert weights.tolist() == [weight_of[code] for code in codes]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (2, 2), (40, 41)])
@pytest.mark.parametrize("levels", [1, 2, 1000])
def test_there_is_room_for_all_candidates(height, width, levels):
    below_HW, right_HW, _ = grid_of(3, height, width, levels)
    room = trees.make_room(height, width)
    trees.closing_edges(below_HW, right_HW, room.largest_YX)
    bits = below_HW.view(np.uint32), right_HW.view(np.uint32)
    count = trees.pack_candidates(*bits, room.largest_YX, room.key_M)
    assert height * width - 1 <= count < len(room.key_M)
    assert sum(part.nbytes for part in room) <= 42 * (height + 1) * (width + 1)


@fixed
@given(st.integers(0, 2**31), st.integers(0, 200), st.integers(0, 5), st.sampled_from([1, 3, 2**32]))
def test_keys_are_sorted_by_their_upper_half_and_equal_ones_keep_their_order(seed, count, more, levels):
    random = np.random.default_rng(seed)
    upper, lower = random.integers(levels, size=count + more), random.integers(2**32, size=count + more)
    key_M = (upper.astype(np.uint64) << np.uint64(32)) | lower.astype(np.uint64)
    expected = key_M[:count][np.argsort(upper[:count], kind="stable")]
    spare_M = np.zeros_like(key_M)
    trees.sort_keys(key_M.copy(), spare_M, count)
    np.testing.assert_array_equal(spare_M[:count], expected)
    assert not spare_M[count:].any()


def test_bits_of_weights_sort_as_the_weights_do():
    weight_M = np.array(
        [np.inf, 1e38, 0.0, 1e-45, 1.0, np.nextafter(np.float32(1), 2), 0.0, 3e-39], np.float32
    )
    key_M, spare_M = np.empty(8, np.uint64), np.empty(8, np.uint64)
    trees.pack_edges(weight_M.view(np.uint32), np.arange(8, dtype=np.int32), key_M)
    trees.sort_keys(key_M, spare_M, 8)
    edge_E, sorted_E = np.empty(8, np.int32), np.empty(8, np.float32)
    trees.unpack(spare_M, edge_E, sorted_E.view(np.uint32))
    assert edge_E.tolist() == [2, 6, 3, 7, 4, 5, 1, 0]
    np.testing.assert_array_equal(sorted_E, weight_M[edge_E])


@fixed
@given(st.integers(0, 2**31), side, side)
def test_merges_are_those_of_a_slow_union_find(seed, height, width):
    codes = np.random.default_rng(seed).permutation(grid_codes(height, width)).tolist()
    merges, key_M, parent_P = merge(codes, height, width)
    parent, kept = slow_merge(codes, height, width)
    assert merges == height * width - 1
    assert key_M[:merges].tolist() == kept
    assert parent_P.tolist() == parent


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("order", ["rising", "falling"])
def test_merges_in_order_of_codes(height, width, order):
    codes = sorted(grid_codes(height, width), reverse=order == "falling")
    merges, key_M, parent_P = merge(codes, height, width)
    parent, kept = slow_merge(codes, height, width)
    assert key_M[:merges].tolist() == kept
    assert parent_P.tolist() == parent


@fixed
@given(st.integers(0, 2**31), side, side, st.floats(0, 0.9))
def test_an_image_left_in_pieces_merges_less(seed, height, width, share):
    random = np.random.default_rng(seed)
    codes = [
        code for code in random.permutation(grid_codes(height, width)).tolist() if random.random() < share
    ]
    merges, key_M, _ = merge(codes, height, width)
    _, kept = slow_merge(codes, height, width)
    assert merges == len(kept)
    assert key_M[:merges].tolist() == kept


def test_upper_halves_of_keys_are_moved_but_not_read():
    key_M = np.array([1, 2, 0], np.uint64) | (np.array([9, 0, 5], np.uint64) << np.uint64(32))
    parent_P = np.empty(7, np.int32)
    assert trees.merge_edges(key_M, 3, 1, np.empty(8, np.int32), parent_P) == 3
    assert (key_M >> np.uint64(32)).tolist() == [9, 0, 5]
    assert parent_P.tolist() == [2, 0, 0, 1, 1, 2, -1]


@fixed
@given(st.integers(0, 2**31), st.integers(1, 3), side, side, st.sampled_from([0, 1, 2, 256]))
def test_a_grown_tree_is_that_of_a_slow_kruskal(seed, channels, height, width, levels):
    guidance_CHW = field(seed, channels, height, width, levels).float()
    num_pixels = height * width
    edge_E, weight_E = np.empty(num_pixels - 1, np.int32), np.empty(num_pixels - 1, np.float32)
    parent_P = np.empty(2 * num_pixels - 1, np.int32)
    trees.grow(guidance_CHW.numpy(), trees.make_room(height, width), edge_E, weight_E, parent_P)
    below_HW, right_HW = np.empty((2, height, width), np.float32)
    trees.grid_weights(guidance_CHW.numpy(), below_HW, right_HW)
    weight_M = np.concatenate((below_HW[:-1].ravel(), right_HW[:, :-1].ravel()))
    weight_of = dict(zip(grid_codes(height, width), weight_M.tolist(), strict=True))
    order = sorted(kruskal(weight_M.tolist(), height, width), key=lambda code: (weight_of[code], code))
    assert edge_E.tolist() == order
    assert weight_E.tolist() == [weight_of[code] for code in order]
    assert parent_P.tolist() == slow_merge(order, height, width)[0]


@fixed
@given(st.integers(0, 2**31), side, side, st.sampled_from([0, 2]))
def test_the_lowest_merge_above_two_pixels_has_their_bottleneck(seed, height, width, levels):
    guidance_CHW = field(seed, 1, height, width, levels).float()
    num_pixels = height * width
    edge_E, weight_E = np.empty(num_pixels - 1, np.int32), np.empty(num_pixels - 1, np.float32)
    parent_P = np.empty(2 * num_pixels - 1, np.int32)
    trees.grow(guidance_CHW.numpy(), trees.make_room(height, width), edge_E, weight_E, parent_P)
    expected = bottlenecks(pairs(torch.from_numpy(edge_E), width), weight_E.tolist(), num_pixels)
    above = []
    for pixel in range(num_pixels):
        merges, node = set(), pixel
        while parent_P[node] >= 0:
            merges.add(int(parent_P[node]))
            node = num_pixels + int(parent_P[node])
        above.append(merges)
    for first in range(num_pixels):
        for second in range(first + 1, num_pixels):
            assert weight_E[min(above[first] & above[second])] == expected[first, second]


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf])
@pytest.mark.parametrize("place", [(0, 0), (2, 1), (3, 4), (0, 4)])
def test_what_is_no_number_shows_in_the_last_weight(value, place):
    guidance_CHW = field(1, 2, 4, 5, 0).float().numpy()
    guidance_CHW[(1, *place)] = value
    edge_E, weight_E = np.empty(19, np.int32), np.empty(19, np.float32)
    trees.grow(guidance_CHW, trees.make_room(4, 5), edge_E, weight_E, np.empty(39, np.int32))
    assert not np.isfinite(weight_E[-1])
