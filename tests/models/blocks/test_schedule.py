import doctest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import schedule
from models.blocks.schedule import one_cycle, warmed_up


def rates(num_steps, warmup_fraction, peak=1.0):
    return [
        one_cycle(step, num_steps, peak=peak, warmup_fraction=warmup_fraction) for step in range(num_steps)
    ]


def test_example_of_the_docstring_holds():
    assert doctest.testmod(schedule).failed == 0


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(1, 300), st.floats(0.0, 0.99), st.floats(1e-6, 10.0))
def test_rises_to_the_peak_then_falls_and_never_below_a_hundredth(num_steps, warmup_fraction, peak):
    learning_rate = rates(num_steps, warmup_fraction, peak)
    top = learning_rate.index(max(learning_rate))
    assert learning_rate[top] == pytest.approx(peak)
    rising, falling = learning_rate[: top + 1], learning_rate[top:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert min(falling) >= 0.01 * peak * (1.0 - 1e-12)
    assert min(rising) > 0.0


def test_warmup_is_linear_and_has_the_stated_length():
    assert rates(40, 0.25)[:11] == pytest.approx([*(number / 10 for number in range(1, 11)), 1.0])
    assert rates(40, 0.25)[11] < 1.0


def test_ends_near_a_hundredth():
    assert rates(1000, 0.1)[-1] == pytest.approx(0.01, abs=1e-4)


@pytest.mark.parametrize("warmup_fraction", [0.0, 0.5, 0.99])
def test_a_run_of_one_step_takes_the_peak(warmup_fraction):
    assert rates(1, warmup_fraction, peak=0.3) == [0.3]


def test_scales_with_the_peak():
    assert rates(20, 0.2, peak=0.04) == pytest.approx([0.04 * rate for rate in rates(20, 0.2)])


@pytest.mark.parametrize(("ratio", "warmup"), [(0.0, 0), (0.03, 1), (0.25, 3), (0.26, 4)])
def test_a_stage_rises_over_whole_steps_none_of_them_idle(ratio, warmup):
    found = [warmed_up(step, 12, warmup_ratio=ratio, then="cosine") for step in range(12)]
    assert found[:warmup] == pytest.approx([(step + 1) / warmup for step in range(warmup)])
    assert found[warmup] == 1.0
    assert found[warmup:] == sorted(found[warmup:], reverse=True)
    assert 0.0 < found[-1] < 0.05
    steady = [warmed_up(step, 12, warmup_ratio=ratio, then="constant") for step in range(12)]
    assert steady == found[:warmup] + [1.0] * (12 - warmup)


def test_a_stage_of_one_step_takes_the_peak():
    assert [warmed_up(0, 1, warmup_ratio=ratio, then="cosine") for ratio in (0.0, 0.03, 0.9)] == [1.0] * 3
