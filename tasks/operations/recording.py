"""Record a judged candidate in MLflow: the run, its curves, its dataset, its model and a version."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.commit import commit_file
from tasks.operations import layout
from tasks.operations.judging import Judgement, dataset_name
from tasks.operations.training import close_attempt, current_attempt
from tasks.services import registry, runs, tracking
from tasks.services.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Where a candidate is found in MLflow."""

    run_id: str
    version: str
    """Version in the registry, proved readable."""
    url: str
    outcome: str
    """``recorded``, or ``reused`` where the run was recorded before."""


def record_candidate(judgement: Judgement, repository: Path, settings: Settings) -> Recorded:
    """Record the run once, register its model once; a half recorded one is completed.

    Raises:
        UnavailableError: If MLflow does not answer; the same command completes the record later.
    """
    tracker = tracking.connect(settings)
    candidate = judgement.candidate
    outcome = "reused" if _key_file(candidate.bundle_id, settings).exists() else "recorded"
    run_key = _run_key(candidate.bundle_id, settings)
    run_id = runs.record_run(tracker, _finished(run_key, judgement, repository))
    runs.tag_run(tracker, run_id, _judged(judgement))  # a recorded run may be judged again, by another rule
    close_attempt(layout.TRAINING_STAGE, settings)
    version = registry.register(tracker, run_id, layout.MODEL_NAME, candidate.bundle_id)
    return Recorded(run_id=run_id, version=version, url=tracking.run_url(tracker, run_id), outcome=outcome)


def _run_key(bundle_id: str, settings: Settings) -> str:
    """Return the key of the run that a bundle has, or gets: that of the training which is still open."""
    index = _key_file(bundle_id, settings)
    if not index.exists():
        key = current_attempt(layout.TRAINING_STAGE, settings) or bundle_id
        commit_file(index, json.dumps({"run_key": key}).encode())
    return str(json.loads(index.read_bytes())["run_key"])


def _key_file(bundle_id: str, settings: Settings) -> Path:
    return settings.home / "records" / f"{bundle_id}.json"


def _finished(run_key: str, judgement: Judgement, repository: Path) -> runs.FinishedRun:
    candidate = judgement.candidate
    lineage = candidate.lineage
    splits: dict[str, Any] = candidate.metrics["coverage"]
    return runs.FinishedRun(
        run_key=run_key,
        name=f"segmenter {candidate.bundle_id}",
        params=flatten(lineage["config"]),
        tags={
            "groundwork.bundle_id": candidate.bundle_id,
            "groundwork.dataset_sha256": candidate.dataset_sha256,
            "groundwork.code_commit": str(lineage["code"]["commit"]),
            "groundwork.code_uncommitted": str(lineage["code"]["uncommitted_changes"]).lower(),
            "groundwork.lock_sha256": lineage["lock"]["sha256"],
            "groundwork.seed": str(lineage["training"].get("seed")),
            **_judged(judgement),
        },
        metrics=candidate.values,
        history=candidate.folder / "model" / "history.jsonl",
        artifacts={
            "judged": (candidate.folder / "evaluation", candidate.folder / "provenance.json", judgement.path)
        },
        dataset=runs.DatasetUse(
            name=dataset_name(repository),
            sha256=candidate.dataset_sha256,
            source=f"{layout.DATASET.as_posix()}.dvc",
            counts={name: int(value) for name, value in splits.items()},
        ),
        model=candidate.folder / "model",
    )


def _judged(judgement: Judgement) -> dict[str, str]:
    return {
        "groundwork.decision_id": str(judgement.decision["decision_id"]),
        "groundwork.verdict": judgement.verdict,
    }


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Turn nested values into dotted names and texts, as MLflow keeps parameters."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat
