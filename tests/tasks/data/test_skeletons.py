"""Skeletons beside the paper's algorithm said slowly, and walks beside a search by hand."""

import heapq
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import ndimage

from tasks.data.skeletons import skeleton_of, walk
from tests.tasks.data.label_scenes import masks

EIGHT = np.ones((3, 3))


def slow_skeleton(mask):
    """Guo and Hall's A1, pixel by pixel, over the whole image in every round."""
    inside = {tuple(place) for place in np.argwhere(mask).tolist()}
    idle, turn = 0, 0
    while idle < 2:
        gone = {place for place in inside if may_go(place, inside, turn % 2)}
        inside -= gone
        idle, turn = (0 if gone else idle + 1), turn + 1
    result = np.zeros_like(mask)
    for place in inside:
        result[place] = True
    return result


def may_go(place, inside, turn):
    row, column = place
    steps = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
    p = {n: (row + down, column + right) in inside for n, (down, right) in enumerate(steps, start=2)}
    crossings = sum(not p[a] and (p[b] or p[c]) for a, b, c in [(2, 3, 4), (4, 5, 6), (6, 7, 8), (8, 9, 2)])
    first = sum(p[a] or p[b] for a, b in [(9, 2), (3, 4), (5, 6), (7, 8)])
    second = sum(p[a] or p[b] for a, b in [(2, 3), (4, 5), (6, 7), (8, 9)])
    side = ((p[6] or p[7] or not p[9]) and p[8]) if turn else ((p[2] or p[3] or not p[5]) and p[4])
    return crossings == 1 and 2 <= min(first, second) <= 3 and not side


@settings(max_examples=80, deadline=None, derandomize=True)
@given(masks())
def test_skeletons_are_those_of_the_paper(mask):
    skeleton = skeleton_of(mask)
    assert skeleton.tolist() == slow_skeleton(mask).tolist()
    assert not (skeleton & ~mask).any()
    parts, count = ndimage.label(mask, structure=EIGHT)
    assert ndimage.label(skeleton, structure=EIGHT)[1] == count, "no part falls apart"
    assert set(parts[skeleton].tolist()) == set(range(1, count + 1)), "and none is lost"
    assert skeleton_of(skeleton).tolist() == skeleton.tolist()


def test_a_bar_becomes_its_middle_line():
    mask = np.zeros((11, 40), dtype=bool)
    mask[2:9, 3:37] = True
    rows, columns = np.nonzero(skeleton_of(mask))
    assert set(rows[(columns > 8) & (columns < 32)].tolist()) == {5}
    assert len(set(columns.tolist())) == len(columns), "one pixel a column"


def test_a_ring_keeps_its_hole():
    y, x = np.mgrid[:41, :41]
    distance = np.hypot(y - 20, x - 20)
    skeleton = skeleton_of((distance < 18) & (distance > 8))
    assert ndimage.label(~skeleton)[1] == 2
    assert abs(np.hypot(*(np.argwhere(skeleton) - 20).T) - 13).max() < 2.5


def slow_distances(skeleton, start):
    """Length of the shortest way from a pixel to every other of its part."""
    places = {tuple(place) for place in np.argwhere(skeleton).tolist()}
    found, waiting = {}, [(0.0, start)]
    while waiting:
        length, place = heapq.heappop(waiting)
        if place in found:
            continue
        found[place] = length
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                near = (place[0] + down, place[1] + right)
                if near in places and near not in found:
                    heapq.heappush(waiting, (length + math.hypot(down, right), near))
    return found


@settings(max_examples=60, deadline=None, derandomize=True)
@given(masks())
def test_a_walk_is_a_shortest_way_between_far_ends(mask):
    skeleton = skeleton_of(mask)
    way = [tuple(place) for place in walk(skeleton, np.random.default_rng(1)).tolist()]
    assert all(skeleton[place] for place in way)
    steps = [max(abs(a - c), abs(b - d)) for (a, b), (c, d) in itertools.pairwise(way)]
    assert set(steps) <= {1}
    length = sum(math.hypot(a - c, b - d) for (a, b), (c, d) in itertools.pairwise(way))
    lengths = slow_distances(skeleton, way[0])
    assert length == pytest.approx(lengths[way[-1]])
    assert length >= max(lengths.values()) * (2 / 3) - 1e-9


def test_walks_differ_by_seed_and_by_nothing_else():
    skeleton = np.zeros((9, 60), dtype=bool)
    skeleton[4] = True
    ways = [walk(skeleton, np.random.default_rng(seed)).tolist() for seed in (0, 0, 1, 2, 3)]
    assert ways[0] == ways[1]
    assert len({len(way) for way in ways}) > 2


def test_a_skeleton_without_a_pixel():
    assert not skeleton_of(np.zeros((3, 4), dtype=bool)).any()
    with pytest.raises(ValueError, match=r"^the skeleton has no pixel to walk on\.$"):
        walk(np.zeros((3, 4), dtype=bool), np.random.default_rng(0))
