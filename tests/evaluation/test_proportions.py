import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from evaluation.proportions import wilson_upper


@pytest.mark.parametrize(
    ("hits", "objects", "confidence"),
    [(0, 9, 0.95), (0, 24, 0.95), (0, 25, 0.95), (5, 10, 0.95), (7, 7, 0.9), (3, 400, 0.999), (1, 1, 0.5)],
)
def test_it_is_the_upper_end_of_scipy(hits, objects, confidence):
    peer = binomtest(hits, objects, alternative="less").proportion_ci(confidence, method="wilson").high
    assert wilson_upper(hits / objects, objects=objects, confidence=confidence) == pytest.approx(peer)


def test_of_no_hit_it_is_what_can_be_worked_out_by_hand():
    """Of no hit among n it is z^2 / (n + z^2); with z = 1.6449 that is 2.7055 / 11.7055 for n = 9."""
    assert wilson_upper(0.0, objects=9, confidence=0.95) == pytest.approx(2.7055 / 11.7055, abs=1e-4)


@given(
    st.floats(0, 1),
    st.integers(1, 10**7),
    st.floats(0.5, 1, exclude_max=True),
)
def test_it_lies_between_the_share_and_one(share, objects, confidence):
    upper = wilson_upper(share, objects=objects, confidence=confidence)
    assert share - 1e-12 <= upper <= 1.0
    assert math.isfinite(upper)


def test_it_covers_the_true_share_as_often_as_it_says():
    generator = np.random.default_rng(0)
    for share in (0.1, 0.3, 0.6):
        hits = generator.binomial(60, share, size=4000)
        covers = [wilson_upper(float(hit) / 60, objects=60, confidence=0.95) >= share for hit in hits]
        assert 0.92 <= np.mean(covers) <= 0.99


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((math.nan, 3, 0.95), r"^share must lie from 0 to 1, got nan\.$"),
        ((1.1, 3, 0.95), r"^share must lie from 0 to 1, got 1\.1\.$"),
        ((0.5, 0, 0.95), r"^objects must be at least 1, got 0\.$"),
        ((0.5, 3, 1.0), r"^confidence must lie from 0\.5 to below 1, got 1\.0\.$"),
        ((0.5, 3, math.nan), r"^confidence must lie from 0\.5 to below 1, got nan\.$"),
    ],
)
def test_what_is_no_share_is_refused(arguments, message):
    share, objects, confidence = arguments
    with pytest.raises(ValueError, match=message):
        wilson_upper(share, objects=objects, confidence=confidence)
