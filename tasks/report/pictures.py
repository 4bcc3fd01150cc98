"""The page's charts as PNG files, for places that show pictures and no pages."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from tasks.report.charts import BarChart, LineChart

_TONES = ("#0a5fbf", "#0c8567", "#a85f00", "#7c3fe0", "#bd2462", "#56616c")
_INK, _SOFT, _RULE = "#15181c", "#59636e", "#e2e5e9"


def draw_png(chart: LineChart | BarChart, path: Path) -> None:
    """Write one chart as a PNG; equal charts give equal bytes."""
    figure = Figure(figsize=(6.4, 4.2), dpi=120)
    axes = figure.add_axes((0.11, 0.14, 0.86, 0.76))
    if isinstance(chart, LineChart):
        _lines(axes, chart)
    else:
        _bars(axes, chart)
    axes.set_title(chart.title, loc="left", color=_INK, fontsize=12, fontweight="bold", parse_math=False)
    axes.tick_params(colors=_SOFT, length=0)
    axes.grid(axis="y", color=_RULE)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", metadata={"Software": None})


def _lines(axes: Axes, chart: LineChart) -> None:
    for line in chart.lines:
        axes.plot(
            [x for x, _ in line.points],
            [y for _, y in line.points],
            color=_TONES[line.tone],
            linestyle="--" if line.dashed else "-",
            linewidth=0.8 if line.thin else 2.0,
            alpha=0.35 if line.thin else 1.0,
            label=line.name,
        )
    axes.set(xlabel=chart.x_label, ylabel=chart.y_label, xlim=chart.x_range, ylim=chart.y_range)
    if len(chart.lines) > 1:
        axes.legend(edgecolor="none", framealpha=0.9, fontsize=9)


def _bars(axes: Axes, chart: BarChart) -> None:
    for place, (_, _, bars) in enumerate(chart.groups):
        width = 0.7 / max(1, len(bars))
        for index, bar in enumerate(bars):
            x = place - 0.35 + (index + 0.5) * width
            if bar.value is None:
                continue
            axes.bar(x, bar.value, width=width * 0.92, color=_TONES[bar.tone])
            axes.text(
                x, bar.value + 0.01, f"{bar.value:.2f}", ha="center", va="bottom", color=_INK, fontsize=9
            )
            if bar.reference is not None:
                axes.plot([x - width / 2, x + width / 2], [bar.reference] * 2, color=_INK, linewidth=1.8)
    if chart.legend:
        handles = [Patch(color=_TONES[tone], label=name) for name, tone in chart.legend]
        axes.legend(handles=handles, edgecolor="none", framealpha=0.9, fontsize=9)
    labels = [f"{label}\n{second}" for label, second, _ in chart.groups]
    axes.set_xticks(range(len(labels)), labels, parse_math=False)
    axes.set_ylim(0.0, 1.05)
