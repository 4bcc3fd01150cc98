"""Time over pixels, from the document of the affinity benchmark."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Curve = list[tuple[int, float]]
STYLES = {
    "ours": ("cpu (numba)", "#0072b2"), "torch": ("torch", "#56b4e9"), "triton": ("triton", "#cc79a7"),
    "reference": ("reference (dense)", "#7f7f7f"), "published": ("published", "#d55e00"),
    "scipy tree alone": ("scipy, tree alone", "#009e73"), "unfold": ("unfold", "#e69f00"),
}  # fmt: skip
"""Legend and colour of each method; the colours differ for the colour-blind too."""


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw the cases of one RGB image on logarithmic axes, global beside local where both were measured."""
    rows = document["rows"]
    whole, near = curves(rows, "tree and pass", "backends"), curves(rows, "local", "backends, local")
    panels = {"Spanning tree and one pass": whole, "Local, 5x5, 20 sweeps, one box": near}
    drawn = {title: lines for title, lines in panels.items() if lines}
    figure = Figure(figsize=(5.6 * len(drawn), 4.4), layout="constrained")
    axes = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axis, (title, lines) in zip(axes, drawn.items(), strict=True):
        _panel(axis, title, lines)
    axes[0].set_ylabel("milliseconds, median")
    machine = document["machine"]
    about = f"{machine['processor']}, {machine['threads']} threads, PyTorch {machine['torch']}"
    figure.supxlabel(about, x=0.99, ha="right", fontsize=7, color="0.4")
    figure.savefig(path, dpi=140)


def curves(rows: list[dict[str, Any]], *cases: str) -> dict[str, Curve]:
    """Collect pixels and median milliseconds of each method over the rows of one RGB image.

    What "auto" takes and "cpu" are one curve; a size measured twice counts as in the first of the rows.
    """
    points: dict[str, dict[int, float]] = {name: {} for name in STYLES}
    for row in rows:
        if row["name"] in cases and (row["images"], row["instances"], row["channels"]) == (1, 1, 3):
            for name, timing in row["times"].items():
                curve = points.get("ours" if name == "cpu" else name, {})
                curve.setdefault(row["height"] * row["width"], timing["median_ms"])
    return {name: sorted(curve.items()) for name, curve in points.items() if curve}


def _panel(axis: Axes, title: str, lines: dict[str, Curve]) -> None:
    for name, curve in lines.items():
        pixels, times = zip(*curve, strict=True)
        label, colour = STYLES[name]
        axis.plot(pixels, times, "o-", color=colour, markersize=3.5, label=label)
    axis.set(xscale="log", yscale="log", xlabel="pixels", title=title)
    axis.grid(which="major", color="0.88")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)
