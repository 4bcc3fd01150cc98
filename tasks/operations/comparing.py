"""Measure two models on the same data and render the page that sets them side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evaluation.policy import Policy
from tasks.config import load_file
from tasks.data.strict_json import read_json
from tasks.data.target_directory import check_target
from tasks.operations import layout
from tasks.operations.measuring import MeasuredModel, measure_model
from tasks.report.comparison import COMPARISON_SCHEMA, NUMBERS, ComparisonInputs, ModelSide, render_comparison
from tasks.report.comparison_sources import IntervalRule
from tasks.services.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Where the page lies, and its numbers."""

    page: Path
    numbers: dict[str, Any]
    """Content of ``comparison.json``."""


def compare_models(
    candidate: str,
    other: str,
    repository: Path,
    settings: Settings,
    *,
    data: str | None = None,
    out: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Measure both models, or find what was measured before, and render their comparison.

    Args:
        candidate: Model A: anything that ``measure_model`` finds. Every difference is A minus B.
        other: Model B, the same.
        repository: Root of the project. Its gate's policy says how intervals are made.
        settings: Where things are kept.
        data: Version of the data; None: the data of the checkout.
        out: Directory to create, or an earlier comparison to replace. None: among the reports.
        say: Told what is going on.

    Raises:
        UsageError: If ``out`` holds something else, or the data version is unknown.
        UnavailableError: If a model or the data cannot be had.
        DataError: If the data breaks a rule.
        IntegrityError: If something was changed.
    """
    if out is not None:
        check_target(out, schema=COMPARISON_SCHEMA)
    policy = load_file(repository / layout.GATE, Policy)
    mine, theirs = (
        measure_model(model, repository, settings, data=data, say=say) for model in (candidate, other)
    )
    inputs = ComparisonInputs(
        candidate=_side(mine),
        champion=_side(theirs),
        records=mine.records,
        about=mine.about,
        dataset=mine.dataset,
        decision=None,
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        intervals=IntervalRule(
            method=policy.interval, alpha=policy.alpha, resamples=policy.resamples, seed=policy.seed
        ),
    )
    parts = (mine.model_sha256, theirs.model_sha256, mine.dataset_sha256)
    place = repository / layout.REPORTS / "-".join(["compare", *(part[:12] for part in parts)])
    say("rendering the comparison")
    page = render_comparison(inputs, place if out is None else out.absolute())
    return Comparison(page=page, numbers=read_json(page.parent / NUMBERS))


def _side(measured: MeasuredModel) -> ModelSide:
    name = measured.name
    if measured.sequence is not None:
        name += f", entry {measured.sequence}"
    return ModelSide(name=name, evaluation=measured.evaluation, predictions=measured.predictions)
