"""Apply a decision to the promotion ledger, undo it, and let the MLflow alias follow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.errors import GroundworkError
from tasks.operations import layout
from tasks.operations.judging import Judgement, judge_candidate
from tasks.operations.recording import Recorded, record_candidate
from tasks.services import champion, registry, tracking
from tasks.services.bundles import open_bundles
from tasks.services.git import identity
from tasks.services.ledger import open_ledger
from tasks.services.ledger_entry import Entry, Proposal
from tasks.services.settings import Settings


def apply_decision(
    judgement: Judgement, recorded: Recorded, repository: Path, settings: Settings
) -> dict[str, Any]:
    """Make the candidate champion if its decision says so; a decision is applied at most once.

    Returns:
        The champion in force and what happened, in words.

    Raises:
        Conflict: If another promotion came between; judge again.
        UnavailableError: If the registry or the champion cannot be read.
        IntegrityError: If the ledger lost entries that the registry has seen.
    """
    ledger = open_ledger(settings)
    tracker = tracking.connect(settings)
    registry.reconcile(tracker, layout.MODEL_NAME, ledger.champion)  # a lost ledger stops here
    outcome = "kept"
    if judgement.in_force:
        outcome = "reused"
    elif judgement.verdict == "promote":
        ledger.append(_proposal(judgement, recorded, repository, settings), judgement.champion_sequence)
        registry.reconcile(tracker, layout.MODEL_NAME, ledger.champion)
        outcome = "promoted"
    return describe(ledger.champion(layout.MODEL_NAME), outcome)


def describe(entry: Entry | None, outcome: str) -> dict[str, Any]:
    """Put the champion in force into words."""
    if entry is None:
        return {"outcome": outcome, "sequence": 0, "version": None, "bundle_id": None,
                "summary": "none: nothing was promoted yet"}  # fmt: skip
    return {
        "outcome": outcome,
        "sequence": entry.sequence,
        "version": entry.mlflow_version,
        "bundle_id": entry.bundle_id,
        "summary": f"{entry.model} version {entry.mlflow_version} (bundle {entry.bundle_id}, "
        f"entry {entry.sequence}, {entry.kind} by {entry.who} at {entry.when})",
    }


def promote_candidate(
    repository: Path,
    settings: Settings,
    *,
    first: bool = False,
    dry_run: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Judge the current candidate and apply the decision, or say what would happen."""
    judgement = judge_candidate(repository, settings, first=first, say=say)
    answer = {"verdict": judgement.verdict, "reasons": judgement.reasons,
              "decision_id": judgement.decision["decision_id"]}  # fmt: skip
    if judgement.in_force:
        summary = f"bundle {judgement.candidate.bundle_id} is champion already"
        return {**answer, "outcome": "reused", "summary": summary}
    if dry_run:
        would = "would" if judgement.verdict == "promote" else "would not"
        summary = f"bundle {judgement.candidate.bundle_id} {would} become champion: {judgement.verdict}"
        return {**answer, "outcome": "dry run", "summary": summary}
    recorded = record_candidate(judgement, repository, settings)
    champion_now = apply_decision(judgement, recorded, repository, settings)
    return {**answer, **champion_now, "summary": f"{judgement.verdict}; champion: {champion_now['summary']}"}


def roll_back(
    repository: Path, settings: Settings, *, why: str, to: int | None = None, who: str | None = None
) -> dict[str, Any]:
    """Restore an earlier champion in the ledger; the alias follows now, or when MLflow is back.

    Raises:
        UsageError: If there is nothing to return to, or no reason is given.
        UnavailableError: If the earlier bundle is gone.
        Conflict: If another change came first.
    """
    ledger = open_ledger(settings)
    entry = champion.restore(
        layout.MODEL_NAME,
        ledger,
        open_bundles(settings),
        who=who or identity(repository) or settings.who,
        why=why,
        to=to,
    )
    answer = describe(entry, "rolled back") | {"who": entry.who, "when": entry.when, "why": entry.why}
    try:
        registry.reconcile(tracking.connect(settings), layout.MODEL_NAME, ledger.champion)
    except GroundworkError as error:
        answer["warning"] = f"The ledger is changed; the alias in MLflow follows later: {error}"
    summary = f"{answer['summary']}, because: {entry.why}"
    return answer | {"summary": f"{summary}\n{answer['warning']}" if "warning" in answer else summary}


def _proposal(judgement: Judgement, recorded: Recorded, repository: Path, settings: Settings) -> Proposal:
    return Proposal(
        kind="promote",
        model=layout.MODEL_NAME,
        bundle_id=judgement.candidate.bundle_id,
        model_sha256=judgement.candidate.model_sha256,
        mlflow_version=recorded.version,
        decision_id=judgement.decision["decision_id"],
        dataset_sha256=judgement.candidate.dataset_sha256,
        metrics=judgement.candidate.values,
        who=identity(repository) or settings.who,
        why=f"gate: {judgement.reasons[-1]}",
    )
