"""Reproduce the metrics, judge them, promote or explain why not, and show it on one page."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow

from tasks.operations.judging import dataset_name
from tasks.operations.layout import LAST_STAGE
from tasks.operations.versioning import default_source
from tasks.operations.workspace import exclusive
from tasks.services import dvc
from tasks.services.settings import Settings
from tasks.steps.narration import say
from tasks.steps.pipeline import task_for, version_data
from tasks.steps.promotion import judge, promote, record, report

_WORDS = {"reused": "reused, nothing changed", "restored": "restored from an earlier run with these inputs"}


@flow(name="release segmenter", persist_result=True, result_serializer="json", validate_parameters=False)
def release_segmenter(
    repository: Path, source: Path | None = None, *, first: bool = False, force: bool = False
) -> dict[str, Any]:
    """Bring data, model and metrics up to date, then decide. One run at a time in a workspace.

    Args:
        repository: Root of the project.
        source: Dataset to import; None: the one that params.yaml names.
        first: Allow a first champion where there never was one.
        force: Run every stage although nothing changed.

    Returns:
        The decision, the metrics, the champion, and where the report lies. ``verdict`` is ``override`` while
        the candidate is champion by an override that holds, else that of the gate.
    """
    repository = Path(repository)  # a deployment's parameters arrive as text
    with exclusive(Settings.load(repository)):
        return _release(repository, Path(source or default_source(repository)), first=first, force=force)


def _release(repository: Path, source: Path, *, first: bool, force: bool) -> dict[str, Any]:
    steps: list[dict[str, str]] = []

    def note(name: str, outcome: str, detail: str) -> None:
        steps.append({"step": name, "outcome": outcome, "detail": detail})
        say(f"{name}: {_WORDS.get(outcome, outcome)} | {detail}")

    data = version_data(source, repository)
    note("version_data", data["outcome"], data["label"])
    changed, upstream_ran = dvc.changed_stages(repository), False
    for stage in dvc.stages(repository, LAST_STAGE):
        unchanged = stage.name not in changed and not upstream_ran
        done = task_for(stage)(stage.name, asdict(stage), repository, unchanged=unchanged, force=force)
        upstream_ran = upstream_ran or done["outcome"] != "reused"
        note(stage.name, done["outcome"], stage.description)
    judgement = judge(repository, first=first)
    note("judge", judgement.outcome, judgement.verdict)
    recorded = record(repository, judgement)
    note("record", recorded.outcome, f"MLflow version {recorded.version}")
    champion = promote(repository, judgement, recorded)
    note("promote", champion["outcome"], champion["summary"])
    page = report(repository, judgement, recorded)
    note("report", page["outcome"], page["path"])
    return {
        "verdict": judgement.standing,
        "reasons": judgement.reasons,
        "remarks": judgement.remarks,
        "decision_id": judgement.decision["decision_id"],
        "data": f"{dataset_name(repository)}@{judgement.candidate.dataset_sha256[:12]}",
        "bundle_id": judgement.candidate.bundle_id,
        "metrics": judgement.candidate.metrics["metrics"],
        "run": asdict(recorded),
        "champion": champion,
        "report": page["path"],
        "steps": steps,
    }
