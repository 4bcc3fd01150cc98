"""Everything a page about referring expressions speaks of, read from files and checked to belong together."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from evaluation import bootstrap
from evaluation.bootstrap import Interval, Method
from tasks.data.commit import verify_directory
from tasks.data.referring import ReferringRecord
from tasks.data.referring_evaluations import (
    PARTS,
    Kind,
    ReferringEvaluation,
    check_alike,
    read_evaluation,
)
from tasks.data.referring_predictions import ReferringAnswer, read_answers
from tasks.data.referring_prepared import AboutReferring, read_split
from tasks.data.strict_json import read_json
from tasks.errors import IntegrityError, UnavailableError, UsageError

DECISION_SCHEMA: Final = "groundwork.decision/1"
MAX_NAME: Final = 32
"""Characters of a model's name on the page."""
_FEWEST: Final = 2  # images: one image drawn anew is itself


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferringInputs:
    """The files of one model or two, and what only the caller knows."""

    candidate: Path
    """Committed evaluation directory."""
    prepared: Path
    """Directory of the prepared expressions that were evaluated."""
    champion: Path | None = None
    """Evaluation of a second model on the same expressions."""
    decision: Path | None = None
    """Directory of the gate's decision about the two."""
    images: Path | None = None
    """Directory that the records' files are relative to; None shows outlines alone."""
    names: tuple[str, ...] = ("candidate", "champion")
    """What to call the models: one name for each, and any further one is not used."""
    made_at: str | None = None
    """A date in words for the head of the page; None leaves the page without a clock."""
    seed: int = 0
    """Decides which expressions are the random ones."""
    shown: int = 24
    """How many expressions a gallery shows, at most; at least 1."""

    def __post_init__(self) -> None:
        """Refuse a page without a picture, or with a model that has no name of its own."""
        if self.shown < 1:
            raise ValueError(f"shown must be at least 1, got {self.shown}.")
        models = 1 if self.champion is None else 2
        names = self.names[:models]
        if len(set(names)) != models or not all(1 <= len(name) <= MAX_NAME for name in names):
            raise UsageError(
                f"{models} models need names that differ, of 1 to {MAX_NAME} characters, got {list(names)}.",
                obj="--name",
                hint="Say `--name` once for each model.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How intervals are drawn: as the gate drew them, where there is a decision."""

    alpha: float = 0.05
    resamples: int = 2000
    seed: int = 0
    method: Method = "bca"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """What one model did, ready to be shown."""

    name: str
    evaluation: ReferringEvaluation
    answers: Mapping[int, ReferringAnswer]
    table: pd.DataFrame
    """One row per expression, by rising ``expression_id``, which is the index."""
    rows: Mapping[int, Mapping[Hashable, Any]]
    """The same rows by ``expression_id``."""
    values: Mapping[str, float]
    """Metric -> value; absent where it is undefined."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferringSources:
    """What was read."""

    kind: Kind
    source: str
    records: Mapping[int, ReferringRecord]
    """By rising id of the expression."""
    models: tuple[Model, ...]
    """The candidate, and the champion if there is one."""
    intervals: Mapping[str, Interval]
    """Metric -> where the candidate's value lies if images are drawn anew; absent where nothing tells."""
    differences: Mapping[str, Interval]
    """Metric -> candidate minus champion, on the same resamples."""
    decision: Mapping[str, Any] | None
    resampling: Resampling


def read_sources(inputs: ReferringInputs) -> ReferringSources:
    """Read and verify all inputs.

    Raises:
        IntegrityError: If a directory was damaged, or two of them are not about the same data and models.
        DataError: If a file is malformed.
        UnavailableError: If an input is absent.
    """
    evaluations = [read_evaluation(inputs.candidate)]
    if inputs.champion is not None:
        evaluations.append(read_evaluation(inputs.champion))
        check_alike(evaluations[0], evaluations[1], inputs.champion)
    if not inputs.prepared.is_dir():
        hint = "Make it with `groundwork referring prepare`."
        raise UnavailableError("is no directory.", obj=str(inputs.prepared), hint=hint)
    split = evaluations[0].about["split"]
    about, records = read_split(inputs.prepared, split)
    decision = None if inputs.decision is None else _read_decision(inputs.decision, evaluations)
    resampling = Resampling() if decision is None else _resampling(decision)
    drawn = _Draws(evaluations, resampling)
    models = [
        _read_model(name, evaluation, records, about)
        for name, evaluation in zip(inputs.names, evaluations, strict=False)
    ]
    return ReferringSources(
        kind=evaluations[0].kind,
        source=about.source,
        records={record.expression_id: record for record in records},
        models=tuple(models),
        intervals=drawn.intervals(),
        differences=drawn.differences(),
        decision=decision,
        resampling=resampling,
    )


def _read_model(
    name: str,
    evaluation: ReferringEvaluation,
    records: Sequence[ReferringRecord],
    about: AboutReferring,
) -> Model:
    _, answers = read_answers(
        evaluation.answers,
        records,
        dataset_sha256=about.dataset_sha256,
        split=evaluation.about["split"],
        part=PARTS[evaluation.kind],
        model_sha256=evaluation.metrics["model_sha256"],
    )
    problems = evaluation.expressions.problems()
    if not problems:
        table = evaluation.expressions.per_expression.set_index("expression_id", drop=False).sort_index()
        if table.index.tolist() != [record.expression_id for record in records]:
            problems = ["its table is not about the prepared expressions"]
    if problems:
        raise IntegrityError(
            f"{problems[0]}.",
            obj=str(evaluation.answers.parent),
            hint="Run `groundwork referring evaluate` again.",
        )
    return Model(
        name=name,
        evaluation=evaluation,
        answers={answer.expression_id: answer for answer in answers},
        table=table,
        rows=dict(zip(table.index.tolist(), table.to_dict("records"), strict=True)),
        values={entry["name"]: entry["value"] for entry in evaluation.metrics["metrics"]},
    )


def _read_decision(folder: Path, evaluations: Sequence[ReferringEvaluation]) -> Mapping[str, Any]:
    """Refuse to print one model's numbers under another model's verdict."""
    if not folder.is_dir():
        hint = "Make it with `groundwork referring gate`."
        raise UnavailableError("is no directory.", obj=str(folder), hint=hint)
    verify_directory(folder, schema=DECISION_SCHEMA)
    decision: dict[str, Any] = read_json(folder / "decision.json")
    judged = [decision["candidate"], *([decision["champion"]] if decision["champion"] else [])]
    shown = [evaluation.sha256[:16] for evaluation in evaluations]
    if [side["bundle_id"] for side in judged] != shown:
        raise IntegrityError(
            f"is about evaluations {[side['bundle_id'] for side in judged]}, the page about {shown}.",
            obj=str(folder),
            hint="Name the evaluations that were judged, or run `groundwork referring gate` again.",
        )
    return decision


def _resampling(decision: Mapping[str, Any]) -> Resampling:
    return Resampling(
        alpha=decision["alpha"],
        resamples=decision["resamples"],
        seed=decision["seed"],
        method=decision["interval"],
    )


class _Draws:
    """The images drawn anew, once for all numbers of a page."""

    def __init__(self, evaluations: Sequence[ReferringEvaluation], resampling: Resampling) -> None:
        self.tables = [evaluation.expressions for evaluation in evaluations]
        self.names = [
            entry["name"]
            for entry in evaluations[0].metrics["metrics"]
            if all(entry["name"] not in item.metrics["undefined"] for item in evaluations)
        ]
        self.resampling = resampling
        images = len(self.tables[0].image_ids)
        self.is_enough = images >= _FEWEST
        self.weights = bootstrap.draw_weights(images, resamples=resampling.resamples, seed=resampling.seed)

    def intervals(self) -> dict[str, Interval]:
        """Return where the numbers of the candidate lie."""
        return self._each(
            lambda name: bootstrap.interval(
                self.tables[0],
                name,
                self.weights,
                alpha=self.resampling.alpha,
                method=self.resampling.method,
            )
        )

    def differences(self) -> dict[str, Interval]:
        """Return where candidate minus champion lies; nothing for a single model."""
        if len(self.tables) < 2:
            return {}
        return self._each(
            lambda name: bootstrap.difference(
                self.tables[0],
                self.tables[1],
                name,
                self.weights,
                alpha=self.resampling.alpha,
                method=self.resampling.method,
            )
        )

    def _each(self, measure: Callable[[str], Interval]) -> dict[str, Interval]:
        found = {}
        for name in self.names if self.is_enough else ():
            try:
                found[name] = measure(name)
            except ValueError:  # a resample without anything to score: no interval is the honest answer
                continue
        return found
