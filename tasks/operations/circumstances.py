"""What the gate must be told beside the evidence: earlier looks, withdrawals, overrides, other rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

from evaluation.gate import Policy
from tasks.data.strict_json import read_json
from tasks.errors import GateRejected
from tasks.operations import layout
from tasks.operations.candidate import Candidate
from tasks.services.ledger import Ledger
from tasks.services.ledger_entry import Entry, override_behind
from tasks.services.settings import Settings
from tasks.services.uses import Use, count_uses, note_use


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Arguments of ``evaluation.gate.decide`` beside the evidence."""

    withdrawn: str | None
    uses: int
    remarks: tuple[str, ...]


def look_up(
    candidate: Candidate, policy: Policy, ledger: Ledger, settings: Settings, *, promoting: bool
) -> Circumstances:
    """Count this look at the split, and read what the history says about candidate and champion.

    Args:
        candidate: Who is judged.
        policy: The rules.
        ledger: History of the model; keeps the count too.
        settings: Where older decisions lie.
        promoting: Whether a promotion asks; nobody else may look at a sealed split first.

    Raises:
        GateRejected: If the split is sealed and somebody else asks.
        UnavailableError: If the ledger cannot be reached.
        IntegrityError: If it was damaged.
    """
    use = Use(
        dataset_sha256=candidate.dataset_sha256, split=policy.split, model_sha256=candidate.model_sha256
    )
    if policy.sealed and not promoting and not count_uses(ledger, use):
        raise GateRejected(
            f"is sealed: only a promotion judges a model on it, and model {use.model_sha256[:12]} was not "
            "judged on it yet.",
            obj=f"split {policy.split!r} of dataset {use.dataset_sha256[:12]}",
            hint="Run `groundwork promote`, and look at another split until then.",
        )
    history = ledger.history(layout.MODEL_NAME)
    return Circumstances(
        withdrawn=_withdrawal(candidate.model_sha256, history),
        uses=note_use(ledger, use),
        remarks=(*_about_override(history), *_about_policy(history, policy, settings)),
    )


def today() -> date:
    """Return the day by which overrides end, UTC."""
    return datetime.now(UTC).date()


def override_sentence(entry: Entry) -> str:
    """Say who overruled the gate, until when and why."""
    holds = f"which ended on {entry.until}" if entry.is_over(today()) else f"which holds until {entry.until}"
    return f"by override of {entry.who} in entry {entry.sequence}, {holds}, because: {entry.why}"


def _withdrawal(model_sha256: str, history: Sequence[Entry]) -> str | None:
    """Say who took a model out of service and why, if the last word about it was a rollback.

    Without this the next run would judge the same evidence again and undo what a person decided.
    """
    word = None
    for before, entry in pairwise(history):
        if entry.model_sha256 == model_sha256:
            word = None
        elif entry.kind == "rollback" and before.model_sha256 == model_sha256:
            word = (
                f"taken out of service by {entry.who} in entry {entry.sequence}, because: {entry.why}. "
                f"To restore it: `groundwork rollback --to {before.sequence} --why ...`."
            )
    return word


def _about_override(history: Sequence[Entry]) -> list[str]:
    entry = override_behind(history)
    if entry is None:
        return []
    return [f"The champion stands {override_sentence(entry).rstrip('.')}."]


def _about_policy(history: Sequence[Entry], policy: Policy, settings: Settings) -> list[str]:
    """Say that the champion was judged by other rules; a threshold that moved must be seen."""
    if not history:
        return []
    origin = history[history[-1].origin - 1]
    theirs = origin.policy_sha256 or _policy_of(origin.overrules or origin.decision_id, settings)
    if theirs is None or theirs == policy.sha256:
        return []
    return [
        f"The rules are not those that judged the champion: policy {policy.sha256[:12]} now, "
        f"{theirs[:12]} then."
    ]


def _policy_of(decision_id: str, settings: Settings) -> str | None:
    """Read the policy of an entry that does not name it from its decision, where that is kept here."""
    path = decision_file(decision_id, settings)
    return str(read_json(path)["policy_sha256"]) if path.exists() else None


def decision_file(decision_id: str, settings: Settings) -> Path:
    """Return where a decision is kept."""
    return settings.home / "decisions" / decision_id / "decision.json"
