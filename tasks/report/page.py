"""One candidate -> one HTML file that needs no network, and its twins for other readers.

``report.html`` carries its style, pictures and charts; ``metrics.csv``, ``charts/*.png`` and ``worst.png``
hold the same numbers and pictures for spreadsheets and trackers. All are rendered from files alone: equal
files give equal bytes.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.data.commit import commit_directory
from tasks.report import figures, gallery, lineage, tables, verdict, wording
from tasks.report.charts import BarChart, LineChart
from tasks.report.pictures import draw_png
from tasks.report.rendering import draw_change, draw_chart, metrics_csv, render_page
from tasks.report.sources import ReportInputs, Sources, read_sources

REPORT_SCHEMA = "groundwork.report/1"
PAGE = "report.html"


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
        table = metrics_csv(page["metric_groups"], other="champion")
        (folder / "metrics.csv").write_text(table, encoding="utf-8")
        gallery.paint_cards([cards[image_id] for image_id in worst]).save(folder / "worst.png")
        (folder / "charts").mkdir()
        for chart in charts.every:
            draw_png(chart, folder / "charts" / f"{chart.slug}.png")

    commit_directory(out, write, schema=REPORT_SCHEMA, provenance=_provenance(inputs, sources))
    return out / PAGE


def _provenance(inputs: ReportInputs, sources: Sources) -> dict[str, Any]:
    override = None if inputs.override is None else asdict(inputs.override)
    return {"hashes": sources.hashes, "override": override}


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
    judged = verdict.read_verdict(decision, in_force=inputs.in_force, override=inputs.override)
    floors, hidden = tables.worst_first(tables.floor_rows(decision))
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
        "floors": floors,
        "hidden_floors": hidden,
        "not_judged": tables.not_judged_lines(decision),
        "comparisons": tables.comparison_rows(decision),
        "curves": [draw_chart(chart) for chart in charts.curves],
        "sizes": [draw_chart(chart) for chart in charts.sizes],
        "training": [draw_chart(chart) for chart in charts.training],
        "lineage": lineage.lineage_rows(inputs.lineage, sources.hashes),
        **wording.page_words(inputs, sources),
    }


def _html(page: dict[str, Any]) -> str:
    filters: dict[str, Callable[..., Any]] = {"drawn": draw_change, "is_hash": lineage.is_hash}
    return render_page("report.html.j2", page, filters=filters)
