"""Two models that were evaluated on the same images -> one HTML file that needs no network.

``comparison.html`` carries its style, pictures and charts; ``comparison.json`` holds the same numbers. Both
are rendered from files alone: equal files give equal bytes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from tasks.data.commit import commit_directory
from tasks.report import comparison_figures as figures
from tasks.report import comparison_tables as rows
from tasks.report import tables, verdict
from tasks.report.charts import draw_interval
from tasks.report.comparison_changes import ChangedImage, choose_changes, draw_changes
from tasks.report.comparison_crops import (
    Crop,
    Outline,
    choose_false_alarms,
    choose_hits,
    choose_misses,
    cut_crops,
)
from tasks.report.comparison_drawings import draw_change, draw_reliability
from tasks.report.comparison_numbers import COMPARISON_SCHEMA, ComparisonNumbers, compute, to_json
from tasks.report.comparison_sources import (
    ComparedModel,
    ComparisonInputs,
    ComparisonSources,
    ModelSide,
    read_comparison,
)
from tasks.report.comparison_wording import agreement_words, comparison_words
from tasks.report.rendering import draw_chart, render_page

__all__ = ["COMPARISON_SCHEMA", "PAGE", "ComparisonInputs", "ModelSide", "render_comparison"]

PAGE = "comparison.html"
NUMBERS = "comparison.json"
_TONES = (0, 2)


def render_comparison(inputs: ComparisonInputs, out: Path) -> Path:
    """Write the comparison of two models as a committed directory.

    Args:
        inputs: The files of both.
        out: Directory to create or replace.

    Returns:
        The page, ``out / "comparison.html"``.

    Raises:
        IntegrityError: If an input was damaged, or the two were not measured on the same data.
        DataError: If an input is malformed.
        UnavailableError: If an input or an image is absent.
    """
    sources = read_comparison(inputs)
    numbers = compute(sources)
    changes = draw_changes(inputs.dataset, choose_changes(sources, count=inputs.images), sources)
    crops = {
        letter: _crops(inputs, model, sources) for letter, model in zip("AB", sources.sides, strict=True)
    }
    html = _html(_page(inputs, sources, numbers, changes) | {"crops": crops})
    document = json.dumps(to_json(numbers, sources), indent=1, allow_nan=False) + "\n"

    def write(folder: Path) -> None:
        (folder / PAGE).write_text(html, encoding="utf-8")
        (folder / NUMBERS).write_text(document, encoding="utf-8")

    commit_directory(out, write, schema=COMPARISON_SCHEMA, provenance={"hashes": sources.hashes})
    return out / PAGE


def _crops(
    inputs: ComparisonInputs, model: ComparedModel, sources: ComparisonSources
) -> dict[str, list[Crop]]:
    """Cut out the regions of all galleries of one model."""
    count = inputs.images
    chosen = {
        "hit": choose_hits(model, sources, count=count, seed=inputs.seed),
        "miss": choose_misses(model, sources, count=count),
        "false": choose_false_alarms(model, sources, count=count),
    }
    return {kind: cut_crops(inputs.dataset, choices, model, sources) for kind, choices in chosen.items()}


def _page(
    inputs: ComparisonInputs,
    sources: ComparisonSources,
    numbers: ComparisonNumbers,
    changes: list[ChangedImage],
) -> dict[str, Any]:
    """Collect what the template shows; the template itself computes nothing."""
    kinds = tuple(numbers.candidate.curves)
    small = len(sources.about.categories) <= rows.MOST_CATEGORIES
    both = (numbers.candidate.confusion, numbers.champion.confusion)
    lines = [line for section in numbers.sections for line in section.lines]
    return {
        "names": {letter: model.name for letter, model in zip("AB", sources.sides, strict=True)},
        "made_at": inputs.made_at,
        "verdict": None
        if sources.decision is None
        else verdict.read_verdict(sources.decision, in_force=False),
        "tiles": [line for name in _TILES for line in lines if line.name == name],
        "sections_of_metrics": numbers.sections,
        "reach": rows.reach_of(numbers.sections),
        "undefined": sorted(
            {**sources.candidate.metrics["undefined"], **sources.champion.metrics["undefined"]}
        ),
        "agreement": agreement_words(numbers),
        "curves": [draw_chart(chart) for chart in figures.precision_recall(sources)],
        "cuts": [
            draw_chart(chart)
            for chart in figures.f1_over_score(
                {kind: [side.curves[kind] for side in numbers.sides] for kind in kinds}
            )
        ],
        "models": dict(zip("AB", numbers.sides, strict=True)),
        "matrices": {
            letter: rows.matrix_rows(confusion) for letter, confusion in zip("AB", both, strict=True)
        }
        if small
        else {},
        "categories": sources.about.categories,
        "pairs": [] if small else rows.pair_lines(*both, background=False),
        "background_pairs": [] if small else rows.pair_lines(*both, background=True),
        "reliability": {
            letter: draw_reliability(side.calibration, name=f"model {letter}", tone=tone)
            for letter, side, tone in zip("AB", numbers.sides, _TONES, strict=True)
            if side.calibration is not None
        },
        "sizes": [draw_chart(chart) for chart in figures.sizes(sources)],
        "has_classes": len(numbers.classes) > 1,
        "class_blocks": _class_blocks(numbers.classes),
        "class_reach": max((abs(line.difference) for line in numbers.classes), default=0.0) * 1.05 or 1.0,
        "changes": changes,
        "hashes": list(sources.hashes.items()),
        **comparison_words(inputs, sources, numbers, changed=len(changes)),
    }


_TILES = ("mask.ap50", "mask.ap", "mask.recall50", "mask.matched_iou", "box.ap50")


def _class_blocks(lines: list[rows.ClassLine]) -> list[tuple[str, list[rows.ClassLine]]]:
    """Cut a long table into what stands open and what is folded; a title of a folded part is not empty."""
    ends = rows.OPEN_CLASSES
    if len(lines) <= 2 * ends + 5:
        return [("", lines)]
    middle = lines[ends:-ends]
    return [("", lines[:ends]), (f"{len(middle)} categories in between", middle), ("", lines[-ends:])]


def _draw_difference(line: rows.MetricLine, reach: float) -> Markup:
    difference = line.difference
    if difference is None or difference.interval is None or line.unit != "fraction":
        return Markup()
    return draw_interval(
        difference.interval, value=difference.value, margin=None, reach=reach, tone=difference.tone
    )


def _outline_style(outline: Outline, crop: Crop) -> str:
    """Name the style of a line: what a crop is about stands out, the truth beside a hit is white."""
    if outline.kind == "around":
        return "around"
    return (
        "shown-true" if outline.kind == "true" and crop.choice.kind == "hit" else f"shown-{crop.choice.kind}"
    )


def _html(page: dict[str, Any]) -> str:
    filters: dict[str, Callable[..., Any]] = {
        "drawn": _draw_difference,
        "change": lambda value, digits=3: tables.signed(value, digits) if value else "0",
        "label": tables.full_label,
        "bar": lambda value, reach: draw_change(value, reach=reach),
        "style": _outline_style,
        "basename": lambda path: path.rpartition("/")[2],
    }
    return render_page("comparison.html.j2", page, styles=["comparison.css"], filters=filters)
