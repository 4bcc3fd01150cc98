"""One candidate -> one HTML file that needs no network, and its twins for other readers.

``report.html`` carries its style, pictures and charts; ``metrics.csv``, ``charts/*.png`` and ``worst.png``
hold the same numbers and pictures for spreadsheets and trackers. All are rendered from files alone: equal
files give equal bytes.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tasks.data.commit import commit_directory
from tasks.report import figures, gallery, lineage, tables, verdict, wording
from tasks.report.charts import BarChart, LineChart, draw_bars, draw_interval, draw_lines
from tasks.report.pictures import draw_png
from tasks.report.sources import ReportInputs, Sources, read_sources

REPORT_SCHEMA = "groundwork.report/1"
PAGE = "report.html"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendEntry:
    """One curve's name beside its colour."""

    name: str
    tone: int
    dashed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnChart:
    """A chart as the page shows it."""

    slug: str
    title: str
    note: str
    legend: tuple[LegendEntry, ...]
    drawing: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """The charts of a page, by section."""

    curves: tuple[LineChart, ...]
    sizes: tuple[BarChart, ...]
    training: tuple[LineChart, ...]

    @property
    def every(self) -> tuple[LineChart | BarChart, ...]:
        """All of them, in reading order."""
        return (*self.curves, *self.sizes, *self.training)


def render_report(inputs: ReportInputs, out: Path) -> Path:
    """Write the report of one candidate as a committed directory.

    Args:
        inputs: The candidate's files.
        out: Directory to create or replace.

    Returns:
        The page, ``out / "report.html"``.

    Raises:
        IntegrityError: If an input was damaged, or decision, metrics and predictions are of different models.
        DataError: If an input is malformed.
        UnavailableError: If an input or an image is absent.
    """
    sources = read_sources(inputs)
    charts = _charts(sources)
    worst, drawn = _choose(inputs, sources)
    cards = gallery.build_cards(
        inputs.dataset,
        [*worst, *drawn],
        records=sources.records,
        predictions=sources.predictions,
        scores=sources.scores,
    )
    page = _page(inputs, sources, charts) | {"cards": cards, "worst": worst, "random": drawn}

    def write(folder: Path) -> None:
        (folder / PAGE).write_text(_html(page), encoding="utf-8")
        (folder / "metrics.csv").write_text(_metrics_csv(page["metric_groups"]), encoding="utf-8")
        gallery.paint_cards([cards[image_id] for image_id in worst]).save(folder / "worst.png")
        (folder / "charts").mkdir()
        for chart in charts.every:
            draw_png(chart, folder / "charts" / f"{chart.slug}.png")

    commit_directory(out, write, schema=REPORT_SCHEMA, provenance={"hashes": sources.hashes})
    return out / PAGE


def _charts(sources: Sources) -> Charts:
    metrics, champion = sources.metrics, sources.champion_metrics
    sizes = (
        figures.average_precision_by_size(metrics, champion),
        figures.recall_by_size(sources.curves, sources.champion_curves),
    )
    return Charts(
        curves=tuple(figures.precision_recall(sources.curves, sources.champion_curves)),
        sizes=tuple(chart for chart in sizes if chart is not None),
        training=tuple(figures.training(sources.history)),
    )


def _choose(inputs: ReportInputs, sources: Sources) -> tuple[list[int], list[int]]:
    """Choose the images of both galleries."""
    scores = list(sources.scores.values())
    worst = gallery.worst_first(scores, count=inputs.images)
    drawn = gallery.at_random(list(sources.scores), count=inputs.images, seed=inputs.seed)
    return worst, drawn


def _page(inputs: ReportInputs, sources: Sources, charts: Charts) -> dict[str, Any]:
    """Collect what the template shows; the template itself computes nothing."""
    decision, metrics = sources.decision, sources.metrics
    groups = tables.metric_groups(sources)
    judged = verdict.read_verdict(decision, in_force=inputs.in_force)
    return {
        "model": inputs.model,
        "version": inputs.version,
        "made_at": inputs.made_at,
        "verdict": judged,
        "tiles": tables.tiles(groups),
        "champion": sources.champion_metrics is not None,
        "metric_groups": groups,
        "reach": tables.reach(groups),
        "undefined": list(metrics["undefined"].items()),
        "floors": tables.floor_rows(decision),
        "comparisons": tables.comparison_rows(decision),
        "curves": [_draw(chart) for chart in charts.curves],
        "sizes": [_draw(chart) for chart in charts.sizes],
        "training": [_draw(chart) for chart in charts.training],
        "lineage": lineage.lineage_rows(inputs.lineage, sources.hashes),
        **wording.page_words(inputs, sources),
    }


def _draw(chart: LineChart | BarChart) -> DrawnChart:
    if isinstance(chart, BarChart):
        legend = tuple(LegendEntry(name=name, tone=tone, dashed=False) for name, tone in chart.legend)
        drawing = draw_bars(chart)
    else:
        shown = [line for line in chart.lines if not line.thin]
        legend = tuple(LegendEntry(name=line.name, tone=line.tone, dashed=line.dashed) for line in shown)
        legend = legend if len(legend) > 1 else ()
        drawing = draw_lines(chart)
    return DrawnChart(slug=chart.slug, title=chart.title, note=chart.note, legend=legend, drawing=drawing)


def _draw_change(change: tables.Change, reach: float) -> Markup:
    if change.interval is None:
        return Markup()
    return draw_interval(
        change.interval, value=change.value, margin=change.margin, reach=reach, tone=change.tone
    )


def _html(page: dict[str, Any]) -> str:
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
        "drawn": _draw_change,
        "is_hash": lineage.is_hash,
    }
    style = files("tasks.report").joinpath("templates/report.css").read_text(encoding="utf-8")
    return environment.get_template("report.html.j2").render(page=page, style=Markup(style))


def _metrics_csv(groups: Sequence[tables.MetricGroup]) -> str:
    """Write the metric table; a cell that a spreadsheet would run as a formula gets a leading quote."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["metric", "value", "low", "high", "champion", "difference", "lower", "upper", "count"])
    for row in [row for group in groups for row in group.rows]:
        change = row.change
        cells = [row.name, row.value, *(row.interval or (None, None)), row.champion]
        cells += [None] * 3 if change is None else [change.value, *(change.interval or (None, None))]
        writer.writerow([_cell(value) for value in [*cells, row.count]])
    return stream.getvalue()


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
