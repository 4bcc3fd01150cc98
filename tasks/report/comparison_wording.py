"""The sentences between the tables of a comparison, filled with these models' numbers."""

from typing import Any

from tasks.report.comparison_crops import MOST_OF_ONE
from tasks.report.comparison_numbers import ComparisonNumbers
from tasks.report.comparison_sources import ComparisonInputs, ComparisonSources, IntervalRule
from tasks.report.comparison_tables import MOST_CATEGORIES, MOST_CELLS, tally
from tasks.report.tables import whole

_KINDS = (
    ("hit", "found", "Found", "Regions that the model found, drawn at random with seed {seed}."),
    (
        "miss",
        "missed",
        "Missed",
        "The largest regions that the model missed, by the area of their masks; at most {most} of an image.",
    ),
    (
        "false",
        "false-alarms",
        "False alarms",
        "The detections of highest score that found no region; at most {most} of an image.",
    ),
)


def comparison_words(
    inputs: ComparisonInputs, sources: ComparisonSources, numbers: ComparisonNumbers, *, changed: int
) -> dict[str, Any]:
    """Return every heading and lead that depends on the inputs, and the list of sections."""
    images = len(sources.records)
    return {
        "sentence": _sentence(sources, numbers),
        "coverage": f"split “{sources.split}”, {images} image{'s' * (images != 1)}",
        "metrics_lead": f"Every difference is A minus B. {_rule_words(sources.rule, images)}",
        "confusion_lead": _confusion_lead(sources, numbers),
        "calibration_lead": (
            "Of all detections of score 0.8, four in five should find a region. Bars: precision at mask IoU "
            "0.5; dashed frames: from there to the mean score; below: how many detections."
        ),
        "changes_title": f"The {changed} images that changed most" if changed else "Changed images",
        "changes_lead": (
            "By the difference of an image's F1 at mask IoU 0.5. Open a picture to enlarge it."
            if changed
            else "Both models have the same F1 on every image."
        ),
        "crop_kinds": [
            (kind, slug, title, text.format(seed=inputs.seed, most=MOST_OF_ONE))
            for kind, slug, title, text in _KINDS
        ],
        "sections": _sections(numbers, changed=changed),
        "definitions": _definitions(sources),
    }


def _sentence(sources: ComparisonSources, numbers: ComparisonNumbers) -> str:
    better, worse, same = tally(numbers.sections)
    images = len(sources.records)
    if not better + worse + same:
        return f"Nothing can be told about the differences on {images} image{'s' * (images != 1)}."
    if not better + worse:
        return f"A and B cannot be told apart on these {images} images: every interval holds zero."
    rest = f"; {same} interval{'s hold' if same != 1 else ' holds'} zero" if same else ""
    total = better + worse + same
    return f"A is better in {better or 'none'} of {total} metrics, worse in {worse or 'none'}{rest}."


def _rule_words(rule: IntervalRule, images: int) -> str:
    level, method = f"{100 * (1 - rule.alpha):g}", {"bca": "BCa"}.get(rule.method, rule.method)
    return (
        f"Below it its {level} % interval: the {images} images were drawn anew {rule.resamples:,} times, the "
        f"same ones for both models ({method} bootstrap, seed {rule.seed}). Each interval stands alone: of "
        "twenty at 95 %, one misses zero by chance."
    )


def _confusion_lead(sources: ComparisonSources, numbers: ComparisonNumbers) -> str:
    cuts = [
        f"{letter} at score {model.best.score:.2f}" if model.best else f"{letter} nowhere"
        for letter, model in zip("AB", numbers.sides, strict=True)
    ]
    shape = (
        "Rows are true, columns predicted; shades are shares of the row, of false alarms those of the column."
        if len(sources.about.categories) <= MOST_CATEGORIES
        else f"The {MOST_CELLS} largest cells of each kind, from {len(sources.about.categories)} categories."
    )
    return (
        f"What regions were taken for, matched blind to categories at mask IoU 0.5. Each model is cut where "
        f"its own F1 is highest, {cuts[0]} and {cuts[1]}: chosen on these same images, which "
        f"flatters. {shape}"
    )


def _sections(numbers: ComparisonNumbers, *, changed: int) -> list[tuple[str, str]]:
    sections = [
        ("metrics", "Metrics", True),
        (
            "curves",
            "Curves",
            any(len(curve.score) for side in numbers.sides for curve in side.curves.values()),
        ),
        ("confusion", "Confusion", True),
        ("calibration", "Calibration", any(side.calibration for side in numbers.sides)),
        ("sizes", "Sizes", bool(numbers.classes)),
        ("classes", "Categories", len(numbers.classes) > 1),
        ("changes", "Changes", bool(changed)),
        ("found", "Found", True),
        ("missed", "Missed", True),
        ("false-alarms", "False alarms", True),
    ]
    return [(slug, name) for slug, name, present in sections if present]


def agreement_words(numbers: ComparisonNumbers) -> list[tuple[str, str, str]]:
    """Name the four parts of the regions: name, count, share."""
    parts = {
        "found by both": numbers.agreement.both,
        "only by A": numbers.agreement.only_candidate,
        "only by B": numbers.agreement.only_other,
        "by neither": numbers.agreement.neither,
    }
    total = sum(parts.values())
    return [(name, whole(count), f"{100 * count / total:.1f} %") for name, count in parts.items() if total]


def _definitions(sources: ComparisonSources) -> list[tuple[str, str]]:
    metrics = sources.candidate.metrics
    return [
        ("Metrics", "; ".join(metrics["definition"]["conventions"]) + "."),
        (
            "F1 over score",
            "Detections of at least that score, all categories together: precision = TP ÷ (TP + FP), "
            "recall = TP ÷ (TP + FN), F1 = 2 TP ÷ (2 TP + FP + FN) (van Rijsbergen, Information Retrieval, "
            "1979, chapter 7).",
        ),
        (
            "Confusion",
            "By falling score each detection takes the free region of highest mask IoU, at least 0.5, of any "
            "category. A region without a detection is a miss, a detection without a region a false alarm; "
            "detections on a crowd count nowhere.",
        ),
        (
            "Calibration",
            "Expected calibration error: the mean over all detections of the distance between precision and "
            "mean score of their bin, in ten bins of equal width (Guo et al. 2017, arXiv 1706.04599). "
            "Precision at mask IoU 0.5 stands for accuracy (Küppers et al. 2020, arXiv 2004.13546).",
        ),
        (
            "Single regions",
            "Found, missed and false as in the metrics: within the category, at mask IoU 0.5, over all "
            "detections. Below IoU 0.1 with every region a false alarm is on the background, as in TIDE "
            "(arXiv 2008.08115).",
        ),
        (
            "Pictures",
            "Reduced to 384 pixels, crops to 240; very dark ones are brightened. Outlines are simplified.",
        ),
        ("Definition", f"{metrics['definition']['name']}, sha256 {metrics['definition_sha256']}"),
    ]
