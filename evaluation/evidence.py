"""What speaks for one model before the gate, and every reason not to believe it.

An objection is not a bad value. It says that a value is missing, impossible, or about something else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evaluation.bootstrap import recompute, supports
from evaluation.definition import DETECTION, MetricSpec
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
    tables: Tables
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
        """Read the content of ``metrics.json``.

        Raises:
            ValueError: If the document has not the form of ``groundwork.metrics/1`` or names a metric twice.
        """
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
                tables=Tables(per_image=per_image, matches=matches),
                sequence=sequence,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a metrics document ({type(error).__name__}: {error}).") from error
        if len(evidence.metrics) != len(entries):
            raise ValueError(f"a metric is named twice: {sorted(name for name, _ in entries)}.")
        return evidence

    def valid_metrics(self) -> dict[str, float]:
        """Return the metrics that are numbers in their range, by name."""
        values = {spec.name: valid_value(spec, self.metrics.get(spec.name)) for spec in DETECTION.metrics}
        return {name: value for name, value in values.items() if value is not None}


def valid_value(spec: MetricSpec, value: object) -> float | None:
    """Return the value if it is a number in the range of the metric; NaN, a bool and a text are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if spec.accepts(value) else None


def object_to(evidence: Evidence, *, who: str, split: str, needed: Sequence[str]) -> list[str]:
    """Name everything that keeps the evidence from being judged.

    Args:
        evidence: Of one model.
        who: ``candidate`` or ``champion``, for the sentences.
        split: That must have been evaluated.
        needed: Metrics that the judgement reads.

    Returns:
        Sentences; none if the evidence can be judged.
    """
    found = _about_origin(evidence, split) + _about_coverage(evidence) + evidence.tables.problems()
    for spec in DETECTION.metrics:
        found += _about_metric(evidence, spec, is_needed=spec.name in needed)
    known = {spec.name for spec in DETECTION.metrics}
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
    sides = (candidate.tables.per_image, champion.tables.per_image)
    images, others = (set(table["image_id"]) if "image_id" in table else set() for table in sides)
    if images != others:
        found.append(
            f"the images differ: {len(images - others)} only of the candidate, "
            f"{len(others - images)} only of the champion."
        )
    return found


def _about_origin(evidence: Evidence, split: str) -> list[str]:
    found = []
    if evidence.split != split:
        found.append(f"split {evidence.split!r} was evaluated, the gate judges {split!r}")
    if evidence.definition_sha256 != DETECTION.sha256:
        found.append(
            f"metric definition {evidence.definition_sha256!r} was used, the gate judges {DETECTION.sha256!r}"
        )
    return found


def _about_coverage(evidence: Evidence) -> list[str]:
    scored, expected = evidence.images_scored, evidence.images_expected
    found = []
    if not (type(scored) is int and type(expected) is int and scored == expected >= 1):
        found.append(f"coverage is {scored!r} of {expected!r} images, must be all of at least one")
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
    once_1I = np.ones((1, len(evidence.tables.per_image)))
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
