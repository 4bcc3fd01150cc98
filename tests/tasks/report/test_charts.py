import math

import pytest

from tasks.report.charts import (
    Bar,
    BarChart,
    Line,
    LineChart,
    draw_bars,
    draw_interval,
    draw_lines,
    tick_text,
    ticks,
)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (1.0, 600.0, [200.0, 400.0, 600.0]),
        (0.0, 0.01, [0.0, 0.002, 0.004, 0.006, 0.008, 0.01]),
        (3.0, 3.0, [3.0]),
        (0.0, math.nan, [0.0]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_tick_text_has_no_noise() -> None:
    assert [tick_text(value) for value in (0.1 + 0.2, 0.0, 1200.0, 5e-05)] == ["0.3", "0", "1200", "5e-05"]


def test_a_line_breaks_where_a_number_is_missing() -> None:
    points = ((0.0, 0.0), (0.2, 0.5), (0.4, math.nan), (0.6, 0.5), (0.8, 1.0))
    chart = _lines(Line(name="a", points=points))
    drawing = draw_lines(chart)
    assert drawing.count("<polyline") == 2
    assert "nan" not in drawing


def test_places_follow_the_numbers() -> None:
    drawing = draw_lines(_lines(Line(name="a", points=((0.0, 0.0), (1.0, 1.0)), tone=2, dashed=True)))
    assert '<polyline class="line tone-2 dashed" points="52.0,238.0 426.0,14.0"/>' in drawing


def test_labels_are_escaped() -> None:
    chart = LineChart(
        slug="a",
        title='"><script>',
        note="",
        x_label="<b>",
        y_label="&",
        lines=(),
        x_range=(0, 1),
        y_range=(0, 1),
    )
    assert "<script>" not in draw_lines(chart)
    assert "<b>" not in draw_lines(chart)
    bars = BarChart(slug="a", title="<i>", note="", groups=(("<script>", "<b>", (Bar(value=0.5),)),))
    assert "<script>" not in draw_bars(bars)
    assert "<b>" not in draw_bars(bars)


def test_an_undefined_bar_is_a_dash_and_no_bar() -> None:
    chart = BarChart(
        slug="a",
        title="t",
        note="",
        groups=(("large", "", (Bar(value=None), Bar(value=0.5, reference=0.4))),),
    )
    drawing = draw_bars(chart)
    assert drawing.count("<rect") == 1
    assert drawing.count("\u2013") == 1
    assert drawing.count('class="mark"') == 1
    assert ">0.50<" in drawing


def test_an_interval_is_drawn_around_zero_and_stays_inside() -> None:
    drawing = draw_interval((-0.1, 9.0), value=0.0, margin=-0.05, reach=0.1, tone="up")
    assert 'x1="4.0" x2="136.0"' in drawing
    assert 'cx="70.0"' in drawing
    assert 'class="margin" x1="37.0"' in drawing
    assert draw_interval((0.0, 0.1), value=0.05, margin=None, reach=0.1, tone="up").count("margin") == 0


def _lines(*lines: Line) -> LineChart:
    return LineChart(
        slug="a",
        title="t",
        note="",
        x_label="x",
        y_label="y",
        lines=lines,
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
    )


def test_dots_point_out_places_of_a_curve() -> None:
    drawing = draw_lines(_lines(Line(name="a", points=((0.0, 0.0), (1.0, 1.0)), tone=2, dots=((1.0, 1.0),))))
    assert drawing.count("<circle ") == 1
    assert '<circle class="bar tone-2" cx="426.0" cy="14.0"' in drawing
