"""Two candidates of the tests as the inputs of their comparison."""

import dataclasses
from pathlib import Path
from typing import Any

from tasks.report.comparison_sources import ComparisonInputs, IntervalRule, ModelSide
from tasks.report.sources import ReportInputs


def side_of(name: str, inputs: ReportInputs) -> ModelSide:
    """Name the files of one candidate."""
    return ModelSide(name=name, evaluation=inputs.evaluation, predictions=inputs.predictions)


def compared(candidate: ReportInputs, champion: ReportInputs, /, **changes: Any) -> ComparisonInputs:
    """Set two candidates on the same images side by side."""
    inputs = ComparisonInputs(
        candidate=side_of("new model", candidate),
        champion=side_of("old model", champion),
        records=candidate.records,
        about=candidate.about,
        dataset=candidate.dataset,
        decision=None,
        made_at=None,
        images=4,
        intervals=IntervalRule(resamples=200),
    )
    return dataclasses.replace(inputs, **changes)


def copy_of(path: Path, folder: Path, *replacements: tuple[str, str]) -> Path:
    """Copy a text file with some of its text replaced."""
    text = path.read_text(encoding="utf-8")
    for old, new in replacements:
        text = text.replace(old, new)
    target = folder / path.name
    target.write_text(text, encoding="utf-8")
    return target
