import csv
import io

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from tasks.report.charts import Bar, BarChart, Line, LineChart
from tasks.report.rendering import draw_chart, metrics_csv, render_page
from tasks.report.tables import Change, MetricGroup, MetricRow


def row(**given: object) -> MetricRow:
    usual = {
        "name": "mask.ap", "label": "AP", "note": "", "unit": "fraction", "value": 0.5,
        "interval": (0.4, 0.6), "champion": None, "change": None, "count": 7,
    }  # fmt: skip
    return MetricRow(**(usual | given))


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_table_names_the_model_beside() -> None:
    change = Change(value=0.1, interval=(0.05, 0.15), margin=None, tone="up")
    groups = [MetricGroup(name="Masks", rows=(row(champion=0.4, change=change), row(name="mask.ap50")))]
    first, second = read(metrics_csv(groups, other="champion"))
    assert first == {
        "metric": "mask.ap", "value": "0.5", "low": "0.4", "high": "0.6", "champion": "0.4",
        "difference": "0.1", "lower": "0.05", "upper": "0.15", "count": "7",
    }  # fmt: skip
    assert (second["champion"], second["difference"]) == ("", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_is_never_a_formula(start: str) -> None:
    text = metrics_csv([MetricGroup(name="", rows=(row(name=f"{start}1+1"),))], other="other")
    assert text.partition("\n")[2].startswith(("'", "\"'"))


def test_a_template_shows_nothing_that_it_was_not_given() -> None:
    with pytest.raises(UndefinedError):
        render_page("report.html.j2", {})
    with pytest.raises(TemplateNotFound):
        render_page("absent.html.j2", {})


def lines(*drawn: Line) -> LineChart:
    return LineChart(
        slug="s", title="t", note="", x_label="x", y_label="y", lines=drawn, x_range=(0, 1), y_range=(0, 1)
    )


def test_one_curve_alone_needs_no_legend() -> None:
    line = Line(name="candidate", points=((0.0, 0.0), (1.0, 1.0)))
    other = Line(name="champion", points=((0.0, 1.0), (1.0, 0.0)), tone=1, dashed=True)
    thin = Line(name="each step", points=((0.0, 0.0), (1.0, 0.5)), thin=True)
    assert draw_chart(lines(line, thin)).legend == ()
    legend = draw_chart(lines(line, other, thin)).legend
    assert [(entry.name, entry.dashed) for entry in legend] == [("candidate", False), ("champion", True)]


def test_bars_keep_their_legend() -> None:
    bars = (Bar(value=0.5), Bar(value=0.25, tone=1))
    chart = BarChart(
        slug="s", title="t", note="", groups=(("small", "n = 3", bars),), legend=(("a", 0), ("b", 1))
    )
    drawn = draw_chart(chart)
    assert [(entry.name, entry.tone) for entry in drawn.legend] == [("a", 0), ("b", 1)]
    assert "<svg" in drawn.drawing
