from itertools import groupby

import numpy as np
import pytest

from evaluation.flat import flatten, text_of
from evaluation.masks import areas
from tests.evaluation.random_scenes import random_scene


@pytest.mark.parametrize("seed", range(4))
def test_orders_are_those_of_the_words(seed):
    truths, detections, _ = random_scene(seed, images=9)
    flat = flatten(truths, detections)
    rows = [
        (image, int(category), -score, n)
        for image, item in enumerate(detections)
        for n, (category, score) in enumerate(zip(item.categories, item.scores, strict=True))
    ]
    by_image = sorted(range(len(rows)), key=lambda place: rows[place])
    assert flat.by_image.tolist() == by_image
    by_category = sorted(
        range(len(rows)), key=lambda place: (rows[place][1], rows[place][2], rows[place][0], rows[place][3])
    )
    assert flat.by_category.tolist() == by_category
    ranks = {}
    for _, group in groupby(by_image, key=lambda place: rows[place][:2]):
        ranks |= {place: rank for rank, place in enumerate(group)}
    assert flat.rank.tolist() == [ranks[place] for place in range(len(rows))]


def test_nothing_is_lost_on_the_way():
    truths, detections, _ = random_scene(1, images=9)
    flat = flatten(truths, detections)
    for image, (truth, found) in enumerate(zip(truths, detections, strict=True)):
        own = slice(flat.first[image], flat.first[image + 1])
        assert (flat.image[own] == image).all()
        np.testing.assert_array_equal(flat.scores[own], found.scores)
        np.testing.assert_array_equal(flat.boxes_xywh[own, :2], found.boxes_xyxy[:, :2])
        own = slice(flat.region_first[image], flat.region_first[image + 1])
        np.testing.assert_array_equal(flat.region_areas[own], areas(truth.masks))
        np.testing.assert_array_equal(flat.region_ids[own], truth.region_ids)
    assert len(flat.scores) == flat.first[-1]


def test_more_categories_than_16_bits_are_sorted_too():
    truths, detections, _ = random_scene(1)
    for item in (*truths, *detections):
        item.categories[:] += 2**17
    flat = flatten(truths, detections)
    assert (np.diff(flat.categories[flat.by_category]) >= 0).all()


def test_run_lengths_stand_one_after_the_other():
    text_C, first = text_of([{"counts": "0d0"}, {"counts": ""}, {"counts": b"12"}])
    assert (text_C.tobytes(), first.tolist()) == (b"0d012", [0, 3, 3, 5])
    assert text_of([])[1].tolist() == [0]
