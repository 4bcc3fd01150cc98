"""Prefect tasks that judge, record, promote and report. Each can be repeated: every effect has a key."""

from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from tasks.operations import watching
from tasks.operations.judging import Judgement, judge_candidate
from tasks.operations.promotion import apply_decision
from tasks.operations.recording import Recorded, record_candidate
from tasks.operations.reporting import report_judgement
from tasks.services.settings import Settings
from tasks.steps.narration import say
from tasks.steps.pipeline import passing

_WORLD: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": [5, 30],
    "retry_condition_fn": passing,
    "timeout_seconds": 1800,
    "cache_policy": NO_CACHE,
}
"""What touches the outside world: tried again when it was not reachable, never cached."""


@task(name="judge", **{**_WORLD, "timeout_seconds": 4 * 3600})
def judge(repository: Path, *, first: bool) -> Judgement:
    """Bring the candidate before the gate."""
    settings = Settings.load(repository)
    return judge_candidate(repository, settings, first=first, promoting=True, say=say)


@task(name="record", **_WORLD)
def record(repository: Path, judgement: Judgement) -> Recorded:
    """Record run, model and version in MLflow."""
    return record_candidate(judgement, repository, Settings.load(repository))


@task(name="promote", **_WORLD)
def promote(repository: Path, judgement: Judgement, recorded: Recorded) -> dict[str, Any]:
    """Apply the decision to the ledger; the alias follows."""
    return apply_decision(judgement, recorded, repository, Settings.load(repository))


@task(name="report", **_WORLD)
def report(repository: Path, judgement: Judgement, recorded: Recorded) -> dict[str, str]:
    """Render the page, attach it to the run, and show it in Prefect."""
    page, outcome = report_judgement(judgement, recorded, repository, Settings.load(repository))
    rows = "\n".join(f"| {name} | {value:.4f} |" for name, value in judgement.candidate.values.items())
    reasons = "\n".join(f"- {reason}" for reason in judgement.reasons)
    create_markdown_artifact(
        key="release-segmenter",
        description=f"Decision {judgement.decision['decision_id']}",
        markdown=f"# {judgement.verdict}\n\n{reasons}\n\n[Report]({page.as_uri()})\n\n"
        f"MLflow {recorded.url}\n\n| metric | value |\n|---|---|\n{rows}\n",
    )
    return {"path": str(page), "outcome": outcome}


@task(name="watch champion", **_WORLD)
def watch_champion(repository: Path) -> dict[str, Any]:
    """Measure the champion again on the frozen data."""
    return watching.watch_champion(repository, Settings.load(repository), say=say)
