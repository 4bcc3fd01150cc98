"""Weighted sums against the evaluation of images that really occur so often."""

import numpy as np
import pytest

from evaluation.bootstrap import draw_weights
from evaluation.semantic import SEMANTIC, ImageConfusion, count_confusion, evaluate_semantic
from evaluation.semantic_intervals import semantic_intervals, semantic_under

METRICS = [spec.name for spec in SEMANTIC.metrics]


def images(number: int, seed: int = 0) -> list[ImageConfusion]:
    """Images of four classes, the last of which is rare; one pixel in ten is ignored."""
    generator = np.random.default_rng(seed)
    found = []
    for image_id in range(1, number + 1):
        true = generator.integers(0, 3, (6, 7))
        true[0, 0] = 3 if image_id % 4 == 0 else true[0, 0]
        said = np.where(generator.random(true.shape) < 0.7, true, generator.integers(0, 4, true.shape))
        true[generator.random(true.shape) < 0.1] = 255
        said[generator.random(true.shape) < 0.1] = 255
        found.append(count_confusion(image_id, true, said, num_classes=4, ignore_label=255))
    return found


@pytest.mark.parametrize("metric", METRICS)
def test_weights_are_repetitions(metric):
    given = images(5)
    weight_BI = np.array([[1, 1, 1, 1, 1], [0, 2, 0, 3, 1], [0, 1, 0, 0, 0]], dtype=np.float64)
    expected = []
    for weights in weight_BI:
        rows = [image for image, times in zip(given, weights, strict=True) for _ in range(int(times))]
        renamed = [
            ImageConfusion(image_id=place, pixels_KP=row.pixels_KP, num_ignored=row.num_ignored)
            for place, row in enumerate(rows)
        ]
        expected.append(evaluate_semantic(renamed, classes=list("abcd")).values[metric])
    assert semantic_under(given, metric, weight_BI) == pytest.approx(expected, abs=1e-12)


def test_the_interval_is_of_the_resamples():
    given = images(12)
    found = semantic_intervals(given, resamples=500, seed=4, alpha=0.1)
    assert list(found) == METRICS
    values = semantic_under(given, METRICS[0], draw_weights(12, resamples=500, seed=4))
    interval = found[METRICS[0]]
    assert (interval.low, interval.high) == pytest.approx(np.quantile(values, [0.05, 0.95]))
    assert interval.low < interval.value < interval.high
    assert interval.value == evaluate_semantic(given, classes=list("abcd")).values[METRICS[0]]
    assert semantic_intervals(given, resamples=500, seed=4, alpha=0.1) == found


def test_equal_images_leave_no_doubt():
    one = images(1)[0]
    again = ImageConfusion(image_id=2, pixels_KP=one.pixels_KP, num_ignored=0)
    for interval in semantic_intervals([one, again], resamples=50, seed=0, alpha=0.05).values():
        assert interval.low == pytest.approx(interval.value) == interval.high


def test_images_without_a_pixel_are_not_drawn():
    empty = ImageConfusion(image_id=9, pixels_KP=np.zeros((4, 5), np.int64), num_ignored=42)
    assert semantic_intervals([*images(3), empty], resamples=9, seed=0, alpha=0.1) == semantic_intervals(
        images(3), resamples=9, seed=0, alpha=0.1
    )
    assert semantic_intervals([*images(1), empty], resamples=9, seed=0, alpha=0.1) == {}
    with pytest.raises(ValueError, match="a resample holds no pixel that counts: the images are too few"):
        semantic_under([*images(1), empty], METRICS[0], np.array([[0.0, 2.0]]))


def test_refusals():
    with pytest.raises(ValueError, match=r"'miou' is no metric of semantic/1; known: \['semantic\.mean_iou'"):
        semantic_under(images(2), "miou", np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"weights must have shape \(B, 2\), got \(1, 3\)\."):
        semantic_under(images(2), METRICS[0], np.ones((1, 3)))
    with pytest.raises(ValueError, match="alpha"):
        semantic_intervals(images(2), resamples=5, seed=0, alpha=0.0)
