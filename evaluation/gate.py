"""The judge: one pure function from evidence and policy to a decision.

It is written positively: nothing is promoted unless every number is proved to be one, in its range, about
the same images, and better than the champion's beyond what chance over images explains. When a comparison
stays open the answer is ``inconclusive``, a verdict of its own.

How sharp that is, simulated with 200 resamples and an alpha of 0.05, of which one side, 0.025, can promote:

* Detection, 39 images of 54 regions on average, the comparisons of ``configs/gates/segmenter.yaml``: of 400
  pairs of equal models 16 were promoted (95% bound of the rate: 6.0%), of 200 under BCa 8 (7.1%); of 100
  pairs with a true gain of 0.024 in ``mask.ap50`` 43, with one of 0.045 78.
* Referring boxes, 150 images of three expressions on average, ``ref_box.accuracy_50`` alone: of 500 pairs of
  equal models 14 were promoted under BCa (4.3%), 17 by percentiles (5.1%); of 100 pairs each, all BCa, of
  which the challenger finds 5, 8 and 10 points more, 39, 79 and 93.

Nearly all others stay open.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from evaluation.bootstrap import Interval, difference, draw_weights, image_ids
from evaluation.decision import Comparison, Decision, LimitResult, NotJudged, Outcome, Side, Verdict
from evaluation.evidence import Evidence, object_to, object_to_pair
from evaluation.limits import (
    apply_limits,
    apply_single_limits,
    left_out,
    left_out_sentences,
    limit_sentence,
)
from evaluation.policy import (
    Ceiling,
    ClassFloor,
    Floor,
    MustPass,
    NonInferior,
    Policy,
    Primary,
    SampleSize,
)

__all__ = [
    "Ceiling",
    "ClassFloor",
    "Comparison",
    "Decision",
    "Evidence",
    "Floor",
    "LimitResult",
    "MustPass",
    "NonInferior",
    "NotJudged",
    "Policy",
    "Primary",
    "SampleSize",
    "Side",
    "decide",
]


def decide(
    candidate: Evidence,
    champion: Evidence | None,
    policy: Policy,
    *,
    first: bool = False,
    withdrawn: str | None = None,
    uses: int | None = None,
    remarks: Sequence[str] = (),
) -> Decision:
    """Judge a candidate.

    Args:
        candidate: What speaks for it.
        champion: What spoke for the present champion, on the same images. None: there is none.
        policy: The rules.
        first: Allow a promotion although there is no champion. Changes nothing while there is one.
        withdrawn: Why a person took this very model out of service, if one did: an objection like any other.
        uses: How many different models this version of the split has judged, this one included; None: nobody
            counted, and then a policy that bounds them leaves the question open.
        remarks: What a reader of the decision must know and no rule weighs, each a sentence.

    Returns:
        ``reject`` on any objection, missed limit or proven loss; ``promote`` only if every rule is proved to
        hold; otherwise ``inconclusive``.
    """
    floors, left, objections = _weigh_alone(candidate, policy)
    objections += [f"candidate: {withdrawn}"] if withdrawn else []
    open_questions = _used_up(policy, uses)
    comparisons: list[Comparison] = []
    if champion is not None:
        objections += _object(champion, "champion", policy.compared, policy)
        objections += object_to_pair(candidate, champion)
        if not objections:
            comparisons, unanswered = _compare(candidate, champion, policy)
            open_questions += unanswered
    elif not first:
        open_questions.append("no champion to compare with, and no first promotion was asked for.")
    verdict, reasons = _conclude(objections, floors, comparisons, open_questions, policy)
    if verdict == "promote" and champion is None:
        reasons.append("there is no champion, and a first promotion was asked for.")
    return Decision(
        decision_id=_decision_id(
            _identities(candidate, champion, policy), first and champion is None, withdrawn, uses, remarks
        ),
        verdict=verdict,
        reasons=tuple(reasons),
        objections=tuple(objections),
        comparisons=tuple(comparisons),
        floors=tuple(floors),
        candidate=_side(candidate),
        champion=None if champion is None else _side(champion),
        dataset_sha256=candidate.dataset_sha256,
        definition_sha256=candidate.definition_sha256,
        not_judged=tuple(left),
        uses=uses,
        remarks=(*_uses_sentence(policy, uses), *left_out_sentences(left), *remarks),
        **_rules(policy),
    )


def _weigh_alone(candidate: Evidence, policy: Policy) -> tuple[list[LimitResult], list[NotJudged], list[str]]:
    """Apply what looks at the candidate alone: limits, what they leave out, objections."""
    objections = _object(candidate, "candidate", policy.metrics, policy)
    floors = apply_limits(candidate, policy)
    if objections:
        return floors, [], objections
    single, objections = apply_single_limits(candidate, policy)
    return floors + single, left_out(candidate, policy), objections


def _rules(policy: Policy) -> dict[str, Any]:
    """Return what a decision repeats of its policy."""
    return {
        "policy_sha256": policy.sha256,
        "definition": _definition(policy),
        "alpha": policy.alpha,
        "interval": policy.interval,
        "resamples": policy.resamples,
        "seed": policy.seed,
        "max_uses": policy.max_uses,
    }


def _object(evidence: Evidence, who: str, needed: Sequence[str], policy: Policy) -> list[str]:
    return object_to(evidence, who=who, split=policy.split, needed=needed, definition=policy.judges)


def _definition(policy: Policy) -> dict[str, Any]:
    judges = policy.judges
    return {
        "name": judges.name,
        "sha256": judges.sha256,
        "conventions": list(judges.conventions),
        "metrics": [asdict(judges.spec(name)) for name in policy.metrics],
    }


def _conclude(
    objections: Sequence[str],
    floors: Sequence[LimitResult],
    comparisons: Sequence[Comparison],
    open_questions: Sequence[str],
    policy: Policy,
) -> tuple[Verdict, list[str]]:
    if objections:
        return "reject", [f"{len(objections)} objections: the evidence cannot be judged.", *objections]
    missed = [limit_sentence(floor) for floor in floors if not floor.passed]
    lost = [_sentence(item, policy) for item in comparisons if item.outcome in ("not better", "worse")]
    if missed or lost:
        return "reject", missed + lost
    unsure = [_sentence(item, policy) for item in comparisons if item.outcome == "inconclusive"]
    if unsure or open_questions:
        return "inconclusive", [*unsure, *open_questions]
    return "promote", [limit_sentence(floor) for floor in floors] + [
        _sentence(item, policy) for item in comparisons
    ]


def _compare(candidate: Evidence, champion: Evidence, policy: Policy) -> tuple[list[Comparison], list[str]]:
    """Compare by paired bootstrap; what cannot be resampled stays an open question."""
    images = len(image_ids(candidate.tables))
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
            change = difference(
                candidate.tables,
                champion.tables,
                metric,
                weight_BI,
                alpha=policy.alpha,
                method=policy.interval,
            )
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
                outcome=_outcome(
                    change, margin, is_up=policy.judges.spec(metric).higher_is_better, must_rise=must_rise
                ),
            )
        )
    return comparisons, open_questions


def _outcome(change: Interval, margin: float, *, is_up: bool, must_rise: bool) -> Outcome:
    low, high = (change.low, change.high) if is_up else (-change.high, -change.low)
    if must_rise:
        if low > margin:
            return "better"
        return "not better" if high <= margin else "inconclusive"
    if low >= margin:
        return "not worse"
    return "worse" if high < margin else "inconclusive"


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


def _identities(candidate: Evidence, champion: Evidence | None, policy: Policy) -> list[object]:
    return [
        candidate.bundle_id,
        None if champion is None else [champion.bundle_id, champion.sequence],
        policy.sha256,
        candidate.dataset_sha256,
        candidate.definition_sha256,
    ]


def _decision_id(
    identities: list[object], is_first: bool, withdrawn: str | None, uses: int | None, remarks: Sequence[str]
) -> str:
    """Hash all that decides; what was not said is not in there, as it was before it could be said."""
    said = [identity for identity in (uses, list(remarks)) if identity not in (None, [])]
    whole = [*identities, is_first, withdrawn, *said]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:16]


def _uses_sentence(policy: Policy, uses: int | None) -> list[str]:
    if uses is None:
        return []
    allowed = "" if policy.max_uses is None else f" of at most {policy.max_uses}"
    return [f"This is model {uses}{allowed} that is judged on split {policy.split!r} of this dataset."]


def _used_up(policy: Policy, uses: int | None) -> list[str]:
    """Say that the split has judged too often to be believed, where the policy bounds it."""
    if policy.max_uses is None or (uses is not None and uses <= policy.max_uses):
        return []
    found = "nobody counted how many models were" if uses is None else f"{uses} different models were"
    cure = "judge on new data" if uses is not None else "count them"
    return [
        f"split {policy.split!r} may judge {policy.max_uses} models, {found} judged on this version of it: "
        f"what wins now may win by luck; {cure}."
    ]
