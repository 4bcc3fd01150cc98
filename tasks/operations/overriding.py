"""Make a candidate champion although the gate said no: by a person, for a reason, until a day.

Only the answer of the rules can be overruled, a missed limit, a lost or an open comparison. Evidence that
cannot be judged cannot be overruled either: nobody knows what it would promote.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from tasks.errors import GateRejected, UsageError
from tasks.operations import layout
from tasks.operations.circumstances import override_sentence, today
from tasks.operations.judging import Judgement, judge_candidate
from tasks.operations.promotion import describe, follow, proposal_of, refuse_lost_ledger
from tasks.operations.recording import record_candidate
from tasks.operations.reporting import report_judgement
from tasks.services.ledger import open_ledger
from tasks.services.ledger_entry import Proposal, read_day
from tasks.services.settings import Settings

_LONGEST = timedelta(days=366)
"""An exception without an end is a rule: those belong into the policy, by review."""

_MOST_WORDS = 1000
"""Characters of a reason: it stands in the ledger, in tags and on pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What a person has to say."""

    why: str
    until: str
    """The last day on which it holds, UTC, as ``2026-12-31``."""
    who: str | None = None
    """Default: git identity or login name."""


def read_override(why: str | None, until: str | None, who: str | None, *, on: date | None = None) -> Override:
    """Check what was said before anything is judged.

    Args:
        why: Reason; required.
        until: Last day; required, from today to a year ahead.
        who: Name, or None.
        on: The day of today; default: by the clock, UTC.

    Raises:
        UsageError: If reason or day is missing, or the day is over or far.
    """
    if why is None or not why.strip() or until is None:
        raise UsageError(
            "needs a reason and a last day.",
            obj="groundwork promote --override",
            hint='Give both: --override --why "..." --until YYYY-MM-DD.',
        )
    if len(why) > _MOST_WORDS:
        raise UsageError(
            f"must have at most {_MOST_WORDS} characters, got {len(why)}.",
            obj="--why",
            hint="Say it in short, and link to the rest.",
        )
    now = on or today()
    day = read_day(until)
    if not now <= day <= now + _LONGEST:
        raise UsageError(
            f"must be a day from {now} to {now + _LONGEST}, got {until}.",
            obj="--until",
            hint="Choose a nearer day, it can be renewed. What holds for good belongs into the policy.",
        )
    return Override(why=why, until=until, who=who)


def override_gate(
    override: Override,
    repository: Path,
    settings: Settings,
    *,
    dry_run: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Judge the candidate, then promote it against the gate's answer, or renew the override it stands by.

    Raises:
        GateRejected: If the evidence cannot be judged.
        UsageError: If the gate itself promotes it, or did.
        Conflict: If another promotion came between; judge again.
        UnavailableError: If the registry or the champion cannot be read.
    """
    judgement = judge_candidate(repository, settings, promoting=not dry_run, say=say)
    _refuse(judgement)
    decision_id = judgement.decision["decision_id"]
    answer = {"verdict": "override", "gate": judgement.verdict, "reasons": judgement.reasons,
              "remarks": judgement.remarks, "decision_id": decision_id}  # fmt: skip
    bundle_id = judgement.candidate.bundle_id
    if dry_run:
        summary = f"bundle {bundle_id} would become champion by override; the gate said {judgement.verdict}"
        return {**answer, "outcome": "dry run", "summary": summary}
    recorded = record_candidate(judgement, repository, settings)
    ledger = open_ledger(settings)
    refuse_lost_ledger(ledger, settings)
    proposal = proposal_of(judgement, recorded, repository, settings)
    before = judgement.champion_sequence
    entry = ledger.append(_overruling(proposal, override), before)
    follow(ledger, settings)
    judged = judge_candidate(repository, settings, promoting=True, say=say)  # the champion now, by override
    page, _ = report_judgement(judged, recorded, repository, settings)
    now = describe(ledger.champion(layout.MODEL_NAME), "overridden" if entry.sequence > before else "reused")
    summary = f"the gate said {judgement.verdict}; champion {override_sentence(entry)}: {now['summary']}"
    return {**answer, **now, "who": entry.who, "why": entry.why, "until": entry.until, "report": str(page),
            "summary": summary}  # fmt: skip


def _refuse(judgement: Judgement) -> None:
    """Refuse what needs no override, and what must not have one."""
    bundle = f"bundle {judgement.candidate.bundle_id}"
    if judgement.verdict == "promote":
        raise UsageError(
            "is promoted by the gate: there is nothing to override.",
            obj=bundle,
            hint="Run `groundwork promote` without --override.",
        )
    if objections := judgement.decision["objections"]:
        raise GateRejected(
            f"cannot be promoted by an override, for the evidence cannot be judged: {' '.join(objections)}",
            obj=bundle,
            hint="Cure the cause, then run `groundwork eval` and `groundwork gate`.",
        )


def _overruling(proposal: Proposal, override: Override) -> Proposal:
    return replace(
        proposal,
        kind="override",
        decision_id=f"override-{proposal.decision_id}-until-{override.until}",
        overrules=proposal.decision_id,
        until=override.until,
        who=override.who or proposal.who,
        why=override.why,
    )
