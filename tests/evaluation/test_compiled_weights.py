from functools import cache

import numpy as np
import pytest

from evaluation.bootstrap import draw_weights
from evaluation.compiled_weights import average, envelope
from evaluation.tables import build_tables
from evaluation.weighted import _exact, metric_under
from tests.evaluation.random_scenes import random_scene
from tests.evaluation.scenes import coco100, simulate
from tests.evaluation.slow_weighted import permuted, slow_metric

QUANTITIES = ("ap", "ap50", "recall50", "ar_1")


@cache
def coco():
    _, _, truths, detections, names = coco100("mask")
    return build_tables(truths, detections, categories=names)


@cache
def edges():
    truths, detections, names = random_scene(11, images=40)
    return build_tables(truths, detections, categories=names)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("tables", [coco, edges, lambda: simulate(0)], ids=["coco", "edges", "nuclei"])
def test_whole_weights_give_the_bits_of_the_slow_twin(tables, quantity):
    tables = tables()
    weights = draw_weights(len(tables.per_image), resamples=70, seed=3)
    for kind in ("box", "mask"):
        fast = metric_under(tables, f"{kind}.{quantity}", weights)
        np.testing.assert_array_equal(fast, slow_metric(tables, f"{kind}.{quantity}", weights))


def test_the_order_of_the_rows_decides_nothing():
    tables = edges()
    weights = draw_weights(40, resamples=10, seed=3)
    for name in ("mask.ap", "box.ar_1"):
        np.testing.assert_array_equal(
            metric_under(permuted(tables, 5), name, weights), metric_under(tables, name, weights)
        )


@pytest.mark.parametrize("scale", [0.37, 1e6, 1e12])
def test_weights_that_are_large_or_not_whole_are_not_rounded(scale):
    tables = simulate(1)
    weights = draw_weights(39, resamples=9, seed=3) * scale
    fast = metric_under(tables, "mask.ap50", weights)
    np.testing.assert_allclose(fast, slow_metric(tables, "mask.ap50", weights), atol=1e-12, rtol=0)


def test_weights_are_made_short_only_where_no_sum_outgrows_32_bits():
    whole = np.array([[0.0, 3.0]])
    assert [item.dtype for item in (_exact(whole, 100)[0], _exact(whole, 2**30)[0])] == [
        np.uint16,
        np.float64,
    ]
    assert _exact(np.array([[0.5]]), 1)[0].dtype == np.float64
    assert _exact(np.array([[2.0**16]]), 1)[0].dtype == np.float64


def test_the_envelope_never_falls_towards_the_front():
    right, claims = np.array([[1], [2], [3]], np.int32), np.array([[2], [2], [4]], np.int32)
    best = np.empty((3, 1))
    envelope(right, claims, best, 3)
    assert best[:, 0].tolist() == [1.0, 1.0, 0.75]


@pytest.mark.parametrize("regions", [1, 3, 7, 100, 101, 450, 997, 1200])
def test_points_of_recall_are_reached_as_a_search_says(regions):
    """With the best precision 1, the average is the share of points reached."""
    points = np.linspace(0.0, 1.0, 101)
    found = np.arange(1, regions + 1, dtype=np.int32)[:, None]
    for count in {1, regions // 3 + 1, regions}:
        area = np.empty(1)
        average(
            found[:count], np.ones((count, 1)), count, np.array([float(regions)]), points,
            np.empty(1, np.int32), area,
        )  # fmt: skip
        assert area[0] == np.searchsorted(points, count / regions, side="right") / 101
