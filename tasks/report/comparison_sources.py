"""Everything a comparison of two models may speak of, read from files and checked to be of the same data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evaluation.instances import ImageDetections, ImageTruth
from evaluation.intervals import Method
from evaluation.tables import Tables
from tasks.data.commit import hash_file, verify_directory
from tasks.data.predictions import read_predictions
from tasks.data.prepared import AboutDataset, read_about, read_records
from tasks.data.records import ImagePrediction, ImageRecord
from tasks.data.strict_json import read_json
from tasks.errors import DataError, IntegrityError
from tasks.report.gallery import ImageScore
from tasks.report.sources import EVALUATION_SCHEMA, read_scores

_AGAIN = "Measure both models on the same data again with `groundwork compare`."


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSide:
    """The files of one of the two models."""

    name: str
    """As a reader knows it."""
    evaluation: Path
    """Committed evaluation directory."""
    predictions: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalRule:
    """How intervals of differences are read off; where a gate decided, its own rule is used instead."""

    method: Method = "percentile"
    alpha: float = 0.05
    """Share of the resamples outside an interval, half on each side."""
    resamples: int = 2000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonInputs:
    """The files of two models that were evaluated on the same images, and what only the caller knows."""

    candidate: ModelSide
    """Model A: every difference is A minus B."""
    champion: ModelSide
    """Model B."""
    records: Path
    """Prepared records of the evaluated split, with masks."""
    about: Path
    """``dataset.json`` beside the records."""
    dataset: Path
    """Directory that the records' files are relative to."""
    decision: Path | None
    """``decision.json`` of the gate about these two; None: nobody decided."""
    made_at: str | None
    """A date in words for the head of the page; None leaves the page without a clock."""
    seed: int = 0
    """Decides which of the regions found by a model are shown."""
    images: int = 12
    """How many images, and of each kind how many regions, are shown at most; at least 1."""
    intervals: IntervalRule = field(default_factory=IntervalRule)

    def __post_init__(self) -> None:
        """Refuse a page without a picture."""
        if self.images < 1:
            raise ValueError(f"images must be at least 1, got {self.images}.")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ComparedModel:
    """What was read about one of the two."""

    name: str
    metrics: dict[str, Any]
    curves: dict[str, Any]
    tables: Tables
    predictions: dict[int, ImagePrediction]
    scores: dict[int, ImageScore]

    @property
    def values(self) -> dict[str, float]:
        """Metrics that have a value, by name."""
        return {entry["name"]: entry["value"] for entry in self.metrics["metrics"]}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ComparisonSources:
    """What was read."""

    candidate: ComparedModel
    champion: ComparedModel
    about: AboutDataset
    records: dict[int, ImageRecord]
    """By rising image id."""
    decision: dict[str, Any] | None
    rule: IntervalRule
    hashes: dict[str, str]
    """Name of an input -> its sha256."""

    @property
    def sides(self) -> tuple[ComparedModel, ComparedModel]:
        """A and B."""
        return self.candidate, self.champion

    @property
    def split(self) -> str:
        """Name of the split that both were evaluated on."""
        return str(self.candidate.metrics["dataset"]["split"])


def read_comparison(inputs: ComparisonInputs) -> ComparisonSources:
    """Read and verify all inputs.

    Raises:
        IntegrityError: If a directory was damaged, the two were not evaluated on the same images by the same
            definition, or predictions or decision are about other models.
        DataError: If a file is malformed.
        UnavailableError: If a file is absent.
    """
    about = read_about(inputs.about)
    records = sorted(read_records(inputs.records), key=lambda record: record.image_id)
    candidate = _read_side(inputs.candidate, records, about)
    champion = _read_side(inputs.champion, records, about)
    _check_pair(inputs, candidate, champion)
    decision = None if inputs.decision is None else read_json(inputs.decision)
    if inputs.decision is not None:
        _check_decision(inputs.decision, decision, candidate, champion)
    hashes = {"dataset": about.dataset_sha256}
    for letter, side, model in (("A", inputs.candidate, candidate), ("B", inputs.champion, champion)):
        hashes |= {
            f"{letter} model": model.metrics["model_sha256"],
            f"{letter} predictions": model.metrics["predictions_sha256"],
            f"{letter} evaluation": verify_directory(side.evaluation).sha256,
        }
    if inputs.decision is not None:
        hashes["decision"] = hash_file(inputs.decision)
    return ComparisonSources(
        candidate=candidate,
        champion=champion,
        about=about,
        records={record.image_id: record for record in records},
        decision=decision,
        rule=inputs.intervals if decision is None else _rule_of(decision),
        hashes=hashes,
    )


def truths_of(sources: ComparisonSources) -> list[ImageTruth]:
    """Return the regions of every image in the form that evaluation matches."""
    place = {name: number for number, name in enumerate(sources.about.categories)}
    return [
        ImageTruth(
            image_id=record.image_id,
            height=record.height,
            width=record.width,
            region_ids=np.array([region.region_id for region in record.regions], dtype=np.int64),
            categories=np.array([place[region.category] for region in record.regions], dtype=np.int64),
            boxes_xyxy=_boxes([region.box_xyxy for region in record.regions]),
            masks=tuple(region.mask.to_json() for region in record.regions if region.mask is not None),
            is_crowd=np.array([region.is_crowd for region in record.regions], dtype=bool),
        )
        for record in sources.records.values()
    ]


def detections_of(model: ComparedModel, sources: ComparisonSources) -> list[ImageDetections]:
    """Return the detections of every image in the form that evaluation matches."""
    place = {name: number for number, name in enumerate(sources.about.categories)}
    found = [model.predictions[image_id] for image_id in sources.records]
    return [
        ImageDetections(
            image_id=item.image_id,
            height=item.height,
            width=item.width,
            categories=np.array([place[detection.category] for detection in item.detections], dtype=np.int64),
            boxes_xyxy=_boxes([detection.box_xyxy for detection in item.detections]),
            masks=tuple(detection.mask.to_json() for detection in item.detections),
            scores=np.array([detection.score for detection in item.detections], dtype=np.float64),
        )
        for item in found
    ]


def _boxes(boxes_xyxy: list[tuple[float, float, float, float]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array(boxes_xyxy, dtype=np.float64).reshape(-1, 4)


def _read_side(side: ModelSide, records: list[ImageRecord], about: AboutDataset) -> ComparedModel:
    verify_directory(side.evaluation, schema=EVALUATION_SCHEMA)
    metrics = read_json(side.evaluation / "metrics.json")
    if (found := hash_file(side.predictions)) != metrics["predictions_sha256"]:
        raise IntegrityError(
            f"is {found[:12]}, the evaluation is about predictions {metrics['predictions_sha256'][:12]}.",
            obj=str(side.predictions),
            hint=_AGAIN,
        )
    _, predictions = read_predictions(
        side.predictions,
        records,
        dataset_sha256=about.dataset_sha256,
        split=metrics["dataset"]["split"],
        categories=about.categories,
        model_sha256=metrics["model_sha256"],
    )
    tables = Tables(
        per_image=pd.read_parquet(side.evaluation / "per_image.parquet"),
        matches=pd.read_parquet(side.evaluation / "matches.parquet"),
    )
    if problems := tables.problems():
        raise DataError(f"{problems[0]}.", obj=str(side.evaluation), hint=_AGAIN)
    if tables.per_image["image_id"].tolist() != [record.image_id for record in records]:
        raise IntegrityError(
            f"is about {len(tables.per_image)} images, not the {len(records)} of the records.",
            obj=str(side.evaluation),
            hint=_AGAIN,
        )
    return ComparedModel(
        name=side.name,
        metrics=metrics,
        curves=read_json(side.evaluation / "curves.json"),
        tables=tables,
        predictions={prediction.image_id: prediction for prediction in predictions},
        scores=read_scores(side.evaluation),
    )


def _check_pair(inputs: ComparisonInputs, candidate: ComparedModel, champion: ComparedModel) -> None:
    """Refuse to set numbers beside each other that do not mean the same."""
    places = (("dataset", "sha256"), ("dataset", "split"), ("definition_sha256",))
    for place in places:
        mine, theirs = (_at(model.metrics, place) for model in (candidate, champion))
        if mine != theirs:
            raise IntegrityError(
                f"{' '.join(place)} is {theirs[:12]!r}, of {candidate.name} it is {mine[:12]!r}.",
                obj=str(inputs.champion.evaluation),
                hint=_AGAIN,
            )


def _at(document: dict[str, Any], place: tuple[str, ...]) -> str:
    value: Any = document
    for name in place:
        value = value[name]
    return str(value)


def _check_decision(path: Path, decision: Any, *models: ComparedModel) -> None:  # noqa: ANN401
    for who, model in zip(("candidate", "champion"), models, strict=True):
        found = (decision[who] or {}).get("model_sha256")
        if found != model.metrics["model_sha256"]:
            raise IntegrityError(
                f"is about {who} {str(found)[:12]}, the evaluation of {model.name} about "
                f"{model.metrics['model_sha256'][:12]}.",
                obj=str(path),
                hint="Give the decision about these two models, or none.",
            )


def _rule_of(decision: dict[str, Any]) -> IntervalRule:
    return IntervalRule(
        method=decision.get("interval", "percentile"),  # the only one before there was a choice
        alpha=decision["alpha"],
        resamples=decision["resamples"],
        seed=decision["seed"],
    )
