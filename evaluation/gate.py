"""The judge: one pure function from evidence and policy to a decision.

It is written positively: nothing is promoted unless every number is proved to be one, in its range, about
the same images, and better than the champion's beyond what chance over images explains. When a comparison
stays open the answer is ``inconclusive``, a verdict of its own.

How sharp that is, simulated with pairs of models on 39 images of 54 regions on average, the comparisons of
``configs/gates/segmenter.yaml`` and 200 resamples: of 400 pairs of equal models 16 were promoted; of 100
pairs with a true gain of 0.024 in ``mask.ap50`` 43, with one of 0.045 78. Nearly all others stay open.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from evaluation.bootstrap import Interval, difference, draw_weights
from evaluation.definition import DETECTION
from evaluation.evidence import Evidence, object_to, object_to_pair
from evaluation.policy import Ceiling, Floor, NonInferior, Policy, Primary

__all__ = [
    "Ceiling",
    "Comparison",
    "Decision",
    "Evidence",
    "Floor",
    "LimitResult",
    "NonInferior",
    "Policy",
    "Primary",
    "Side",
    "decide",
]

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
    passed: bool


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
    candidate: Side
    champion: Side | None
    policy_sha256: str
    dataset_sha256: str
    definition_sha256: str
    alpha: float
    resamples: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``decision.json``; strict JSON, never NaN."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        document["floors"] = [
            {key: value for key, value in floor.items() if key == "value" or value is not None}
            for floor in document["floors"]
        ]
        return {"schema": "groundwork.decision/1", **document}


def decide(
    candidate: Evidence,
    champion: Evidence | None,
    policy: Policy,
    *,
    first: bool = False,
    withdrawn: str | None = None,
) -> Decision:
    """Judge a candidate.

    Args:
        candidate: What speaks for it.
        champion: What spoke for the present champion, on the same images. None: there is none.
        policy: The rules.
        first: Allow a promotion although there is no champion. Changes nothing while there is one.
        withdrawn: Why a person took this very model out of service, if one did: an objection like any other.

    Returns:
        ``reject`` on any objection, missed limit or proven loss; ``promote`` only if every rule is proved to
        hold; otherwise ``inconclusive``.
    """
    objections = object_to(candidate, who="candidate", split=policy.split, needed=policy.metrics)
    objections += [f"candidate: {withdrawn}"] if withdrawn else []
    comparisons: list[Comparison] = []
    open_questions: list[str] = []
    if champion is not None:
        objections += object_to(champion, who="champion", split=policy.split, needed=policy.compared)
        objections += object_to_pair(candidate, champion)
        if not objections:
            comparisons, open_questions = _compare(candidate, champion, policy)
    elif not first:
        open_questions.append("no champion to compare with, and no first promotion was asked for.")
    floors = _apply_limits(candidate, policy)
    verdict, reasons = _conclude(objections, floors, comparisons, open_questions, policy)
    if verdict == "promote" and champion is None:
        reasons.append("there is no champion, and a first promotion was asked for.")
    return Decision(
        decision_id=_decision_id(candidate, champion, policy, first=first, withdrawn=withdrawn),
        verdict=verdict,
        reasons=tuple(reasons),
        objections=tuple(objections),
        comparisons=tuple(comparisons),
        floors=tuple(floors),
        candidate=_side(candidate),
        champion=None if champion is None else _side(champion),
        policy_sha256=policy.sha256,
        dataset_sha256=candidate.dataset_sha256,
        definition_sha256=candidate.definition_sha256,
        alpha=policy.alpha,
        resamples=policy.resamples,
        seed=policy.seed,
    )


def _conclude(
    objections: Sequence[str],
    floors: Sequence[LimitResult],
    comparisons: Sequence[Comparison],
    open_questions: Sequence[str],
    policy: Policy,
) -> tuple[Verdict, list[str]]:
    if objections:
        return "reject", [f"{len(objections)} objections: the evidence cannot be judged.", *objections]
    missed = [_limit_sentence(floor) for floor in floors if not floor.passed]
    lost = [_sentence(item, policy) for item in comparisons if item.outcome in ("not better", "worse")]
    if missed or lost:
        return "reject", missed + lost
    unsure = [_sentence(item, policy) for item in comparisons if item.outcome == "inconclusive"]
    if unsure or open_questions:
        return "inconclusive", [*unsure, *open_questions]
    return "promote", [_limit_sentence(floor) for floor in floors] + [
        _sentence(item, policy) for item in comparisons
    ]


def _apply_limits(candidate: Evidence, policy: Policy) -> list[LimitResult]:
    values = candidate.valid_metrics()
    results = []
    for floor in policy.floors:
        value = values.get(floor.metric)
        passed = value is not None and value >= floor.at_least
        results.append(LimitResult(metric=floor.metric, value=value, at_least=floor.at_least, passed=passed))
    for ceiling in policy.ceilings:
        value = values.get(ceiling.metric)
        passed = value is not None and value <= ceiling.at_most
        results.append(
            LimitResult(metric=ceiling.metric, value=value, at_most=ceiling.at_most, passed=passed)
        )
    return results


def _compare(candidate: Evidence, champion: Evidence, policy: Policy) -> tuple[list[Comparison], list[str]]:
    """Compare by paired bootstrap; what cannot be resampled stays an open question."""
    images = len(candidate.tables.per_image)
    needed = math.ceil(math.log2(2 / policy.alpha))
    if images < needed:
        return [], [
            f"{images} images are too few to compare: at least {needed} are needed, or luck in every one of "
            f"them is likelier than {policy.alpha / 2:.1%}."
        ]
    weight_BI = draw_weights(images, resamples=policy.resamples, seed=policy.seed)
    comparisons, open_questions = [], []
    rules = [(policy.primary.metric, policy.primary.min_gain, True)]
    rules += [(item.metric, -item.max_drop, False) for item in policy.non_inferior]
    for metric, margin, must_rise in rules:
        try:
            change = difference(candidate.tables, champion.tables, metric, weight_BI, alpha=policy.alpha)
        except ValueError as error:
            open_questions.append(f"{metric} has no interval: {error}")
            continue
        comparisons.append(
            Comparison(
                metric=metric,
                candidate=candidate.valid_metrics()[metric],
                champion=champion.valid_metrics()[metric],
                difference=change.value,
                interval=(change.low, change.high),
                margin=margin,
                outcome=_outcome(metric, change, margin, must_rise=must_rise),
            )
        )
    return comparisons, open_questions


def _outcome(metric: str, change: Interval, margin: float, *, must_rise: bool) -> Outcome:
    is_up = DETECTION.spec(metric).higher_is_better
    low, high = (change.low, change.high) if is_up else (-change.high, -change.low)
    if must_rise:
        if low > margin:
            return "better"
        return "not better" if high <= margin else "inconclusive"
    if low >= margin:
        return "not worse"
    return "worse" if high < margin else "inconclusive"


def _limit_sentence(floor: LimitResult) -> str:
    rule = f"at least {floor.at_least}" if floor.at_least is not None else f"at most {floor.at_most}"
    return f"{floor.metric} is {floor.value:.4f}, {'and' if floor.passed else 'but'} must be {rule}."


def _sentence(item: Comparison, policy: Policy) -> str:
    low, high = item.interval
    finding = "stays open" if item.outcome == "inconclusive" else f"is {item.outcome}"
    return (
        f"{item.metric} {finding}: {item.candidate:.4f} against {item.champion:.4f} of the champion, "
        f"difference {item.difference:+.4f} with {1 - policy.alpha:.0%} interval [{low:+.4f}, {high:+.4f}], "
        f"margin {item.margin:+.4f}."
    )


def _side(evidence: Evidence) -> Side:
    return Side(
        bundle_id=evidence.bundle_id,
        model_sha256=evidence.model_sha256,
        sequence=evidence.sequence,
        metrics=evidence.valid_metrics(),
    )


def _decision_id(
    candidate: Evidence,
    champion: Evidence | None,
    policy: Policy,
    *,
    first: bool,
    withdrawn: str | None,
) -> str:
    identities = [
        candidate.bundle_id,
        None if champion is None else [champion.bundle_id, champion.sequence],
        policy.sha256,
        candidate.dataset_sha256,
        candidate.definition_sha256,
        first and champion is None,
        withdrawn,
    ]
    return hashlib.sha256(json.dumps(identities).encode()).hexdigest()[:16]
