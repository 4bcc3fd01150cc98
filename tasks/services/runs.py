"""What MLflow is told about a run: curves while it lasts, everything once it is finished.

MLflow is a view onto files, never a source of truth. Every write is keyed, so that repeating a call after a
kill or an outage adds what is missing and nothing twice.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.errors import IntegrityError
from tasks.services.curves import Point, read_points
from tasks.services.processes import this_process
from tasks.services.tracking import (
    PROCESS,
    RECORDED,
    RUN_KEY,
    Tracker,
    named_errors,
    send_dataset,
    send_model,
    send_params,
    send_points,
)

MODEL_ID = "groundwork.model_id"
"""Tag of a run: the logged model that its files became."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetUse:
    """The dataset that a run used."""

    name: str
    sha256: str
    source: str
    """Where DVC keeps it, e.g. ``data/dataset.dvc``."""
    counts: dict[str, int] = field(default_factory=dict)
    """For the page of the run, e.g. images and regions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """What is known of a run when its files are complete."""

    run_key: str
    """Key of idempotency: equal inputs give an equal key."""
    name: str
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    history: Path | None = None
    """Training curves, ``history.jsonl``."""
    artifacts: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    """Folder in MLflow -> files and directories to copy there."""
    dataset: DatasetUse | None = None
    model: Path | None = None
    """Committed directory of the segmenter."""


def open_run(tracker: Tracker, run_key: str, name: str) -> Any:  # noqa: ANN401 - a run of MLflow
    """Find the run of a key or create it; of two created at once the older one stays."""
    tags = {RUN_KEY: run_key, PROCESS: this_process()}
    runs = _find_runs(tracker, run_key)
    if not runs:
        mine = tracker.client.create_run(tracker.experiment_id, tags=tags, run_name=name)
        runs = _find_runs(tracker, run_key)
        if runs[0].info.run_id != mine.info.run_id:
            tracker.client.delete_run(mine.info.run_id)
    run = runs[0]
    ours = run.info.status == "RUNNING" and run.data.tags.get(PROCESS) == this_process()
    if RECORDED not in run.data.tags and not ours:
        tracker.client.set_tag(run.info.run_id, PROCESS, this_process())
        tracker.client.update_run(run.info.run_id, status="RUNNING", name=name)
    return run


def mirror_history(tracker: Tracker, path: Path, run_key: str, name: str = "training") -> int:
    """Send the points of a history file that MLflow does not have yet.

    Called again and again while training runs, and after an outage: each point arrives once.

    Returns:
        How many points were new.

    Raises:
        UnavailableError: Within seconds if MLflow does not answer. Training need not know.
    """
    with named_errors(tracker.uri):
        run = open_run(tracker, run_key, name)
        return _log_points(tracker, run, path)


def record_run(tracker: Tracker, run: FinishedRun) -> str:
    """Record a finished run: parameters, tags, dataset, curves, metrics, files and model.

    Returns:
        The run's id. A run that is already recorded is left as it is; a half recorded one is completed.

    Raises:
        IntegrityError: If the key was used for a run with other parameters.
        UnavailableError: If MLflow does not answer; calling again completes the record.
    """
    with named_errors(tracker.uri):
        opened = open_run(tracker, run.run_key, run.name)
        run_id: str = opened.info.run_id
        if RECORDED in opened.data.tags:
            _refuse_other_bundle(opened.data.tags, run)
            return run_id
        _refuse_other_params(opened.data.params, run)
        send_params(tracker, run_id, run.params, run.tags)
        send_points(
            tracker,
            opened,
            [Point(name=name, value=v, step=0, seconds=0.0) for name, v in run.metrics.items()],
        )
        if run.history is not None:
            _log_points(tracker, opened, run.history)
        if run.dataset is not None:
            _link_dataset(tracker, run_id, run.dataset)
        for folder, paths in run.artifacts.items():
            for path in paths:
                _send_files(tracker, run_id, path, folder)
        if run.model is not None:
            tracker.client.set_tag(run_id, MODEL_ID, send_model(tracker, run_id, run.model))
        tracker.client.set_terminated(run_id, "FINISHED")
        tracker.client.set_tag(run_id, RECORDED, "true")
        return run_id


def tag_run(tracker: Tracker, run_id: str, tags: dict[str, str]) -> None:
    """Add what was learned of a run later, such as the decision about it."""
    with named_errors(tracker.uri):
        send_params(tracker, run_id, {}, tags)


def attach_report(tracker: Tracker, run_id: str, report: Path) -> None:
    """Put a report beside a run, under ``report/``; one of the same name is replaced."""
    with named_errors(tracker.uri):
        tracker.client.log_artifact(run_id, str(report), "report")
        tracker.client.set_tag(run_id, "groundwork.report", f"report/{report.name}")


def _find_runs(tracker: Tracker, run_key: str) -> list[Any]:
    if "'" in run_key or "`" in run_key:
        raise ValueError(f"run_key must not contain quotes, got {run_key!r}.")
    runs = tracker.client.search_runs([tracker.experiment_id], f"tags.`{RUN_KEY}` = '{run_key}'")
    return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))


def _log_points(tracker: Tracker, run: Any, path: Path) -> int:  # noqa: ANN401 - a run of MLflow
    points = list(read_points(path))
    run_id = run.info.run_id
    seen = {
        (name, metric.step)
        for name in {point.name for point in points}
        for metric in tracker.client.get_metric_history(run_id, name)
    }
    fresh: dict[tuple[str, int], Point] = {}
    for point in points:
        if (point.name, point.step) not in seen:
            fresh[point.name, point.step] = point
    send_points(tracker, run, list(fresh.values()))
    return len(fresh)


def _refuse_other_params(recorded: dict[str, str], run: FinishedRun) -> None:
    for name in recorded.keys() & run.params.keys():
        if recorded[name] != run.params[name]:
            raise IntegrityError(
                f"was recorded with {name}={recorded[name]}, now it is {run.params[name]}.",
                obj=f"run {run.run_key}",
                hint="Make the key from everything that decides the run.",
            )


def _refuse_other_bundle(recorded: dict[str, str], run: FinishedRun) -> None:
    """A key that was used for another model must never lend it its version."""
    name = "groundwork.bundle_id"
    if recorded.get(name) != run.tags.get(name):
        raise IntegrityError(
            f"was recorded for bundle {recorded.get(name)}, now it is {run.tags.get(name)}.",
            obj=f"run {run.run_key}",
            hint="Remove .groundwork/attempts and .groundwork/records of this bundle, then run again.",
        )


def _link_dataset(tracker: Tracker, run_id: str, dataset: DatasetUse) -> None:
    source = json.dumps({"uri": dataset.source, "sha256": dataset.sha256})
    profile = json.dumps(dataset.counts)
    send_dataset(
        tracker, run_id, name=dataset.name, digest=dataset.sha256[:32], source=source, profile=profile
    )


def _send_files(tracker: Tracker, run_id: str, path: Path, folder: str) -> None:
    if path.is_dir():
        tracker.client.log_artifacts(run_id, str(path), f"{folder}/{path.name}")
    else:
        tracker.client.log_artifact(run_id, str(path), folder)
