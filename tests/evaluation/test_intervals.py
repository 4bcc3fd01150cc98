import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evaluation.intervals import MOST_GROUPS, _cut, bca_interval, leave_out_weights, percentile_interval


def sample(size=60, seed=4):
    return np.random.default_rng(seed).exponential(size=size)


def resampled_means(values, count, seed=5):
    return np.random.default_rng(seed).choice(values, size=(count, len(values))).mean(axis=1)


def left_out_means(values):
    weights = leave_out_weights(len(values))
    return weights @ values / weights.sum(axis=1)


def test_percentiles_by_hand():
    # 0, 1, ..., 100: a tenth of alpha on each side ends at 10 and 90.
    result = percentile_interval(50.0, np.arange(101.0), alpha=0.2)
    assert (result.value, result.low, result.high, result.alpha) == (50.0, 10.0, 90.0, 0.2)


def test_bca_without_bias_and_skew_is_the_percentile_interval():
    values, left_out = np.arange(101.0), np.array([-1.0, 0.0, 1.0])
    bca = bca_interval(50.0, values, left_out, alpha=0.2)
    assert bca.low == pytest.approx(10.0)
    assert bca.high == pytest.approx(90.0)


def test_bca_by_hand():
    # 101 resamples, 0 to 100; 30 below the value 30 and one equal: 30.5 / 101, so the bias is -0.5187.
    # Left out: -2, 1, 1 pull by 2, -1, -1: acceleration 6 / (6 * 6**1.5) = 0.0680.
    # Low end: moved -0.5187 - 1.2816 = -1.8003, cut at -0.5187 - 1.8003 / 1.1225 = -2.1226: a share of 1.69%.
    bias, pull = stats.norm.ppf(30.5 / 101), 6 / (6 * 6**1.5)
    ends = []
    for share in (0.1, 0.9):
        moved = bias + stats.norm.ppf(share)
        ends.append(100 * stats.norm.cdf(bias + moved / (1 - pull * moved)))
    result = bca_interval(30.0, np.arange(101.0), np.array([-2.0, 1.0, 1.0]), alpha=0.2)
    assert (result.low, result.high) == (pytest.approx(ends[0]), pytest.approx(ends[1]))
    assert result.low == pytest.approx(1.69, abs=0.005)


def test_bca_agrees_with_scipy():
    values = sample()
    peer = stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="BCa", confidence_level=0.9, rng=1
    ).confidence_interval
    means = resampled_means(values, 40_000)
    result = bca_interval(values.mean(), means, left_out_means(values), alpha=0.1)
    assert result.low == pytest.approx(peer.low, abs=0.006)
    assert result.high == pytest.approx(peer.high, abs=0.006)
    # The mean of a skewed sample: BCa lies further right than the percentiles.
    plain = percentile_interval(values.mean(), means, alpha=0.1)
    assert result.low > plain.low
    assert result.high > plain.high


def test_each_image_is_left_out_once():
    np.testing.assert_array_equal(leave_out_weights(3), 1 - np.eye(3))
    many = leave_out_weights(2 * MOST_GROUPS + 1)
    assert many.shape == (MOST_GROUPS, 2 * MOST_GROUPS + 1)
    assert ((many == 0).sum(axis=0) == 1).all()
    assert set((many == 0).sum(axis=1)) == {2, 3}


def test_groups_tell_the_same_skew_as_single_images():
    values = sample(size=5 * MOST_GROUPS)
    means = resampled_means(values, 500)
    one_by_one = (values.sum() - values) / (len(values) - 1)
    single = bca_interval(values.mean(), means, one_by_one, alpha=0.05)
    grouped = bca_interval(values.mean(), means, left_out_means(values), alpha=0.05)
    width = single.high - single.low
    assert grouped.low == pytest.approx(single.low, abs=0.02 * width)
    assert grouped.high == pytest.approx(single.high, abs=0.02 * width)


def test_resamples_without_spread_have_no_width():
    result = bca_interval(0.0, np.zeros(100), np.zeros(5), alpha=0.05)
    assert (result.low, result.high) == (0.0, 0.0)


def test_what_has_no_interval_is_refused():
    with pytest.raises(ValueError, match=r"^all resamples lie on one side of the value 2\.0: their bias has"):
        bca_interval(2.0, np.arange(2.0), np.arange(3.0), alpha=0.05)
    for alpha in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"^alpha must lie between 0 and 1, got "):
            bca_interval(0.0, np.arange(3.0), np.arange(3.0), alpha=alpha)
        with pytest.raises(ValueError, match=r"^alpha must lie between 0 and 1, got "):
            percentile_interval(0.0, np.arange(3.0), alpha=alpha)


def test_beyond_the_pole_of_the_formula_an_end_is_the_outermost_resample():
    # 1 - (4.5 + 3.09) / 6 is negative: the formula would jump to the other side.
    assert _cut(4.5, 1 / 6, 0.999) == 1.0
    assert _cut(-4.5, -1 / 6, 0.001) == 0.0


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=40),
    st.lists(st.floats(-1, 1), min_size=2, max_size=20),
    st.floats(-1, 1),
)
def test_ends_are_resamples_in_order(values, left_out, value):
    values = np.array(values)
    try:
        result = bca_interval(value, values, np.array(left_out), alpha=0.05)
    except ValueError:
        assert (values <= value).all() or (values >= value).all()
        return
    assert values.min() <= result.low <= result.high <= values.max()
