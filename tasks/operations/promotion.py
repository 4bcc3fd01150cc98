"""Apply a decision to the promotion ledger, undo it, and let the MLflow alias follow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.data.strict_json import read_json
from tasks.errors import GroundworkError
from tasks.operations import layout
from tasks.operations.circumstances import decision_file, override_sentence
from tasks.operations.judging import Judgement, judge_candidate
from tasks.operations.recording import Recorded, record_candidate
from tasks.services import champion, registry, tracking
from tasks.services.bundles import open_bundles
from tasks.services.git import identity
from tasks.services.ledger import Ledger, open_ledger
from tasks.services.ledger_entry import Entry, Proposal
from tasks.services.model_card import write_card
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
    refuse_lost_ledger(ledger, settings)
    outcome = "kept"
    if judgement.in_force:
        follow(ledger, settings)
        outcome = "reused"
    elif judgement.verdict == "promote":
        ledger.append(proposal_of(judgement, recorded, repository, settings), judgement.champion_sequence)
        follow(ledger, settings)
        outcome = "promoted"
    return describe(ledger.champion(layout.MODEL_NAME), outcome)


def refuse_lost_ledger(ledger: Ledger, settings: Settings) -> None:
    """Stop before a change if the registry has seen more than the ledger holds.

    Raises:
        IntegrityError: With both entries.
        UnavailableError: If the registry cannot be read.
    """
    registry.reconcile(tracking.connect(settings), layout.MODEL_NAME, ledger.champion)


def follow(ledger: Ledger, settings: Settings) -> None:
    """Let alias and card in the registry say what the ledger says; a kill before is made good here.

    Raises:
        UnavailableError: If the registry cannot be reached.
    """
    tracker = tracking.connect(settings)
    entry = registry.reconcile(tracker, layout.MODEL_NAME, ledger.champion)
    if entry is None:
        return
    origin = ledger.history(layout.MODEL_NAME)[entry.origin - 1]
    path = decision_file(origin.overrules or origin.decision_id, settings)
    verdict = str(read_json(path)["verdict"]) if path.exists() else "something that is not kept here"
    write_card(tracker, origin, registry.require_version(tracker, entry), verdict=verdict)


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
        f"entry {entry.sequence}, {entry.kind} by {entry.who} at {entry.when}{_until(entry)})",
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
    judgement = judge_candidate(repository, settings, first=first, promoting=not dry_run, say=say)
    answer = {"verdict": judgement.standing, "reasons": judgement.reasons, "remarks": judgement.remarks,
              "decision_id": judgement.decision["decision_id"]}  # fmt: skip
    if judgement.in_force:
        if not dry_run:
            follow(open_ledger(settings), settings)  # what a kill after the ledger's line left undone
        summary = f"bundle {judgement.candidate.bundle_id} is champion already"
        if judgement.override is not None:
            summary += f" {override_sentence(judgement.override)}"
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


def _until(entry: Entry) -> str:
    return "" if entry.until is None else f" until {entry.until}"


def proposal_of(judgement: Judgement, recorded: Recorded, repository: Path, settings: Settings) -> Proposal:
    """Propose the candidate as the gate decided."""
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
        policy_sha256=judgement.decision["policy_sha256"],
    )
