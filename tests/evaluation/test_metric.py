import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metric import Metric


def metric(**changes):
    values = {"name": "mask.ap50", "value": 0.5, "unit": "fraction", "higher_is_better": True, "count": 7}
    return Metric(**(values | changes))


def test_json_holds_every_field():
    assert metric().to_json() == {
        "name": "mask.ap50",
        "value": 0.5,
        "unit": "fraction",
        "higher_is_better": True,
        "count": 7,
    }


@given(st.floats())
def test_only_finite_values_become_a_metric(value):
    if math.isfinite(value):
        assert json.loads(json.dumps(metric(value=value).to_json(), allow_nan=False))["value"] == value
    else:
        with pytest.raises(ValueError, match=r"mask\.ap50 must be finite, got "):
            metric(value=value)


@pytest.mark.parametrize("value", [True, None, "0.5"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match=rf"mask\.ap50 must be a number, got {value!r}\."):
        metric(value=value)


def test_negative_count_is_refused():
    with pytest.raises(ValueError, match=r"mask\.ap50 must count at least 0 items, got -1\."):
        metric(count=-1)
