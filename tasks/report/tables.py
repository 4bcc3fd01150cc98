"""Numbers of an evaluation and a decision -> the rows of the page's tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.bootstrap import Interval
from tasks.report.charts import DASH
from tasks.report.sources import Sources

_LABELS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "AP small",
    "ap_medium": "AP medium",
    "ap_large": "AP large",
    "ar_1": "AR@1",
    "ar_10": "AR@10",
    "ar_100": "AR@100",
    "ar_all": "AR@all",
    "recall50": "Recall",
    "precision50": "Precision",
    "matched_iou": "Matched IoU",
    "iou_at_box_match": "IoU at box match",
    "detections_per_image": "Detections per image",
}
_GROUPS = (("mask.", "Masks"), ("box.", "Boxes"), ("", "Counts"))
_MOST_ROWS = 40
_TILES = ("mask.matched_iou", "mask.ap50", "mask.ap", "mask.recall50", "box.ap50")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Candidate minus champion."""

    value: float
    interval: tuple[float, float] | None
    margin: float | None
    """Where the gate draws its line; None where it does not compare."""
    tone: str
    """``up`` for better, ``down`` for worse, ``quiet`` where zero lies in the interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """One metric of candidate and champion."""

    name: str
    label: str
    note: str
    unit: str
    value: float
    interval: tuple[float, float] | None
    champion: float | None
    change: Change | None
    count: int

    @property
    def digits(self) -> int:
        """Say how many digits after the point are worth reading."""
        return 3 if self.unit == "fraction" else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricGroup:
    """Rows under one heading."""

    name: str
    rows: tuple[MetricRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorRow:
    """One bound of the policy."""

    label: str
    value: str
    bound: str
    outcome: str
    tone: str
    about: str = ""
    """The category or the image that it is about; empty: all together."""
    upper: str = ""
    """Upper end of an interval, where that is held to the bound and not the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One metric the gate compared with the champion."""

    label: str
    difference: str
    interval: str
    margin: str
    outcome: str
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One large number."""

    name: str
    value: str
    note: str
    tone: str


def metric_groups(sources: Sources) -> list[MetricGroup]:
    """Build the metric table, in the order of the evaluation."""
    champion = sources.champion_metrics
    before = {} if champion is None else {entry["name"]: entry["value"] for entry in champion["metrics"]}
    compared = {entry["metric"]: entry for entry in sources.decision["comparisons"]}
    meanings = {
        item["name"]: item["meaning"].replace("**2", "²") for item in sources.metrics["definition"]["metrics"]
    }
    rows: dict[str, list[MetricRow]] = {name: [] for _, name in _GROUPS}
    for entry in sources.metrics["metrics"]:
        name = entry["name"]
        group = next(title for prefix, title in _GROUPS if name.startswith(prefix))
        change = _change(entry, before.get(name), sources.differences.get(name), compared.get(name))
        rows[group].append(
            MetricRow(
                name=name,
                label=_LABELS.get(name.rpartition(".")[2], name),
                note=meanings.get(name, ""),
                unit=entry["unit"],
                value=entry["value"],
                interval=_ends(sources.intervals.get(name)),
                champion=before.get(name),
                change=change,
                count=entry["count"],
            )
        )
    return [MetricGroup(name=title, rows=tuple(found)) for title, found in rows.items() if found]


def reach(groups: Sequence[MetricGroup]) -> float:
    """Return the half width that holds the drawn differences of all fractions."""
    changes = [row.change for group in groups for row in group.rows if row.unit == "fraction"]
    ends = [abs(end) for change in changes if change and change.interval for end in change.interval]
    return 1.05 * max(ends, default=0.0) or 1.0


def floor_rows(decision: Mapping[str, Any]) -> list[FloorRow]:
    """Build the table of floors and ceilings; a value that is absent is a dash and fails."""
    rows = []
    for floor in decision["floors"]:
        sides = (("at_least", "at least"), ("at_most", "at most"))
        digits = 1 if (floor.get("at_most") or 0.0) > 1.0 else 3
        bounds = [f"{words} {number(floor[key], digits)}" for key, words in sides if key in floor]
        passed = floor["passed"] is True
        rows.append(
            FloorRow(
                label=full_label(floor["metric"]),
                value=number(floor["value"], digits),
                bound=", ".join(bounds),
                outcome="met" if passed else "not met",
                tone="good" if passed else "bad",
                about=_about(floor),
                upper=f"at most {number(floor['upper'], digits)}" if "upper" in floor else "",
            )
        )
    return rows


def worst_first(rows: Sequence[FloorRow]) -> tuple[list[FloorRow], int]:
    """Put the bounds that are not met first, in the gate's order, and count what is too much for a page."""
    ordered = sorted(rows, key=lambda row: row.tone == "good")
    return ordered[:_MOST_ROWS], max(0, len(ordered) - _MOST_ROWS)


def not_judged_lines(decision: Mapping[str, Any]) -> list[str]:
    """Name the categories that a floor left out, per metric; none in a decision of an older release."""
    lines: dict[tuple[str, int], list[str]] = {}
    for item in decision.get("not_judged", ()):
        key = (item["metric"], item["min_objects"])
        lines.setdefault(key, []).append(f"{item['category']} ({item['objects']})")
    return [
        f"{full_label(metric)}, fewer than {least} regions: {', '.join(names)}."
        for (metric, least), names in lines.items()
    ]


def _about(floor: Mapping[str, Any]) -> str:
    if "image_id" in floor:
        return f"image {floor['image_id']}"
    if "category" not in floor:
        return ""
    return f"category {floor['category']}" + (f", {floor['objects']} regions" if "objects" in floor else "")


def comparison_rows(decision: Mapping[str, Any]) -> list[ComparisonRow]:
    """Build the table of comparisons with the champion."""
    return [
        ComparisonRow(
            label=full_label(entry["metric"]),
            difference=signed(entry["difference"]),
            interval=interval_text(entry["interval"], plus=True),
            margin=signed(entry["margin"]),
            outcome=entry["outcome"],
            tone=_comparison_tone(entry["outcome"]),
        )
        for entry in decision["comparisons"]
    ]


def tiles(groups: list[MetricGroup]) -> list[Tile]:
    """Choose the large numbers; a metric that is undefined has no tile."""
    rows = {row.name: row for group in groups for row in group.rows}
    chosen = []
    for name in _TILES:
        if name in rows:
            row = rows[name]
            note = interval_text(row.interval)
            if row.change is not None:
                note = f"{signed(row.change.value)} to the champion"
            tone = "quiet" if row.change is None else row.change.tone
            chosen.append(Tile(name=full_label(name), value=number(row.value), note=note, tone=tone))
    return chosen


def full_label(name: str) -> str:
    """Name a metric in words, with its kind: ``mask.ap50`` -> ``Mask AP50``."""
    kind, _, quantity = name.rpartition(".")
    label = _LABELS.get(quantity, quantity)
    if not kind:
        return label
    is_word = label.split()[0][1:].islower()
    return f"{kind.capitalize()} {label[:1].lower() + label[1:] if is_word else label}"


def number(value: object, digits: int = 3) -> str:
    """Write a number with fixed digits; a dash for what is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return DASH
    return f"{value:.{digits}f}"


def signed(value: object, digits: int = 3) -> str:
    """Write a difference with its sign (a true minus), or a dash."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return DASH
    return f"{value:+.{digits}f}".replace("-", "\u2212")


def interval_text(interval: Sequence[float] | None, digits: int = 3, *, plus: bool = False) -> str:
    """Write ``low to high``; empty without an interval."""
    if interval is None:
        return ""
    write = signed if plus else number
    return f"{write(interval[0], digits)} to {write(interval[1], digits)}"


def whole(value: int) -> str:
    """Write a count in groups of three digits."""
    return f"{value:,}".replace(",", "\u202f")


def _change(
    entry: Mapping[str, Any],
    before: float | None,
    resampled: Interval | None,
    compared: Mapping[str, Any] | None,
) -> Change | None:
    """Describe a difference; where the gate compared, its own interval is shown."""
    if before is None:
        return None
    value, interval = entry["value"] - before, _ends(resampled)
    margin = None if compared is None else compared["margin"]
    if compared is not None:
        value, interval = compared["difference"], tuple(compared["interval"])
    if interval is None:
        return Change(value=value, interval=None, margin=margin, tone="quiet")
    better, worse = interval[0] > 0, interval[1] < 0
    if not entry["higher_is_better"]:
        better, worse = worse, better
    tone = "up" if better else "down" if worse else "quiet"
    return Change(value=value, interval=interval, margin=margin, tone=tone)


def _ends(interval: Interval | None) -> tuple[float, float] | None:
    return None if interval is None else (interval.low, interval.high)


def _comparison_tone(outcome: str) -> str:
    return {"better": "good", "not worse": "good", "worse": "bad", "not better": "bad"}.get(outcome, "open")
