"""Render the page of a candidate and put it beside its run."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tasks.data.commit import commit_file, hash_file, verify_directory
from tasks.errors import IntegrityError
from tasks.operations import layout
from tasks.operations.circumstances import today
from tasks.operations.judging import Judgement, judge_candidate
from tasks.operations.recording import Recorded, flatten, record_candidate
from tasks.report.page import PAGE, REPORT_SCHEMA, render_report
from tasks.report.sources import Override, ReportInputs
from tasks.services import runs, tracking
from tasks.services.settings import Settings


def report_judgement(
    judgement: Judgement, recorded: Recorded, repository: Path, settings: Settings, *, again: bool = False
) -> tuple[Path, str]:
    """Render the page of a decision once.

    Returns:
        The page, and ``rendered`` or ``reused``.

    Raises:
        IntegrityError: If the files do not belong together.
        UnavailableError: If MLflow does not answer when the page is attached.
    """
    folder = repository / layout.REPORTS / judgement.decision["decision_id"]
    attached = settings.home / "records" / f"{recorded.run_id}-{folder.name}.attached"
    override = _override(judgement)
    if not again and _is_current(folder, judgement.path, override):
        if not attached.exists():
            _attach(folder, recorded, settings, attached)
        return folder / PAGE, "reused"
    inputs = ReportInputs(
        model=layout.MODEL_NAME,
        version=f"version {recorded.version}",
        decision=judgement.path,
        evaluation=judgement.candidate.folder / "evaluation",
        champion_evaluation=judgement.champion_evaluation,
        predictions=repository / layout.PREDICTIONS,
        records=repository / layout.VAL_RECORDS,
        about=repository / layout.ABOUT,
        dataset=repository / layout.DATASET,
        history=judgement.candidate.folder / "model" / "history.jsonl",
        lineage={
            "bundle": judgement.candidate.bundle_id,
            "decision": judgement.decision["decision_id"],
            "MLflow run": recorded.url,
            **flatten(judgement.candidate.lineage),
        },
        override=override,
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    page = render_report(inputs, folder)
    _attach(folder, recorded, settings, attached)
    return page, "rendered"


def _attach(folder: Path, recorded: Recorded, settings: Settings, attached: Path) -> None:
    """Put page and pictures beside the run, and remember that it was done."""
    tracker = tracking.connect(settings)
    for picture in sorted(folder.rglob("*.png")):
        runs.attach_report(tracker, recorded.run_id, picture)
    runs.attach_report(tracker, recorded.run_id, folder / PAGE)
    commit_file(attached, b"")


def report_candidate(
    repository: Path, settings: Settings, *, say: Callable[[str], None] = lambda _: None
) -> Path:
    """Render the page of the current candidate again."""
    judgement = judge_candidate(repository, settings, say=say)
    recorded = record_candidate(judgement, repository, settings)
    return report_judgement(judgement, recorded, repository, settings, again=True)[0]


def _override(judgement: Judgement) -> Override | None:
    entry = judgement.override
    if entry is None or entry.until is None:
        return None
    return Override(
        who=entry.who,
        when=entry.when,
        why=entry.why,
        until=entry.until,
        sequence=entry.sequence,
        is_over=entry.is_over(today()),
    )


def _is_current(folder: Path, decision: Path, override: Override | None) -> bool:
    """Say whether a whole page of this very decision, and of this override, is there."""
    try:
        manifest = verify_directory(folder, schema=REPORT_SCHEMA)
    except IntegrityError:
        return False
    made_from = manifest.provenance
    same = made_from.get("override") == (None if override is None else asdict(override))
    return same and bool(made_from.get("hashes", {}).get("decision") == hash_file(decision))
