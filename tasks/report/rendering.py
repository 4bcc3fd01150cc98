"""What every page is rendered with: strict templates that escape, the house style, charts, the metric table.

Equal content gives equal bytes: nothing here knows a clock, a path or a service.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tasks.report import tables
from tasks.report.charts import BarChart, LineChart, draw_bars, draw_interval, draw_lines

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendEntry:
    """One curve's name beside its colour."""

    name: str
    tone: int
    dashed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnChart:
    """A chart as a page shows it."""

    slug: str
    title: str
    note: str
    legend: tuple[LegendEntry, ...]
    drawing: Markup


def render_page(
    template: str,
    page: Mapping[str, Any],
    *,
    styles: Sequence[str] = (),
    filters: Mapping[str, Callable[..., Any]] | None = None,
) -> str:
    """Fill a template of this package; the template itself computes nothing.

    Args:
        template: Name of the file in ``templates``.
        page: What it shows. Text is escaped, a name that is absent is an error.
        styles: Style sheets of ``templates`` that follow ``report.css``.
        filters: Beside ``number``, ``signed``, ``interval`` and ``whole``.

    Returns:
        One HTML document that carries its style.
    """
    environment = Environment(
        loader=PackageLoader("tasks.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": tables.number,
        "signed": tables.signed,
        "interval": tables.interval_text,
        "whole": tables.whole,
        **(filters or {}),
    }
    folder = files("tasks.report").joinpath("templates")
    style = "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in ("report.css", *styles))
    return environment.get_template(template).render(page=page, style=Markup(style))


def draw_chart(chart: LineChart | BarChart) -> DrawnChart:
    """Draw a chart and name its curves; one curve alone needs no legend."""
    if isinstance(chart, BarChart):
        legend = tuple(LegendEntry(name=name, tone=tone, dashed=False) for name, tone in chart.legend)
        drawing = draw_bars(chart)
    else:
        shown = [line for line in chart.lines if not line.thin]
        legend = tuple(LegendEntry(name=line.name, tone=line.tone, dashed=line.dashed) for line in shown)
        legend = legend if len(legend) > 1 else ()
        drawing = draw_lines(chart)
    return DrawnChart(slug=chart.slug, title=chart.title, note=chart.note, legend=legend, drawing=drawing)


def draw_change(change: tables.Change, reach: float) -> Markup:
    """Draw the interval of a difference with the gate's margin; nothing where there is none."""
    if change.interval is None:
        return Markup()
    return draw_interval(
        change.interval, value=change.value, margin=change.margin, reach=reach, tone=change.tone
    )


def metrics_csv(groups: Sequence[tables.MetricGroup], *, other: str) -> str:
    """Write the metric table; a cell that a spreadsheet would run as a formula gets a leading quote.

    Args:
        groups: Rows under headings.
        other: Name of the column of the model beside.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["metric", "value", "low", "high", other, "difference", "lower", "upper", "count"])
    for row in [row for group in groups for row in group.rows]:
        change = row.change
        cells = [row.name, row.value, *(row.interval or (None, None)), row.champion]
        cells += [None] * 3 if change is None else [change.value, *(change.interval or (None, None))]
        writer.writerow([_cell(value) for value in [*cells, row.count]])
    return stream.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
