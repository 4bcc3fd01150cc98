"""One model or two that answer referring expressions -> one HTML file that needs no network.

``referring.html`` carries its style, pictures and charts; ``metrics.csv`` holds the numbers for spreadsheets.
All is rendered from files alone: equal files give equal bytes.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from tasks.data.commit import commit_directory
from tasks.report import referring_gallery, referring_tables, referring_wording, tables
from tasks.report.referring_sources import ReferringInputs, ReferringSources, read_sources
from tasks.report.rendering import draw_change, draw_chart, metrics_csv, render_page

REPORT_SCHEMA: Final = "groundwork.referring_report/1"
PAGE: Final = "referring.html"


def render_referring(inputs: ReferringInputs, out: Path) -> Path:
    """Write the page as a committed directory.

    Args:
        inputs: The files.
        out: Directory to create or replace.

    Returns:
        The page, ``out / "referring.html"``.

    Raises:
        IntegrityError: If an input was damaged, or two of them are not about the same data and models.
        DataError: If an input is malformed.
        UnavailableError: If an input or an image is absent.
    """
    sources = read_sources(inputs)
    page = _page(inputs, sources)

    def write(folder: Path) -> None:
        (folder / PAGE).write_text(_html(page), encoding="utf-8")
        table = metrics_csv(page["metric_groups"], other="other")
        (folder / "metrics.csv").write_text(table, encoding="utf-8")

    hashes = {"candidate": sources.models[0].evaluation.sha256}
    if len(sources.models) > 1:
        hashes["champion"] = sources.models[1].evaluation.sha256
    commit_directory(out, write, schema=REPORT_SCHEMA, provenance={"evaluations": hashes})
    return out / PAGE


def _page(inputs: ReferringInputs, sources: ReferringSources) -> dict[str, Any]:
    """Collect what the template shows; the template itself computes nothing."""
    galleries = {
        "worst": referring_gallery.worst_first(sources, count=inputs.shown),
        "changed": referring_gallery.most_changed(sources, count=inputs.shown),
        "random": referring_gallery.at_random(sources, count=inputs.shown, seed=inputs.seed),
        "unanswered": referring_gallery.unanswered(sources, count=inputs.shown),
    }
    every = [number for ids in galleries.values() for number in ids]
    cards = referring_gallery.build_cards(sources, every, images=inputs.images)
    groups, decision = referring_tables.metric_groups(sources), sources.decision
    overview = (referring_tables.thresholds(sources), referring_tables.agreement(sources))
    parted = referring_tables.breakdowns(sources)
    names = [model.name for model in sources.models]
    return {
        "models": sources.models,
        "names": names,
        "made_at": inputs.made_at,
        "tiles": referring_tables.tiles(sources, groups),
        "metric_groups": groups,
        "reach": tables.reach(groups),
        "undefined": list(sources.models[0].evaluation.metrics["undefined"].items()),
        "floors": [] if decision is None else referring_tables.limits(decision),
        "comparisons": [] if decision is None else referring_tables.comparisons(decision),
        "overview": [draw_chart(chart) for chart in overview if chart is not None],
        "breakdowns": parted,
        "parted": [draw_chart(referring_tables.parted_chart(item, names)) for item in parted],
        "galleries": referring_wording.galleries(galleries, inputs, sources),
        "cards": cards,
        "photographs": referring_gallery.photographs_of(cards),
        **referring_wording.page_words(sources),
    }


def _html(page: Mapping[str, Any]) -> str:
    filters: dict[str, Callable[..., Any]] = {"drawn": draw_change, "shown": referring_wording.shown}
    return render_page("referring.html.j2", page, styles=["referring.css"], filters=filters)
