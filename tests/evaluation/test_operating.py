import numpy as np
import pandas as pd
import pytest

from evaluation.confusion import _cut
from evaluation.operating import operating_curve
from evaluation.tables import Tables, build_tables
from tests.evaluation.scenes import coco100, nuclei


def tables_of(scores, right, ignored, *, regions):
    """Tables with only the columns that matter here."""
    count = len(scores)
    matches = {"image_id": [1] * count, "score": np.array(scores, dtype=float)}
    for kind in ("box", "mask"):
        matches |= {
            f"{kind}_matched_50": np.array(right, bool),
            f"{kind}_ignored_50": np.array(ignored, bool),
        }
    return Tables(
        per_image=pd.DataFrame({"image_id": [1], "num_regions": [regions], "num_detections": [count]}),
        matches=pd.DataFrame(matches),
    )


def test_by_hand():
    """Two regions; right at 0.9, wrong at 0.7, right at 0.6; one on a crowd does not count."""
    tables = tables_of([0.6, 0.9, 0.8, 0.7], [1, 1, 0, 0], [0, 0, 1, 0], regions=2)
    curve = operating_curve(tables, "mask")
    assert curve.score.tolist() == [0.9, 0.7, 0.6]
    assert curve.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3])
    assert curve.recall.tolist() == pytest.approx([1 / 2, 1 / 2, 1])
    assert curve.f1.tolist() == pytest.approx([2 / 3, 1 / 2, 4 / 5])
    best = curve.best()
    assert (best.score, best.detections) == (0.6, 3)
    assert best.f1 == pytest.approx(2 * best.precision * best.recall / (best.precision + best.recall))


def test_equal_scores_are_cut_together():
    curve = operating_curve(tables_of([0.5, 0.5, 0.5], [0, 1, 0], [0, 0, 0], regions=1), "box")
    assert curve.score.tolist() == [0.5]
    assert curve.precision.tolist() == pytest.approx([1 / 3])


def test_among_equal_f1_the_highest_score_is_best():
    curve = operating_curve(tables_of([0.9, 0.8], [1, 1], [0, 0], regions=10), "mask")
    assert curve.best().score == 0.8
    curve = operating_curve(tables_of([0.9, 0.1], [1, 0], [0, 0], regions=1), "mask")
    assert curve.best().score == 0.9


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_a_cut_equals_matching_only_the_detections_above_it(kind):
    """The claim of the module: lower scores never change the matches of higher ones."""
    _, _, truths, detections, names = coco100(kind)
    curve = operating_curve(build_tables(truths, detections, categories=names), kind)
    for place in (0, len(curve.score) // 3, len(curve.score) - 1):
        cut = [_cut(item, float(curve.score[place])) for item in detections]
        images = build_tables(truths, cut, categories=names).per_image
        right, wrong = images[f"{kind}_tp50"].sum(), images[f"{kind}_fp50"].sum()
        assert curve.detections[place] == right + wrong
        assert curve.precision[place] == pytest.approx(right / (right + wrong))
        assert curve.recall[place] == pytest.approx(right / images["num_regions"].sum())


def test_falls_from_certain_to_faint_on_nuclei():
    _, _, truths, detections, names = nuclei()
    curve = operating_curve(build_tables(truths, detections, categories=names), "mask")
    assert (np.diff(curve.score) < 0).all()
    assert (np.diff(curve.recall) >= 0).all()
    assert curve.best().f1 == curve.f1.max()


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="no image has a region; precision and recall over nothing"):
        operating_curve(tables_of([0.5], [0], [0], regions=0), "mask")


def test_nothing_to_cut_is_an_error():
    curve = operating_curve(tables_of([0.5], [0], [1], regions=1), "mask")
    assert len(curve.score) == 0
    with pytest.raises(ValueError, match="no detection counts, so there is no score to cut at"):
        curve.best()
