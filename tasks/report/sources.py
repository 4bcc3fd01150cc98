"""Everything a report may speak of, read from files and checked to speak of the same model.

Nothing is asked of a service: a page that can be made again from files alone cannot disagree with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from evaluation.bootstrap import Interval
from tasks.data.commit import hash_file, verify_directory
from tasks.data.predictions import read_predictions
from tasks.data.prepared import read_about, read_records
from tasks.data.records import ImagePrediction, ImageRecord
from tasks.data.strict_json import parse_json, read_json
from tasks.errors import IntegrityError, UnavailableError
from tasks.report.gallery import ImageScore, Pairing
from tasks.report.intervals import resample

EVALUATION_SCHEMA = "groundwork.evaluation/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What the ledger says of a champion that the gate did not promote."""

    who: str
    when: str
    """UTC in ISO 8601."""
    why: str
    until: str
    """Last day on which it holds, as ``2026-12-31``."""
    sequence: int
    """Entry of the ledger."""
    is_over: bool
    """Whether that day had passed when the page was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInputs:
    """The files of one candidate, and what only the caller knows."""

    model: str
    """Name of the model, as it is registered."""
    version: str | None
    """Version in words, e.g. ``version 3``; None before it is registered."""
    decision: Path
    """``decision.json`` of the gate."""
    evaluation: Path
    """Committed evaluation directory of the candidate."""
    champion_evaluation: Path | None
    """The same of the champion it was compared with; None if there was none."""
    predictions: Path
    records: Path
    """Prepared records of the evaluated split, with masks."""
    about: Path
    """``dataset.json`` beside the records."""
    dataset: Path
    """Directory that the records' files are relative to."""
    history: Path | None
    """``history.jsonl`` of the training; None where there is none."""
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """What ``lineage_rows`` lays out, in the order of the table."""
    made_at: str | None = None
    """A date in words for the head of the page; None leaves the page without a clock."""
    in_force: bool = False
    """Whether the model is the champion already; the decision is then the one that made it champion."""
    override: Override | None = None
    """By which the model is champion although the gate did not promote it."""
    seed: int = 0
    """Decides which images are the random ones."""
    images: int = 24
    """How many worst and how many random images are shown, at most; at least 1."""

    def __post_init__(self) -> None:
        """Refuse a page without a picture."""
        if self.images < 1:
            raise ValueError(f"images must be at least 1, got {self.images}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What was read."""

    decision: dict[str, Any]
    metrics: dict[str, Any]
    champion_metrics: dict[str, Any] | None
    curves: dict[str, Any]
    champion_curves: dict[str, Any] | None
    history: tuple[dict[str, Any], ...]
    records: dict[int, ImageRecord]
    predictions: dict[int, ImagePrediction]
    scores: dict[int, ImageScore]
    intervals: dict[str, Interval]
    """Metric -> its value and where it lies; absent where it cannot be resampled."""
    differences: dict[str, Interval]
    """Metric -> candidate minus champion, on the same resamples; empty without a champion."""
    hashes: dict[str, str]
    """Name of an input -> its sha256."""


def read_sources(inputs: ReportInputs) -> Sources:
    """Read and verify all inputs.

    Raises:
        IntegrityError: If a directory was damaged, or the files are about different models.
        DataError: If a file is malformed.
        UnavailableError: If a file is absent.
    """
    manifest = verify_directory(inputs.evaluation, schema=EVALUATION_SCHEMA)
    if inputs.champion_evaluation is not None:
        verify_directory(inputs.champion_evaluation, schema=EVALUATION_SCHEMA)
    decision, metrics = read_json(inputs.decision), read_json(inputs.evaluation / "metrics.json")
    _check_agreement(inputs, decision, metrics)
    about, records = read_about(inputs.about), read_records(inputs.records)
    _, predictions = read_predictions(
        inputs.predictions,
        records,
        dataset_sha256=metrics["dataset"]["sha256"],
        split=metrics["dataset"]["split"],
        categories=about.categories,
        model_sha256=metrics["model_sha256"],
    )
    champion = inputs.champion_evaluation
    names = [entry["name"] for entry in metrics["metrics"]]
    intervals, differences = resample(inputs.evaluation, champion, decision, names)
    return Sources(
        decision=decision,
        metrics=metrics,
        champion_metrics=None if champion is None else read_json(champion / "metrics.json"),
        curves=read_json(inputs.evaluation / "curves.json"),
        champion_curves=_optional_json(champion, "curves.json"),
        history=() if inputs.history is None else _read_history(inputs.history),
        records={record.image_id: record for record in records},
        predictions={prediction.image_id: prediction for prediction in predictions},
        scores=read_scores(inputs.evaluation),
        intervals=intervals,
        differences=differences,
        hashes={
            "model": metrics["model_sha256"],
            "predictions": metrics["predictions_sha256"],
            "evaluation": manifest.sha256,
            "policy": decision["policy_sha256"],
            "decision": hash_file(inputs.decision),
        },
    )


def _check_agreement(inputs: ReportInputs, decision: dict[str, Any], metrics: dict[str, Any]) -> None:
    """Refuse to print one model's numbers under another model's verdict."""
    pairs = {
        "model": (decision["candidate"]["model_sha256"], metrics["model_sha256"]),
        "predictions": (hash_file(inputs.predictions), metrics["predictions_sha256"]),
    }
    for name, (found, expected) in pairs.items():
        if found != expected:
            raise IntegrityError(
                f"is about {name} {str(found)[:12]}, the evaluation about {str(expected)[:12]}.",
                obj=str(inputs.decision if name == "model" else inputs.predictions),
                hint="Run `groundwork eval` and `groundwork gate` again, then the report.",
            )


def _optional_json(folder: Path | None, name: str) -> dict[str, Any] | None:
    if folder is None or not (folder / name).is_file():
        return None
    value: dict[str, Any] = read_json(folder / name)
    return value


def _read_history(path: Path) -> tuple[dict[str, Any], ...]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UnavailableError(
            f"cannot be read: {error.strerror}.", obj=str(path), hint="Run `groundwork train`."
        ) from error
    return tuple(
        parse_json(line, source=f"{path} line {number}") for number, line in enumerate(lines, start=1) if line
    )


def read_scores(evaluation: Path) -> dict[int, ImageScore]:
    """Read what was matched at mask IoU 0.5, per image."""
    columns = ["image_id", "detection", "mask_region_id", "mask_iou", "mask_matched_50", "mask_ignored_50"]
    pairings: dict[int, list[Pairing]] = {}
    ignored: dict[int, set[int]] = {}
    for row in pq.read_table(evaluation / "matches.parquet", columns=columns).to_pylist():
        image_id, detection = row["image_id"], row["detection"]
        if row["mask_matched_50"]:
            pairing = Pairing(region_id=row["mask_region_id"], detection=detection, iou=row["mask_iou"])
            pairings.setdefault(image_id, []).append(pairing)
        elif row["mask_ignored_50"]:
            ignored.setdefault(image_id, set()).add(detection)
    columns = ["image_id", "mask_tp50", "mask_fp50", "mask_fn50", "mask_f1_50"]
    return {
        row["image_id"]: ImageScore(
            image_id=row["image_id"],
            hits=row["mask_tp50"],
            misses=row["mask_fn50"],
            false_alarms=row["mask_fp50"],
            f1=row["mask_f1_50"],
            pairings=tuple(pairings.get(row["image_id"], ())),
            ignored=frozenset(ignored.get(row["image_id"], ())),
        )
        for row in pq.read_table(evaluation / "per_image.parquet", columns=columns).to_pylist()
    }
