"""The answer of the gate as data: a verdict with every number and sentence that led to it."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from evaluation.intervals import Method

Verdict = Literal["promote", "reject", "inconclusive"]
Outcome = Literal["better", "not better", "not worse", "worse", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitResult:
    """One floor or ceiling, applied."""

    metric: str
    value: float | None
    """None if there is no valid value."""
    at_least: float | None = None
    at_most: float | None = None
    category: str | None = None
    """The one that the value is of; None: of all together."""
    image_id: int | None = None
    """The one that the value is of; None: of all together."""
    objects: int | None = None
    """Number of regions that the value rests on, where the rule asks how sure it is."""
    upper: float | None = None
    """Upper end of the one-sided interval that was held to the floor, where the rule asks for one."""
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotJudged:
    """A category that a floor left out because it has too few regions."""

    metric: str
    category: str
    objects: int
    min_objects: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of candidate and champion on the same images."""

    metric: str
    candidate: float
    champion: float
    difference: float
    """Candidate minus champion."""
    interval: tuple[float, float]
    """Of the difference, by paired bootstrap over images."""
    margin: float
    """Smallest gain that counts, or largest drop that is allowed as a negative gain."""
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Who was judged."""

    bundle_id: str
    model_sha256: str
    sequence: int | None
    metrics: dict[str, float]
    """Only values that are numbers in their range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict with everything that led to it."""

    decision_id: str
    """Equal for equal inputs: 16 hex digits of the hash of their identities."""
    verdict: Verdict
    reasons: tuple[str, ...]
    objections: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    floors: tuple[LimitResult, ...]
    """Of a rule about single categories or images: those that miss it, or the closest one."""
    candidate: Side
    champion: Side | None
    policy_sha256: str
    dataset_sha256: str
    definition_sha256: str
    """What the candidate was measured by."""
    definition: dict[str, Any]
    """What the gate judges by: name, conventions, and every metric that a rule reads."""
    alpha: float
    interval: Method
    resamples: int
    seed: int
    not_judged: tuple[NotJudged, ...] = ()
    """Categories that a floor for single categories left out."""
    uses: int | None = None
    """How many different models the split has judged, this one included; None: nobody counted."""
    max_uses: int | None = None
    """How many the policy allows."""
    remarks: tuple[str, ...] = ()
    """What a reader must know and no rule weighs."""

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``decision.json``; strict JSON, never NaN."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        document["floors"] = [
            {key: value for key, value in floor.items() if key == "value" or value is not None}
            for floor in document["floors"]
        ]
        return {"schema": "groundwork.decision/1", **document}
