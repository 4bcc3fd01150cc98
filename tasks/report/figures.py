"""Which charts the page has: numbers of an evaluation and a training -> charts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.report.charts import SMALL, Bar, BarChart, Line, LineChart, Point

_KINDS = (("mask", "masks"), ("box", "boxes"))
_SIZES = (("small", "< 32²"), ("medium", "32² to 96²"), ("large", "> 96²"))
_MOST_POINTS = 400  # of a curve: more than the width of a chart in pixels


def precision_recall(curves: Mapping[str, Any], champion: Mapping[str, Any] | None) -> list[LineChart]:
    """Chart precision over recall for masks and boxes; the champion is dashed."""
    charts = []
    for kind, name in _KINDS:
        lines = [
            Line(name=f"{whose}IoU {iou:.2f}", points=points, tone=tone, dashed=bool(whose))
            for whose, source in (("", curves), ("champion, ", champion))
            for tone, (iou, points) in enumerate(_curves_of(source, kind))
        ]
        if lines:
            charts.append(
                LineChart(
                    slug=f"precision-recall-{kind}",
                    title=f"Precision and recall: {name}",
                    note="",
                    x_label="recall",
                    y_label="precision",
                    lines=tuple(lines),
                    x_range=(0.0, 1.0),
                    y_range=(0.0, 1.0),
                )
            )
    return charts


def average_precision_by_size(
    metrics: Mapping[str, Any], champion: Mapping[str, Any] | None
) -> BarChart | None:
    """Chart AP of small, medium and large regions; None if no size is defined."""
    values = {entry["name"]: entry["value"] for entry in metrics["metrics"]}
    before = {} if champion is None else {entry["name"]: entry["value"] for entry in champion["metrics"]}
    groups = []
    for size, note in _SIZES:
        names = [f"{kind}.ap_{size}" for kind, _ in _KINDS]
        bars = tuple(
            Bar(value=values.get(name), reference=before.get(name), tone=tone)
            for tone, name in enumerate(names)
        )
        missing = all(bar.value is None for bar in bars)
        groups.append((size, "no such region" if missing else f"{note} px", bars))
    if all(bar.value is None for _, _, bars in groups for bar in bars):
        return None
    return BarChart(
        slug="ap-by-size",
        title="Average precision by size",
        note="COCO's area ranges, IoU .50 to .95." + (" The line is the champion." if before else ""),
        groups=tuple(groups),
        legend=(("masks", 0), ("boxes", 1)),
    )


def recall_by_size(curves: Mapping[str, Any], champion: Mapping[str, Any] | None) -> BarChart | None:
    """Chart the share of regions found, by the side of a square of their area; None without a region."""
    before = {tuple(row["side_px"]): row for row in (champion or {}).get("sizes", ())}
    groups = []
    for row in curves["sizes"]:
        low, high = row["side_px"]
        if row["regions"]:
            bar = Bar(value=_share(row), reference=_share(before.get((low, high))), tone=0)
            label = f"{low}+" if high is None else f"{low} to {high}"
            groups.append((label, f"{row['regions']}", (bar,)))
    if not groups:
        return None
    return BarChart(
        slug="recall-by-size",
        title="Recall by size",
        note="Regions found at mask IoU .50. Below each bar: square root of the area in pixels, count.",
        groups=tuple(groups),
    )


def training(history: Sequence[Mapping[str, Any]]) -> list[LineChart]:
    """Chart every part of the loss and the learning rate over the steps; empty without a history."""
    names = [name for name in dict.fromkeys(key for row in history for key in row) if name.startswith("loss")]
    charts = [_training_chart(history, name, tone=0 if name == "loss" else 1) for name in names]
    charts += [_training_chart(history, "learning_rate", tone=3)]
    return [chart for chart in charts if chart is not None]


def _training_chart(history: Sequence[Mapping[str, Any]], name: str, *, tone: int) -> LineChart | None:
    points = [
        (float(row["step"]), float(row[name]))
        for row in history
        if isinstance(row.get(name), int | float) and math.isfinite(row[name])
    ]
    if len(points) < 2:
        return None
    is_loss = name.startswith("loss")
    points = _thin_out(points)
    smooth = _smooth(points) if is_loss else points
    lines = [Line(name=name, points=tuple(smooth), tone=tone)]
    if is_loss:
        lines.append(Line(name=f"{name}, each step", points=tuple(points), tone=tone, thin=True))
    top = max(y for _, y in smooth)
    low = min(0.0, *(y for _, y in points))
    return LineChart(
        slug=f"training-{name.replace('_', '-')}",
        title=_training_title(name),
        note=f"last {smooth[-1][1]:.3g}",
        x_label="step",
        y_label="",
        lines=tuple(lines),
        x_range=(points[0][0], points[-1][0]),
        y_range=(low, top * 1.15 if top > 0 else 1.0),
        size=SMALL,
    )


def _training_title(name: str) -> str:
    part = name.removeprefix("loss").strip("_").replace("_", " ")
    return {"loss": "Loss", "learning_rate": "Learning rate"}.get(name, f"Loss: {part}")


def _curves_of(source: Mapping[str, Any] | None, kind: str) -> list[tuple[float, tuple[Point, ...]]]:
    """Return (threshold of IoU, points) of one kind, lowest threshold first."""
    found = []
    for entry in (source or {}).get("precision_recall", ()):
        if entry["kind"] == kind and entry["precision"]:
            points = zip((source or {})["recall"], entry["precision"], strict=True)
            found.append((entry["iou"], _without_tail([(float(x), float(y)) for x, y in points])))
    return sorted(found)


def _without_tail(points: list[Point]) -> tuple[Point, ...]:
    """Cut the zeros behind the highest recall, all but the first: the drop stays visible."""
    last = max((index for index, (_, y) in enumerate(points) if y > 0.0), default=0)
    return tuple(points[: last + 2])


def _share(row: Mapping[str, Any] | None) -> float | None:
    return row["mask_found50"] / row["regions"] if row is not None and row["regions"] else None


def _thin_out(points: list[Point]) -> list[Point]:
    """Average neighbours until a curve has no more points than a chart has pixels."""
    size = -(-len(points) // _MOST_POINTS)
    if size == 1:
        return points
    blocks = [points[start : start + size] for start in range(0, len(points), size)]
    return [
        (math.fsum(x for x, _ in block) / len(block), math.fsum(y for _, y in block) / len(block))
        for block in blocks
    ]


def _smooth(points: list[Point]) -> list[Point]:
    """Average over about a twentieth of the curve, half of it on each side."""
    reach = len(points) // 40
    return [
        (x, math.fsum(y for _, y in points[max(0, index - reach) : index + reach + 1]) / width)
        for index, (x, _) in enumerate(points)
        for width in [min(len(points), index + reach + 1) - max(0, index - reach)]
    ]
