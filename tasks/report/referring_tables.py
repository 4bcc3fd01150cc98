"""Numbers of referring expressions -> rows, groups and charts of the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final, TypeAlias

from evaluation.bootstrap import Interval
from evaluation.definition import IOU_PERCENT
from tasks.data.referring import ReferringRecord
from tasks.data.rle import mask_area
from tasks.report import tables
from tasks.report.charts import Bar, BarChart, Line, LineChart
from tasks.report.referring_sources import ReferringSources
from tasks.report.tables import Change, ComparisonRow, FloorRow, MetricGroup, MetricRow, Tile

_LABELS: Final = {
    "ref_box.mean_iou": "Mean IoU",
    "ref_box.answered": "Answered",
    "ref_box.oracle_50": "Any box right at .50",
    "ref_mask.ciou": "cIoU",
    "ref_mask.giou": "gIoU",
    "ref_mask.n_acc": "N-acc",
    "ref_mask.t_acc": "T-acc",
    "ref_mask.answered": "Answered",
}
_TILES: Final = {
    "boxes": ("ref_box.accuracy_50", "ref_box.accuracy_75", "ref_box.mean_iou", "ref_box.answered"),
    "masks": (
        *("ref_mask.giou", "ref_mask.ciou", "ref_mask.precision_50"),
        *("ref_mask.n_acc", "ref_mask.answered"),
    ),
}
PREFIX: Final = {"boxes": "ref_box.accuracy_", "masks": "ref_mask.precision_"}
"""Metrics that count the expressions found at a threshold of IoU, which follows in percent."""
_Bounds: TypeAlias = tuple[tuple[str, float, float], ...]
_BELOW_A_BAR: Final = 12  # characters
_LENGTHS: Final = (("1 or 2", 1, 3), ("3 to 5", 3, 6), ("6 to 9", 6, 10), ("10 or more", 10, inf))
_SHARES: Final = (
    ("below 5 %", 0, 0.05),
    ("5 to 15 %", 0.05, 0.15),
    ("15 to 40 %", 0.15, 0.4),
    ("from 40 %", 0.4, inf),
)
_DISTRACTORS: Final = (("none", 0, 1), ("1", 1, 2), ("2 to 4", 2, 5), ("5 or more", 5, inf))
_TARGETS: Final = (("no region", 0, 1), ("one region", 1, 2), ("several regions", 2, inf))
_PROPERTIES: Final = (
    ("length", "Words of the expression", ""),
    ("size", "Size of the region", "Share of its image: of the mask, or of the box without one."),
    ("distractors", "Others of the same category in the image", "As far as the dataset tells."),
    ("targets", "Regions that the expression speaks of", "Of none, an answer of nothing is right."),
)
"""Slug, title and note of what parts the expressions; a bound above is from the first to below the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The expressions that have something in common."""

    label: str
    count: int
    right: tuple[float, ...]
    """Share found at IoU 0.5, of each model."""
    mean_iou: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """All expressions, parted by one property."""

    slug: str
    title: str
    note: str
    parts: tuple[Part, ...]


def label(name: str) -> str:
    """Name a metric in words: ``ref_box.accuracy_50`` -> ``Accuracy at IoU .50``."""
    quantity, _, percent = name.partition(".")[2].rpartition("_")
    return _LABELS.get(name) or f"{quantity.capitalize()} at IoU .{percent}"


def metric_groups(sources: ReferringSources) -> list[MetricGroup]:
    """Build the metric table, in the order of the evaluation."""
    candidate = sources.models[0]
    entries = candidate.evaluation.metrics["metrics"]
    meanings = {
        item["name"]: item["meaning"] for item in candidate.evaluation.metrics["definition"]["metrics"]
    }
    compared = (
        {} if sources.decision is None else {item["metric"]: item for item in sources.decision["comparisons"]}
    )
    at_threshold: list[MetricRow] = []
    others: list[MetricRow] = []
    for entry in entries:
        name = entry["name"]
        before = sources.models[1].values.get(name) if len(sources.models) > 1 else None
        row = MetricRow(
            name=name,
            label=label(name),
            note=meanings.get(name, ""),
            unit=entry["unit"],
            value=entry["value"],
            interval=_ends(sources.intervals.get(name)),
            champion=before,
            change=_change(entry, before, sources.differences.get(name), compared.get(name)),
            count=entry["count"],
        )
        (at_threshold if name.startswith(PREFIX[sources.kind]) else others).append(row)
    return [
        MetricGroup(name="All expressions", rows=tuple(others)),
        MetricGroup(name="Found at a threshold of IoU", rows=tuple(at_threshold)),
    ]


def tiles(sources: ReferringSources, groups: Sequence[MetricGroup]) -> list[Tile]:
    """Choose the large numbers; a metric that is undefined has no tile."""
    rows = {row.name: row for group in groups for row in group.rows}
    chosen = []
    for name in _TILES[sources.kind]:
        if name in rows:
            row = rows[name]
            note, tone = tables.interval_text(row.interval), "quiet"
            if row.change is not None:
                note, tone = f"{tables.signed(row.change.value)} to {sources.models[1].name}", row.change.tone
            chosen.append(Tile(name=row.label, value=tables.number(row.value), note=note, tone=tone))
    return chosen


def limits(decision: Mapping[str, Any]) -> list[FloorRow]:
    """Build the table of floors and ceilings."""
    rows = tables.floor_rows(decision)
    return [
        replace(row, label=label(entry["metric"]))
        for row, entry in zip(rows, decision["floors"], strict=True)
    ]


def comparisons(decision: Mapping[str, Any]) -> list[ComparisonRow]:
    """Build the table of what the gate compared."""
    rows = tables.comparison_rows(decision)
    return [
        replace(row, label=label(entry["metric"]))
        for row, entry in zip(rows, decision["comparisons"], strict=True)
    ]


def thresholds(sources: ReferringSources) -> LineChart:
    """Draw the share of expressions found over the thresholds of IoU."""
    lines = []
    for tone, model in enumerate(sources.models):
        names = [(percent, f"{PREFIX[sources.kind]}{percent}") for percent in IOU_PERCENT]
        points = tuple((percent / 100, model.values[name]) for percent, name in names if name in model.values)
        lines.append(Line(name=model.name, points=points, tone=tone, dashed=tone > 0))
    return LineChart(
        slug="thresholds",
        title="Found, by the overlap asked for",
        note="Share of the expressions with a region whose IoU is at least the threshold.",
        x_label="IoU",
        y_label="share found",
        lines=tuple(lines),
        x_range=(0.5, 0.95),
        y_range=(0.0, 1.0),
    )


def breakdowns(sources: ReferringSources) -> list[Breakdown]:
    """Part the expressions by what may make them hard; a property that parts nothing is left out."""
    measures: dict[str, tuple[_Bounds, Callable[[ReferringRecord], float | None]]] = {
        "length": (_LENGTHS, lambda record: len(record.expression.split())),
        "size": (_SHARES, _share),
        "distractors": (_DISTRACTORS, lambda record: record.distractors),
        "targets": (_TARGETS, lambda record: len(record.regions)),
    }
    found = [
        Breakdown(slug=slug, title=title, note=note, parts=_parts(sources, *measures[slug]))
        for slug, title, note in _PROPERTIES
    ]
    return [item for item in found if len(item.parts) > (item.slug == "targets")]


def parted_chart(breakdown: Breakdown, names: Sequence[str]) -> BarChart:
    """Draw the share found at IoU 0.5, part by part."""
    groups = tuple(
        (
            part.label,
            f"n = {tables.whole(part.count)}",
            tuple(Bar(value=value, tone=tone) for tone, value in enumerate(part.right)),
        )
        for part in breakdown.parts
    )
    legend = tuple((name, tone) for tone, name in enumerate(names)) if len(names) > 1 else ()
    return BarChart(
        slug=f"by-{breakdown.slug}",
        title=breakdown.title,
        note=f"Share found at IoU 0.50. {breakdown.note}".strip(),
        groups=groups,
        legend=legend,
    )


def agreement(sources: ReferringSources) -> BarChart | None:
    """Draw the share that both models find at IoU 0.5, one alone, or none; None for a single model."""
    if len(sources.models) < 2:
        return None
    first, second = (model.table["right_50"].to_numpy(bool) for model in sources.models)
    one, other = (_short(model.name) for model in sources.models)
    shares = (
        ("both", first & second, 5),
        (f"{one} alone", first & ~second, 0),
        (f"{other} alone", ~first & second, 1),
        ("neither", ~first & ~second, 5),
    )
    groups = tuple(
        (name, f"n = {tables.whole(int(part.sum()))}", (Bar(value=float(part.mean()), tone=tone),))
        for name, part, tone in shares
    )
    return BarChart(
        slug="agreement",
        title="Who finds the same expressions",
        note="Share of all expressions found at IoU 0.50 by both models, by one alone, by neither.",
        groups=groups,
    )


def _short(name: str) -> str:
    """Cut a name so that it fits below a bar."""
    return name if len(name) <= _BELOW_A_BAR else f"{name[: _BELOW_A_BAR - 1]}…"


def _share(record: ReferringRecord) -> float | None:
    """Return the area of the regions as a share of the image; None where there is none."""
    total = 0.0
    for region in record.regions:
        left, top, right, bottom = region.box_xyxy
        total += (right - left) * (bottom - top) if region.mask is None else mask_area(region.mask)
    return total / (record.height * record.width) if record.regions else None


def _parts(
    sources: ReferringSources, bounds: _Bounds, measure: Callable[[ReferringRecord], float | None]
) -> tuple[Part, ...]:
    measured = {number: measure(record) for number, record in sources.records.items()}
    parts = []
    for name, low, high in bounds:
        ids = [number for number, value in measured.items() if value is not None and low <= value < high]
        if ids:
            rows = [model.table.loc[ids] for model in sources.models]
            parts.append(
                Part(
                    label=name,
                    count=len(ids),
                    right=tuple(float(row["right_50"].mean()) for row in rows),
                    mean_iou=tuple(float(row["iou"].mean()) for row in rows),
                )
            )
    return tuple(parts)


def _change(
    entry: Mapping[str, Any],
    before: float | None,
    resampled: Interval | None,
    compared: Mapping[str, Any] | None,
) -> Change | None:
    if before is None:
        return None
    interval, margin = _ends(resampled), None if compared is None else compared["margin"]
    tone = "quiet"
    if interval is not None and (interval[0] > 0 or interval[1] < 0):
        tone = "up" if (interval[0] > 0) == entry["higher_is_better"] else "down"
    return Change(value=entry["value"] - before, interval=interval, margin=margin, tone=tone)


def _ends(interval: Interval | None) -> tuple[float, float] | None:
    return None if interval is None else (interval.low, interval.high)
