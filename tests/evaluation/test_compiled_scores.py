import numpy as np
import pytest

from evaluation.compiled_scores import accumulate, interpolate

RECALL = np.linspace(0.0, 1.0, 101)


def slow_curve(right, ignored, scores, regions):
    """One category and threshold, detection by detection."""
    true = wrong = 0
    points = []
    for place, score in enumerate(scores):
        true += bool(right[place])
        wrong += not right[place] and not ignored[place]
        points.append((true / regions, true / (true + wrong + np.spacing(1)), score))
    precision, score = np.zeros(101), np.zeros(101)
    for r, recall in enumerate(RECALL):
        reached = [place for place, point in enumerate(points) if point[0] >= recall]
        if reached:
            precision[r] = max(point[1] for point in points[reached[0] :])
            score[r] = points[reached[0]][2]
    return precision, score, true / regions


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_words_of_the_curve(seed):
    rng = np.random.default_rng(seed)
    count, regions = int(rng.integers(0, 60)), 40
    scores = np.sort(rng.random(count))[::-1].copy()
    state = rng.integers(0, 4, (10, count))
    right, ignored = state == 0, state == 1
    bits = 1 << np.arange(10)
    right_AN = np.tile((right * bits[:, None]).sum(axis=0).astype(np.uint16), (1, 1))
    ignored_AN = np.tile((ignored * bits[:, None]).sum(axis=0).astype(np.uint16), (1, 1))
    precision, score = np.full((10, 101, 1, 1), -1.0), np.full((10, 101, 1, 1), -1.0)
    recall = np.full((10, 1, 1, 2), -1.0)
    accumulate(
        np.arange(count), np.array([0, count]), scores, np.arange(count), right_AN, ignored_AN,
        np.array([[regions]]), RECALL, np.array([5, 1000]), precision, score, recall,
    )  # fmt: skip
    for t in range(10):
        expected = slow_curve(right[t], ignored[t], scores, regions)
        np.testing.assert_array_equal(precision[t, :, 0, 0], expected[0])
        np.testing.assert_array_equal(score[t, :, 0, 0], expected[1])
        assert recall[t, 0, 0].tolist() == [right[t, :5].sum() / regions, expected[2]]


def test_what_has_no_region_is_left_alone():
    precision, recall = np.full((10, 101, 1, 1), -1.0), np.full((10, 1, 1, 1), -1.0)
    flags = np.ones((1, 2), dtype=np.uint16)
    accumulate(
        np.arange(2), np.array([0, 2]), np.ones(2), np.arange(2), flags, flags * 0, np.array([[0]]), RECALL,
        np.array([9]), precision, precision.copy(), recall,
    )  # fmt: skip
    assert (precision == -1.0).all()
    assert (recall == -1.0).all()


def test_a_point_of_recall_belongs_to_the_detection_that_reaches_it():
    precision, score = np.zeros(101), np.zeros(101)
    interpolate(np.array([2, 3]), np.array([1, 2]), np.array([0.9, 0.8, 0.7]), 4, RECALL, precision, score)
    assert score[[0, 25, 26, 50, 51]].tolist() == [0.8, 0.8, 0.7, 0.7, 0.0]
    assert precision[[0, 50, 51]].tolist() == [2 / 3, 2 / 3, 0.0]
