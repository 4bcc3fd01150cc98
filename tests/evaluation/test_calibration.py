import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.calibration import calibrate
from evaluation.tables import Tables


def tables_of(scores, right, ignored=None):
    """Tables with only the columns that matter here."""
    ignored = np.zeros(len(scores), bool) if ignored is None else np.array(ignored, bool)
    matches = {"score": np.array(scores, dtype=float)}
    matches |= {"mask_matched_50": np.array(right, bool), "mask_ignored_50": ignored}
    return Tables(per_image=pd.DataFrame(), matches=pd.DataFrame(matches))


def slow_error(scores, right, num_bins):
    """Equation 3 of Guo et al. in words, one bin at a time."""
    total = 0.0
    for m in range(1, num_bins + 1):
        inside = [
            i for i, s in enumerate(scores) if (m - 1) / num_bins < s <= m / num_bins or (m == 1 and s == 0.0)
        ]
        if inside:
            accuracy = sum(right[i] for i in inside) / len(inside)
            confidence = sum(scores[i] for i in inside) / len(inside)
            total += len(inside) / len(scores) * abs(accuracy - confidence)
    return total


def test_by_hand():
    found = calibrate(tables_of([0.9, 0.9, 0.1], [1, 0, 0]), "mask")
    assert found.expected_error == pytest.approx(2 / 3 * 0.4 + 1 / 3 * 0.1)
    assert found.largest_error == pytest.approx(0.4)
    assert found.precision == pytest.approx(1 / 3)
    assert found.mean_score == pytest.approx(1.9 / 3)
    assert [item.count for item in found.bins] == [1, 0, 0, 0, 0, 0, 0, 0, 2, 0]
    assert (found.bins[8].low, found.bins[8].high) == (pytest.approx(0.8), pytest.approx(0.9))
    assert (found.bins[8].mean_score, found.bins[8].precision) == (pytest.approx(0.9), 0.5)
    assert found.bins[1].mean_score is None
    assert found.bins[1].precision is None


def test_ends_belong_to_the_bin_below_and_zero_to_the_first():
    found = calibrate(tables_of([0.0, 0.5, 1.0], [0, 0, 0]), "mask", num_bins=2)
    assert [item.count for item in found.bins] == [2, 1]


def test_detections_on_a_crowd_do_not_count():
    found = calibrate(tables_of([0.9, 0.3], [1, 0], [0, 1]), "mask")
    assert (found.count, found.precision) == (1, 1.0)


def test_scores_that_mean_what_they_say_have_no_error():
    scores = [0.25] * 4 + [0.75] * 4
    assert calibrate(tables_of(scores, [1, 0, 0, 0, 1, 1, 1, 0]), "mask").expected_error == pytest.approx(0.0)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 64), st.booleans()), min_size=1, max_size=30), st.integers(1, 8))
def test_equals_the_equation_in_words(pairs, power):
    """Scores and ends of bins are binary fractions, so that both sides put them in the same bin."""
    num_bins = 2 ** (power % 5)
    scores, right = [score / 64 for score, _ in pairs], [hit for _, hit in pairs]
    found = calibrate(tables_of(scores, right), "mask", num_bins=num_bins)
    assert found.expected_error == pytest.approx(slow_error(scores, right, num_bins))
    assert found.expected_error <= found.largest_error + 1e-12
    assert sum(item.count for item in found.bins) == len(scores)


def test_nothing_to_calibrate_is_an_error():
    with pytest.raises(ValueError, match="no detection counts; a calibration error over nothing is refused"):
        calibrate(tables_of([0.5], [0], [1]), "mask")


def test_no_bin_is_an_error():
    with pytest.raises(ValueError, match="num_bins must be at least 1, got 0"):
        calibrate(tables_of([0.5], [1]), "mask", num_bins=0)
