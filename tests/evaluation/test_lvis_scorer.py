import numpy as np
import pytest

from evaluation.definition import AREAS, KINDS
from evaluation.lvis_scorer import score_lvis
from tests.evaluation.lvis_scenes import CATEGORIES, found_of, image_of

A, FAR = [0, 0, 40, 40], [70, 70, 110, 110]


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_what_has_no_number(kind):
    image = image_of([A], [1], negative=[0])
    found = found_of([A, FAR], [1, 0], [0.9, 0.8])
    scores = score_lvis([image], [found], categories=CATEGORIES, kind=kind)
    assert scores.precision.shape == (10, 101, 4, 4)
    assert scores.recall.shape == (10, 4, 4)
    expected = np.zeros((4, 4), dtype=bool)
    expected[1, [list(AREAS).index("all"), list(AREAS).index("medium")]] = True
    np.testing.assert_array_equal(scores.has_regions, expected)
    assert (scores.recall[:, 1, 0] == 1.0).all()
    np.testing.assert_allclose(scores.precision[:, :, 1, 0], 1.0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_no_detection_at_all_scores_zero(kind):
    scores = score_lvis([image_of([A], [1])], [found_of([], [], [])], categories=CATEGORIES, kind=kind)
    assert scores.has_regions[1, 0]
    assert not scores.recall[:, 1, 0].any()
    assert not scores.precision[:, :, 1, 0].any()


def test_the_lists_reach_the_scorer():
    found = found_of([FAR, A], [1, 1], [0.9, 0.8])
    plain, extended = (
        score_lvis([image_of([A], [1], not_exhaustive=place)], [found], categories=CATEGORIES, kind="box")
        for place in ([], [1])
    )
    assert plain.precision[0, :, 1, 0].max() == pytest.approx(0.5)
    assert extended.precision[0, :, 1, 0].min() == pytest.approx(1.0)
    unknown = score_lvis(
        [image_of([A], [1]), image_of([], [], image_id=2)],
        [found_of([A], [1], [0.8]), found_of([FAR], [1], [0.9], image_id=2)],
        categories=CATEGORIES,
        kind="box",
    )
    assert unknown.precision[0, :, 1, 0].min() == pytest.approx(1.0)


def test_what_is_given_is_scored_up_to_300():
    found = found_of([FAR] * 299 + [A], [1] * 300, [0.9] * 299 + [0.1])
    scores = score_lvis([image_of([A], [1])], [found], categories=CATEGORIES, kind="box")
    assert scores.recall[0, 1, 0] == 1.0
