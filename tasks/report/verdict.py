"""The gate's answer in words: a badge, one sentence, and all reasons as the gate gave them."""

import math
from dataclasses import dataclass
from typing import Any

from tasks.report.sources import Override
from tasks.report.tables import full_label

_WORDS = {
    "promote": "Promote",
    "reject": "Reject",
    "inconclusive": "Inconclusive",
    "champion": "Already champion",
    "override": "Champion by override",
    "ended": "Override is over",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the head of the page says."""

    kind: str
    """``promote``, ``reject``, ``inconclusive``, ``champion``, ``override`` or ``ended``; the style too."""
    word: str
    sentence: str
    reasons: tuple[str, ...]
    objections: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    """What a reader must know and no rule weighed."""


def read_verdict(decision: dict[str, Any], *, in_force: bool, override: Override | None = None) -> Verdict:
    """Put a decision into words; nothing is judged here.

    Args:
        decision: Content of ``decision.json``.
        in_force: Whether the model is the champion already.
        override: By which it is champion although the gate did not promote it.

    Raises:
        ValueError: If the verdict is not one the gate can give.
    """
    kind = "champion" if in_force else decision["verdict"]
    if override is not None:
        kind = "ended" if override.is_over else "override"
    if kind not in _WORDS:
        raise ValueError(f"verdict must be one of {sorted(_WORDS)}, got {kind!r}.")
    return Verdict(
        kind=kind,
        word=_WORDS[kind],
        sentence=_sentence(kind, decision) if override is None else _overruled(override, decision),
        reasons=tuple(text for text in decision["reasons"] if text not in decision["objections"]),
        objections=tuple(decision["objections"]),
        remarks=tuple(decision.get("remarks", ())),
    )


def _overruled(override: Override, decision: dict[str, Any]) -> str:
    answer = "rejected it" if decision["verdict"] == "reject" else "left it open"
    holds = f"ended on {override.until}" if override.is_over else f"holds until {override.until}"
    return (
        f"The gate {answer}. {override.who} made it champion all the same on {override.when[:10]}, in entry "
        f"{override.sequence} of the ledger; this {holds}. The reason given: {override.why}"
    )


def _sentence(kind: str, decision: dict[str, Any]) -> str:
    floors, champion = decision["floors"], decision["champion"]
    met = sum(bool(floor["passed"]) for floor in floors)
    limits = (
        f"{'All' if met == len(floors) else met} {'' if met == len(floors) else 'of '}{len(floors)} limits"
    )
    stays = "There is still no champion." if champion is None else "The champion stays."
    if kind == "champion":
        return "This model is the champion. Below stands the decision that made it so."
    if decision["objections"]:
        return f"The evidence cannot be judged, so nothing is promoted. {stays}"
    if kind == "promote" and champion is None:
        return f"{limits} are met and there is no champion yet: this model becomes the first."
    if kind == "promote":
        return f"{limits} are met and {_better(decision)}: this model replaces the champion."
    if kind == "inconclusive":
        return f"{limits} are met, but {_open(decision)}. {stays}"
    return f"{limits} are met{_lost(decision)}. {stays}"


def _better(decision: dict[str, Any]) -> str:
    better = [_in_sentence(item["metric"]) for item in decision["comparisons"] if item["outcome"] == "better"]
    others = len(decision["comparisons"]) - len(better)
    safe = f"; {others} other{'s are' if others > 1 else ' is'} not worse" if others else ""
    return f"{' and '.join(better)} {'is' if len(better) == 1 else 'are'} better beyond chance{safe}"


def _open(decision: dict[str, Any]) -> str:
    unsure = [
        _in_sentence(item["metric"]) for item in decision["comparisons"] if item["outcome"] == "inconclusive"
    ]
    if not unsure and (decision.get("uses") or 0) > (decision.get("max_uses") or math.inf):
        return "so many models were judged on these images that one wins by luck"
    if not unsure:
        return "there is nothing to compare with"
    return f"these images are too few to tell whether {' and '.join(unsure)} held up against the champion"


def _lost(decision: dict[str, Any]) -> str:
    outcomes = ("not better", "worse")
    lost = [
        f"{_in_sentence(item['metric'])} is {item['outcome']}"
        for item in decision["comparisons"]
        if item["outcome"] in outcomes
    ]
    return f"; {' and '.join(lost)} than the champion's" if lost else ""


def _in_sentence(name: str) -> str:
    label = full_label(name)
    return label[:1].lower() + label[1:]
