"""Which charts a comparison has. Model A is blue and solid or a bar; B is amber and dashed, or a line."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.definition import KINDS
from evaluation.operating import OperatingCurve
from tasks.report.charts import Bar, BarChart, Line, LineChart, Point
from tasks.report.comparison_sources import ComparisonSources

_TONES = (0, 2)
_LETTERS = ("A", "B")
_KIND_WORDS = {"mask": "masks", "box": "boxes"}
_SIZES = (("small", "< 32²"), ("medium", "32² to 96²"), ("large", "> 96²"))
_SHOWN_IOUS = (0.5, 0.75)


def precision_recall(sources: ComparisonSources) -> list[LineChart]:
    """Chart precision over recall for masks and boxes at IoU 0.5 and 0.75."""
    charts = []
    for kind in reversed(KINDS):
        for iou in _SHOWN_IOUS:
            lines = [
                Line(name=letter, points=points, tone=tone, dashed=letter == "B")
                for letter, tone, model in zip(_LETTERS, _TONES, sources.sides, strict=True)
                if (points := _recall_points(model.curves, kind, iou))
            ]
            charts.append(
                LineChart(
                    slug=f"precision-recall-{kind}-{round(100 * iou)}",
                    title=f"Precision and recall: {_KIND_WORDS[kind]}, IoU {iou:.2f}",
                    note="Interpolated as in COCO, mean over the categories.",
                    x_label="recall",
                    y_label="precision",
                    lines=tuple(lines),
                    x_range=(0.0, 1.0),
                    y_range=(0.0, 1.0),
                )
            )
    return [chart for chart in charts if chart.lines]


def f1_over_score(curves: Mapping[str, Sequence[OperatingCurve]]) -> list[LineChart]:
    """Chart F1 over the score at which detections are cut; a dot marks the highest.

    Args:
        curves: ``mask`` and ``box`` -> the curves of A and B.
    """
    return [
        LineChart(
            slug=f"f1-{kind}",
            title=f"F1 over score: {_KIND_WORDS[kind]}, IoU 0.50",
            note="All categories counted together; the dot marks the best cut.",
            x_label="lowest score that is kept",
            y_label="F1",
            lines=tuple(
                Line(
                    name=letter,
                    points=_steps(curve),
                    tone=tone,
                    dashed=letter == "B",
                    dots=((curve.best().score, curve.best().f1),),
                )
                for letter, tone, curve in zip(_LETTERS, _TONES, of_kind, strict=True)
                if len(curve.score)
            ),
            x_range=(0.0, 1.0),
            y_range=(0.0, 1.0),
        )
        for kind, of_kind in curves.items()
        if any(len(curve.score) for curve in of_kind)
    ]


def sizes(sources: ComparisonSources) -> list[BarChart]:
    """Chart AP and recall by the size of the regions: bars are A, lines B."""
    groups = []
    for size, note in _SIZES:
        bars = tuple(
            Bar(value=sources.candidate.values.get(name), reference=sources.champion.values.get(name), tone=0)
            for name in (f"mask.ap_{size}",)
        )
        missing = all(bar.value is None for bar in bars)
        groups.append((size, "no such region" if missing else f"{note} px", bars))
    charts = []
    if any(bar.value is not None for _, _, bars in groups for bar in bars):
        charts.append(
            BarChart(
                slug="ap-by-size",
                title="Average precision by size",
                note="Masks, COCO's ranges of area, IoU .50 to .95. Bars are A, lines B.",
                groups=tuple(groups),
            )
        )
    found = _recall_by_side(sources)
    if found:
        charts.append(
            BarChart(
                slug="recall-by-size",
                title="Recall by size",
                note="Regions found at mask IoU .50, by the square root of their area in pixels; below it "
                "how many there are. Bars are A, lines B.",
                groups=tuple(found),
            )
        )
    return charts


def _recall_by_side(sources: ComparisonSources) -> list[tuple[str, str, tuple[Bar, ...]]]:
    before = {tuple(row["side_px"]): row for row in sources.champion.curves["sizes"]}
    groups: list[tuple[str, str, tuple[Bar, ...]]] = []
    for row in sources.candidate.curves["sizes"]:
        low, high = row["side_px"]
        if row["regions"]:
            other = before.get((low, high))
            bar = Bar(
                value=row["mask_found50"] / row["regions"],
                reference=other["mask_found50"] / other["regions"] if other and other["regions"] else None,
            )
            groups.append((f"{low}+" if high is None else f"{low}\u2013{high}", str(row["regions"]), (bar,)))
    return groups


def _recall_points(curves: Mapping[str, Any], kind: str, iou: float) -> tuple[Point, ...]:
    for entry in curves["precision_recall"]:
        if entry["kind"] == kind and entry["iou"] == iou and entry["precision"]:
            points = list(zip(curves["recall"], entry["precision"], strict=True))
            last = max((place for place, (_, y) in enumerate(points) if y > 0.0), default=0)
            return tuple((float(x), float(y)) for x, y in points[: last + 2])
    return ()


def _steps(curve: OperatingCurve) -> tuple[Point, ...]:
    """Draw a curve that changes only where a score is; above the highest one nothing is kept."""
    points: list[Point] = [(1.0, 0.0)]
    for score, f1 in zip(curve.score.tolist(), curve.f1.tolist(), strict=True):
        points += [(score, points[-1][1]), (score, f1)]
    points.append((0.0, points[-1][1]))
    return tuple(_thinned(points[::-1]))


def _thinned(points: list[Point]) -> list[Point]:
    """Leave out points that lie within a third of a pixel of the one before; the last one stays."""
    kept = points[:1]
    for point in points[1:-1]:
        if abs(point[0] - kept[-1][0]) > 1e-3 or abs(point[1] - kept[-1][1]) > 1.5e-3:
            kept.append(point)
    return [*kept, points[-1]]
