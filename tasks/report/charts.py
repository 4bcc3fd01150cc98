"""A chart as data, and the same chart as crisp SVG whose colours the page's style decides.

No renderer here knows a metric: curves, bars and ranges come in as numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

Point = tuple[float, float]

DASH = "\u2013"
"""What stands for a number that does not exist."""
LARGE, SMALL = (440.0, 280.0), (310.0, 200.0)
"""Width and height of a drawing; text has the same size in both."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 14.0, 14.0, 42.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve."""

    name: str
    points: tuple[Point, ...]
    """(x, y) in drawing order; a point that is not finite breaks the line."""
    tone: int = 0
    """Index into the page's colours."""
    dashed: bool = False
    thin: bool = False
    dots: tuple[Point, ...] = ()
    """Places to point out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """Curves over one axis."""

    slug: str
    """Name of the picture file and anchor: letters, digits and dashes."""
    title: str
    note: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    size: tuple[float, float] = LARGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One value of a group; absent when it is undefined."""

    value: float | None
    reference: float | None = None
    """The champion's value, drawn as a mark."""
    tone: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """Groups of fractions in [0, 1]."""

    slug: str
    title: str
    note: str
    groups: tuple[tuple[str, str, tuple[Bar, ...]], ...]
    """(label, second line of the label, bars)."""
    legend: tuple[tuple[str, int], ...] = field(default=())
    """(name, tone) of each bar of a group."""


def ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Return round numbers within [low, high], about ``count`` of them."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if span / (power * factor) <= count)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float) -> str:
    """Write a tick's number without noise: ``0``, ``0.25``, ``1200``, ``5e-05``."""
    return "0" if abs(value) < 1e-12 else f"{value:.6g}"


def draw_lines(chart: LineChart) -> Markup:
    """Draw curves with axes, a light grid and a description for screen readers."""
    plot = _Plot.of(chart.size, chart.x_range, chart.y_range)
    body = [
        f'<clipPath id="clip-{escape(chart.slug)}"><rect x="{_LEFT - 2}" y="{_TOP - 2}" '
        f'width="{plot.right - _LEFT + 4:.0f}" height="{plot.base - _TOP + 4:.0f}"/></clipPath>',
        _frame(plot, chart),
        f'<g clip-path="url(#clip-{escape(chart.slug)})">',
    ]
    for line in sorted(chart.lines, key=lambda line: not line.thin):
        kind = f"line tone-{line.tone}" + " dashed" * line.dashed + " thin" * line.thin
        for run in _finite_runs(line.points):
            corners = " ".join(f"{plot.x(x):.1f},{plot.y(y):.1f}" for x, y in run)
            body.append(f'<polyline class="{kind}" points="{corners}"/>')
    for line in chart.lines:
        for x, y in line.dots:
            body.append(
                f'<circle class="bar tone-{line.tone}" cx="{plot.x(x):.1f}" cy="{plot.y(y):.1f}" r="4.5"/>'
            )
    return _svg(chart.title, chart.size, "".join(body) + "</g>")


def draw_bars(chart: BarChart) -> Markup:
    """Draw groups of bars with their values; an undefined bar is written as a dash, never as zero."""
    plot = _Plot.of(LARGE, (0.0, float(max(1, len(chart.groups)))), (0.0, 1.0))
    body = [_grid_rows(plot)]
    for index, (label, second, bars) in enumerate(chart.groups):
        left, right = plot.x(index + 0.18), plot.x(index + 0.82)
        width = (right - left) / max(1, len(bars))
        for place, bar in enumerate(bars):
            body.append(_bar(bar, left + place * width, width, plot))
        middle = plot.x(index + 0.5)
        body.append(f'<text class="tick" x="{middle:.1f}" y="{plot.base + 17}">{escape(label)}</text>')
        body.append(f'<text class="tick quiet" x="{middle:.1f}" y="{plot.base + 32}">{escape(second)}</text>')
    return _svg(chart.title, LARGE, "".join(body))


def draw_interval(
    interval: tuple[float, float], *, value: float, margin: float | None, reach: float, tone: str
) -> Markup:
    """Draw a difference and its interval around zero, with the gate's margin as a tick.

    Args:
        interval: Ends of the confidence interval, in the metric's unit.
        value: The difference itself.
        margin: Where the gate draws its line; None where it draws none.
        reach: Half width of the drawing in the metric's unit; the same for all rows of a table.
        tone: ``up``, ``down`` or ``quiet``.
    """

    def x_of(number: float) -> float:
        return 70 + 66 * max(-1.0, min(1.0, number / reach))

    low, high = interval
    parts = ['<line class="axis" x1="70" x2="70" y1="-13" y2="37"/>']
    if margin is not None:
        parts.append(f'<line class="margin" x1="{x_of(margin):.1f}" x2="{x_of(margin):.1f}" y1="4" y2="20"/>')
    parts.append(f'<line class="span {tone}" x1="{x_of(low):.1f}" x2="{x_of(high):.1f}" y1="12" y2="12"/>')
    parts.append(f'<circle class="dot {tone}" cx="{x_of(value):.1f}" cy="12" r="4"/>')
    text = f"difference {value:+.3f}, interval {low:+.3f} to {high:+.3f}"
    return Markup(
        f'<svg class="interval" viewBox="0 0 140 24" role="img" aria-label="{text}">{"".join(parts)}</svg>'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plot:
    """Numbers -> places on the drawing."""

    x_range: Point
    y_range: Point
    right: float
    base: float

    @classmethod
    def of(cls, size: tuple[float, float], x_range: Point, y_range: Point) -> "_Plot":
        """Leave room for the text around the plot."""
        return cls(x_range=x_range, y_range=y_range, right=size[0] - _RIGHT, base=size[1] - _BOTTOM)

    def x(self, value: float) -> float:
        return _LEFT + (self.right - _LEFT) * _share(value, self.x_range)

    def y(self, value: float) -> float:
        return self.base + (_TOP - self.base) * _share(value, self.y_range)


def _share(value: float, limits: Point) -> float:
    span = limits[1] - limits[0]
    return (value - limits[0]) / span if span > 0 else 0.5


def _svg(title: str, size: tuple[float, float], body: str) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" role="img" '
        f'aria-label="{escape(title)}">{body}</svg>'
    )


def _frame(plot: _Plot, chart: LineChart) -> str:
    parts = [_grid_rows(plot)]
    for value in ticks(*plot.x_range):
        place = f"{plot.x(value):.1f}"
        parts.append(f'<text class="tick" x="{place}" y="{plot.base + 17}">{tick_text(value)}</text>')
    middle, centre = (_LEFT + plot.right) / 2, (_TOP + plot.base) / 2
    parts.append(f'<text class="label" x="{middle}" y="{plot.base + 36}">{escape(chart.x_label)}</text>')
    parts.append(
        f'<text class="label" transform="rotate(-90 11 {centre})" x="11" y="{centre}">'
        f"{escape(chart.y_label)}</text>"
    )
    return "".join(parts)


def _grid_rows(plot: _Plot) -> str:
    parts = []
    for value in ticks(*plot.y_range):
        place = plot.y(value)
        kind = "grid zero" if value == plot.y_range[0] else "grid"
        parts.append(
            f'<line class="{kind}" x1="{_LEFT}" x2="{plot.right}" y1="{place:.1f}" y2="{place:.1f}"/>'
            f'<text class="tick side" x="{_LEFT - 7}" y="{place + 4:.1f}">{tick_text(value)}</text>'
        )
    return "".join(parts)


def _bar(bar: Bar, left: float, width: float, plot: _Plot) -> str:
    middle = left + width / 2
    if bar.value is None:
        return f'<text class="tick quiet" x="{middle:.1f}" y="{plot.base - 5:.1f}">{DASH}</text>'
    top = label = plot.y(bar.value)
    parts = [
        f'<rect class="bar tone-{bar.tone}" x="{left + 2:.1f}" y="{top:.1f}" width="{width - 4:.1f}" '
        f'height="{plot.base - top:.1f}" rx="2"/>'
    ]
    if bar.reference is not None:
        mark = plot.y(bar.reference)
        label = min(top, mark)
        parts.append(
            f'<line class="mark" x1="{left - 1:.1f}" x2="{left + width + 1:.1f}" '
            f'y1="{mark:.1f}" y2="{mark:.1f}"/>'
        )
    parts.append(f'<text class="tick value" x="{middle:.1f}" y="{label - 5:.1f}">{bar.value:.2f}</text>')
    return "".join(parts)


def _finite_runs(points: Sequence[Point]) -> list[list[Point]]:
    runs: list[list[Point]] = [[]]
    for point in points:
        if math.isfinite(point[0]) and math.isfinite(point[1]):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if len(run) > 1]
