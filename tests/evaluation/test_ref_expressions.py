"""Ratios of sums, by hand and under weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.definition import Definition, MetricSpec
from evaluation.ref_expressions import Ratio, check_ids, check_split, score_split

NOTHING = Ratio(numerator_N=np.zeros(2), denominator_N=np.zeros(2), undefined="no expression has a target")


def definition(*names):
    return Definition(
        name="test/1",
        iou_percent=(),
        recall_points=0,
        caps=(),
        areas=(),
        conventions=(),
        metrics=tuple(MetricSpec(name=name, meaning="") for name in names),
    )


def test_a_metric_is_a_ratio_of_sums():
    """(1 + 0) / (2 + 8) = 0.1, the cumulative IoU of (1, 2) and (0, 8)."""
    ratio = Ratio(numerator_N=np.array([1.0, 0.0]), denominator_N=np.array([2.0, 8.0]), undefined="")
    scores = score_split("val", {"a": ratio, "b": NOTHING}, definition("a", "b"))
    assert scores.value("a") == 0.1
    assert scores.metrics[0].to_json() == {
        "name": "a",
        "value": 0.1,
        "unit": "fraction",
        "higher_is_better": True,
        "count": 2,
    }
    assert scores.undefined == {"b": "no expression has a target"}
    with pytest.raises(ValueError, match=r"^b of val: no expression has a target\.$"):
        scores.value("b")
    with pytest.raises(ValueError, match=r"^c of val: unknown metric\.$"):
        scores.value("c")


def test_weights_that_leave_nothing_are_refused():
    ratio = Ratio(numerator_N=np.array([1.0, 0.0]), denominator_N=np.array([1.0, 0.0]), undefined="no pixel")
    assert ratio.recompute(np.array([[1.0, 0.0]])).tolist() == [1.0]
    with pytest.raises(ValueError, match=r"^1 of 2 resamples: no pixel\.$"):
        ratio.recompute(np.array([[1.0, 0.0], [0.0, 2.0]]))


@settings(derandomize=True, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 50), st.integers(0, 4)), min_size=1, max_size=20
    )
)
def test_a_weight_is_a_repetition(rows):
    top, bottom, weight = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    if not weight.any():
        return
    ratio = Ratio(numerator_N=top, denominator_N=bottom, undefined="")
    repeats = weight.astype(int)
    expected = np.repeat(top, repeats).sum() / np.repeat(bottom, repeats).sum()
    assert ratio.recompute(weight[None])[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("expressions", "predictions", "kind", "message"),
    [
        ([], [], ValueError, "no expression to score; a metric over nothing is refused."),
        ([1, 2, 1], [], ValueError, "expression 1 appears a second time."),
        ([1, "2"], [], TypeError, "expression_id must be an int, got '2'."),
        ([True], [], TypeError, "expression_id must be an int, got True."),
        ([1], [1, 5, 6], ValueError, "2 predictions are of unknown expressions, first: [5, 6]."),
    ],
)
def test_ids_must_be_known_and_single(expressions, predictions, kind, message):
    with pytest.raises(kind) as caught:
        check_ids(expressions, predictions)
    assert str(caught.value) == message


def test_missing_predictions_are_no_error():
    check_ids([1, 2, 3], [2])


@pytest.mark.parametrize("split", ["", None, 3])
def test_an_expression_belongs_to_a_split(split):
    check_split(4, "val")
    with pytest.raises(
        ValueError, match=rf"^expression 4: split must be text that is not empty, got {split!r}\.$"
    ):
        check_split(4, split)
