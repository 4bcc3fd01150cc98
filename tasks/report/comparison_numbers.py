"""Every number of a comparison, computed once: for the page, and as JSON for other readers."""

from dataclasses import asdict, dataclass
from typing import Any

from evaluation.calibration import Calibration, calibrate
from evaluation.changes import Agreement, agreement
from evaluation.confusion import Confusion, confuse
from evaluation.definition import Kind
from evaluation.operating import OperatingCurve, OperatingPoint, operating_curve
from tasks.report.comparison_sources import ComparedModel, ComparisonSources, detections_of, truths_of
from tasks.report.comparison_tables import ClassLine, MetricSection, class_lines, metric_sections

COMPARISON_SCHEMA = "groundwork.comparison/1"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelNumbers:
    """What the comparison measures of one model."""

    curves: dict[Kind, OperatingCurve]
    """Empty where no image has a region."""
    best: OperatingPoint | None
    """The cut of highest F1 of masks; None without a detection or a region."""
    calibration: Calibration | None
    """Of masks; None without a detection that counts."""
    confusion: Confusion
    """By masks, at the best cut."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ComparisonNumbers:
    """Everything that is computed from the sources."""

    candidate: ModelNumbers
    champion: ModelNumbers
    sections: list[MetricSection]
    classes: list[ClassLine]
    agreement: Agreement

    @property
    def sides(self) -> tuple[ModelNumbers, ModelNumbers]:
        """A and B."""
        return self.candidate, self.champion


def compute(sources: ComparisonSources) -> ComparisonNumbers:
    """Compute every number of the page."""
    return ComparisonNumbers(
        candidate=_of_model(sources.candidate, sources),
        champion=_of_model(sources.champion, sources),
        sections=metric_sections(sources),
        classes=class_lines(sources),
        agreement=agreement(sources.candidate.tables, sources.champion.tables, "mask"),
    )


def to_json(numbers: ComparisonNumbers, sources: ComparisonSources) -> dict[str, Any]:
    """Return the content of ``comparison.json``; every difference is candidate minus champion."""
    lines = [line for section in numbers.sections for line in section.lines]
    return {
        "schema": COMPARISON_SCHEMA,
        "split": sources.split,
        "dataset_sha256": sources.about.dataset_sha256,
        "definition_sha256": sources.candidate.metrics["definition_sha256"],
        "intervals": asdict(sources.rule),
        "candidate": _model_json(sources.candidate, numbers.candidate),
        "champion": _model_json(sources.champion, numbers.champion),
        "metrics": [
            {
                "name": line.name,
                "candidate": line.candidate,
                "champion": line.champion,
                "difference": None if line.difference is None else line.difference.value,
                "interval": None if line.difference is None else line.difference.interval,
            }
            for line in lines
        ],
        "regions_found": asdict(numbers.agreement),
        "hashes": sources.hashes,
    }


def _model_json(model: ComparedModel, numbers: ModelNumbers) -> dict[str, Any]:
    confusion = numbers.confusion
    return {
        "name": model.name,
        "model_sha256": model.metrics["model_sha256"],
        "best_cut": None if numbers.best is None else asdict(numbers.best),
        "calibration": None if numbers.calibration is None else asdict(numbers.calibration),
        "confusion": {
            "at_least": confusion.at_least,
            "hits": confusion.hits,
            "confused": confusion.confused,
            "misses": confusion.misses,
            "false_alarms": confusion.false_alarms,
        },
    }


def _of_model(model: ComparedModel, sources: ComparisonSources) -> ModelNumbers:
    has_regions = bool(model.tables.per_image["num_regions"].sum())
    counts = bool((~model.tables.matches["mask_ignored_50"]).any())
    kinds: tuple[Kind, ...] = ("mask", "box") if has_regions else ()
    curves = {kind: operating_curve(model.tables, kind) for kind in kinds}
    best = curves["mask"].best() if has_regions and counts else None
    confusion = confuse(
        truths_of(sources),
        detections_of(model, sources),
        categories=sources.about.categories,
        kind="mask",
        at_least=0.0 if best is None else best.score,
    )
    return ModelNumbers(
        curves=curves,
        best=best,
        calibration=calibrate(model.tables, "mask") if counts else None,
        confusion=confusion,
    )
