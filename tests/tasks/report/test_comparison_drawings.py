import re
from xml.etree import ElementTree

import pytest

from evaluation.calibration import Calibration, ScoreBin
from tasks.report.comparison_drawings import draw_change, draw_reliability, short

CALIBRATION = Calibration(
    bins=(
        ScoreBin(low=0.0, high=0.5, count=30, mean_score=0.25, precision=0.5),
        ScoreBin(low=0.5, high=1.0, count=0, mean_score=None, precision=None),
    ),
    expected_error=0.25,
    largest_error=0.25,
    mean_score=0.25,
    precision=0.5,
    count=30,
)


def test_reliability_draws_precision_gap_and_count() -> None:
    svg = ElementTree.fromstring(draw_reliability(CALIBRATION, name="<b>", tone=2))
    [group] = svg.findall("g")
    precision, gap, count = group.findall("rect")
    assert precision.get("class") == "bar tone-2"
    assert float(precision.get("height", "")) == pytest.approx(111.0)  # half of the plot
    assert gap.get("class") == "gap"
    assert float(gap.get("height", "")) == pytest.approx(55.5)
    assert float(gap.get("y", "")) == pytest.approx(float(precision.get("y", "")))
    assert float(count.get("height", "")) == pytest.approx(50.0)
    assert group.findtext("text") == "30"
    assert group.findtext("title") == ("score 0.0 to 0.5: 30 detections, precision 0.500, mean score 0.250")
    assert svg.get("aria-label") == (
        "Reliability of <b>: expected calibration error 0.250, mean score 0.250, precision 0.500"
    )


@pytest.mark.parametrize(("value", "left", "tone"), [(0.1, 70.0, "up"), (-0.1, 37.0, "down")])
def test_a_change_is_a_bar_from_zero(value: float, left: float, tone: str) -> None:
    svg = ElementTree.fromstring(draw_change(value, reach=0.2))
    bar = svg.find("rect")
    assert bar is not None
    assert (bar.get("class"), float(bar.get("x", "")), float(bar.get("width", ""))) == (tone, left, 33.0)
    assert re.fullmatch(r"difference [+-]0\.100", svg.get("aria-label", ""))


def test_a_change_never_leaves_its_cell() -> None:
    bar = ElementTree.fromstring(draw_change(9.0, reach=0.2)).find("rect")
    assert bar is not None
    assert float(bar.get("width", "")) == 66.0


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1234, "1.2k"), (9949, "9.9k"), (9950, "10k"), (34_000, "34k")],
)
def test_counts_fit_their_bin(count: int, text: str) -> None:
    assert short(count) == text
