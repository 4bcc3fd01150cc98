"""What speaks for one model before the gate, and every reason not to believe it.

An objection is not a bad value. It says that a value is missing, impossible, or about something else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evaluation.bootstrap import Measured, definition_behind, image_ids, recompute, supports
from evaluation.definition import DETECTION, Definition, MetricSpec
from evaluation.expressions import Expressions
from evaluation.tables import Tables

_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """One evaluated bundle. Metric values are what the file says; nothing about them is taken for granted."""

    bundle_id: str
    model_sha256: str
    dataset_sha256: str
    split: str
    definition_sha256: str
    images_expected: int
    images_scored: int
    metrics: Mapping[str, object]
    """Name -> value, whatever that is."""
    undefined: Mapping[str, str]
    """Name -> why there is no value."""
    tables: Measured
    sequence: int | None = None
    """Place in the history of promotions; None for a candidate."""

    @classmethod
    def from_document(
        cls,
        document: Mapping[str, Any],
        *,
        per_image: pd.DataFrame,
        matches: pd.DataFrame,
        bundle_id: str,
        sequence: int | None = None,
    ) -> "Evidence":
        """Read the content of ``metrics.json`` of detections.

        Raises:
            ValueError: If the document has not the form of ``groundwork.metrics/1`` or names a metric twice.
        """
        tables = Tables(per_image=per_image, matches=matches)
        return cls._read(document, tables, bundle_id=bundle_id, sequence=sequence)

    @classmethod
    def from_expressions(
        cls,
        document: Mapping[str, Any],
        *,
        definition: Definition,
        per_expression: pd.DataFrame,
        bundle_id: str,
        sequence: int | None = None,
    ) -> "Evidence":
        """Read the content of ``metrics.json`` of referring expressions of one split.

        Raises:
            ValueError: If the definition is not about expressions, the document has not the form of
                ``groundwork.metrics/1``, or it names a metric twice.
        """
        tables = Expressions(definition=definition, per_expression=per_expression)
        return cls._read(document, tables, bundle_id=bundle_id, sequence=sequence)

    @classmethod
    def _read(
        cls, document: Mapping[str, Any], tables: Measured, *, bundle_id: str, sequence: int | None
    ) -> "Evidence":
        try:
            entries = [(entry["name"], entry["value"]) for entry in document["metrics"]]
            evidence = cls(
                bundle_id=bundle_id,
                model_sha256=document["model_sha256"],
                dataset_sha256=document["dataset"]["sha256"],
                split=document["dataset"]["split"],
                definition_sha256=document["definition_sha256"],
                images_expected=document["coverage"]["images_expected"],
                images_scored=document["coverage"]["images_scored"],
                metrics=dict(entries),
                undefined=dict(document["undefined"]),
                tables=tables,
                sequence=sequence,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a metrics document ({type(error).__name__}: {error}).") from error
        if len(evidence.metrics) != len(entries):
            raise ValueError(f"a metric is named twice: {sorted(name for name, _ in entries)}.")
        return evidence

    def valid_metrics(self) -> dict[str, float]:
        """Return the metrics that are numbers in their range, by name."""
        specs = definition_behind(self.tables).metrics
        values = {spec.name: valid_value(spec, self.metrics.get(spec.name)) for spec in specs}
        return {name: value for name, value in values.items() if value is not None}


def valid_value(spec: MetricSpec, value: object) -> float | None:
    """Return the value if it is a number in the range of the metric; NaN, a bool and a text are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if spec.accepts(value) else None


def object_to(
    evidence: Evidence,
    *,
    who: str,
    split: str,
    needed: Sequence[str],
    definition: Definition = DETECTION,
) -> list[str]:
    """Name everything that keeps the evidence from being judged.

    Args:
        evidence: Of one model.
        who: ``candidate`` or ``champion``, for the sentences.
        split: That must have been evaluated.
        needed: Metrics that the judgement reads.
        definition: Of the metrics.

    Returns:
        Sentences; none if the evidence can be judged.
    """
    found = _about_origin(evidence, split, definition) + _about_coverage(evidence)
    found += evidence.tables.problems()
    for spec in definition.metrics:
        found += _about_metric(evidence, spec, is_needed=spec.name in needed)
    known = {spec.name for spec in definition.metrics}
    found += [f"metric {name!r} is unknown" for name in evidence.metrics if name not in known]
    if not found:
        found += [line for name in needed if (line := _about_agreement(evidence, name))]
    return [f"{who}: {line}." for line in found]


def object_to_pair(candidate: Evidence, champion: Evidence) -> list[str]:
    """Name everything that keeps two models from being compared."""
    found = []
    for name in ("dataset_sha256", "split", "definition_sha256"):
        mine, other = getattr(candidate, name), getattr(champion, name)
        if mine != other:
            found.append(f"{name} differs: candidate {mine!r}, champion {other!r}.")
    for column in ("image_id", "expression_id"):
        mine_N, other_N = _ids(candidate.tables, column), _ids(champion.tables, column)
        if mine_N != other_N:
            found.append(
                f"the {column.removesuffix('_id')}s differ: {len(mine_N - other_N)} only of the candidate, "
                f"{len(other_N - mine_N)} only of the champion."
            )
    return found


def _ids(tables: Measured, column: str) -> set[object]:
    """Return the ids in a column, also of tables with problems; none if there is no such column."""
    table = tables.per_expression if isinstance(tables, Expressions) else tables.per_image
    return set(table[column].to_numpy().ravel().tolist()) if column in table else set()


def _about_origin(evidence: Evidence, split: str, definition: Definition) -> list[str]:
    found = []
    if evidence.split != split:
        found.append(f"split {evidence.split!r} was evaluated, the gate judges {split!r}")
    if evidence.definition_sha256 != definition.sha256:
        found.append(
            f"metric definition {evidence.definition_sha256!r} was used, "
            f"the gate judges {definition.sha256!r}"
        )
    behind = definition_behind(evidence.tables)
    if behind.name != definition.name:
        found.append(f"the tables are of {behind.name!r}, the gate judges {definition.name!r}")
    return found


def _about_coverage(evidence: Evidence) -> list[str]:
    scored, expected = evidence.images_scored, evidence.images_expected
    found = []
    if not (type(scored) is int and type(expected) is int and scored == expected >= 1):
        found.append(f"coverage is {scored!r} of {expected!r} images, must be all of at least one")
    if isinstance(evidence.tables, Expressions):
        if others := sorted(map(str, _ids(evidence.tables, "split") - {evidence.split})):
            found.append(f"per_expression holds other splits too: {others}")
        if (rows := len(_ids(evidence.tables, "image_id"))) != scored:
            found.append(f"per_expression has {rows} images for {scored!r} scored images")
        return found
    if len(evidence.tables.per_image) != scored:
        found.append(f"per_image has {len(evidence.tables.per_image)} rows for {scored!r} scored images")
    if not len(evidence.tables.matches):
        found.append("the predictions are empty: no detection in any image")
    return found


def _about_metric(evidence: Evidence, spec: MetricSpec, *, is_needed: bool) -> list[str]:
    name = spec.name
    if name in evidence.metrics:
        value = evidence.metrics[name]
        if name in evidence.undefined:
            return [f"{name} has the value {value!r} and is called undefined"]
        limit = "any" if spec.highest is None else f"{spec.highest:g}"
        valid = valid_value(spec, value) is not None
        return [] if valid else [f"{name} must be a number from 0 to {limit}, got {value!r}"]
    if name in evidence.undefined:
        return [f"{name} is undefined: {evidence.undefined[name]}"] if is_needed else []
    return [f"{name} is missing"]


def _about_agreement(evidence: Evidence, name: str) -> str | None:
    """Compare what the file says with what the tables give: a file edited by hand is noticed."""
    if not supports(name):
        return None
    once_1I = np.ones((1, len(image_ids(evidence.tables))))
    try:
        value = float(recompute(evidence.tables, name, once_1I)[0])
    except ValueError as error:
        return f"{name} cannot be recomputed: {error}".rstrip(".")
    stated = float(str(evidence.metrics[name]))
    return (
        None
        if abs(value - stated) <= _TOLERANCE
        else f"{name} is stated as {stated}, its tables give {value}"
    )
