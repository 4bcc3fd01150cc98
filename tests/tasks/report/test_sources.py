import dataclasses
import json
import shutil

import pytest

from tasks.errors import DataError, IntegrityError, UnavailableError
from tasks.report.sources import ReportInputs, read_sources


def test_scores_agree_with_the_metrics(challenger: ReportInputs) -> None:
    sources = read_sources(challenger)
    value = {entry["name"]: entry["value"] for entry in sources.metrics["metrics"]}
    hits = sum(score.hits for score in sources.scores.values())
    assert hits / sum(score.detections for score in sources.scores.values()) == pytest.approx(
        value["mask.precision50"]
    )
    ious = [pair.iou for score in sources.scores.values() for pair in score.pairings]
    assert sum(ious) / hits == pytest.approx(value["mask.matched_iou"])
    assert sources.records.keys() == sources.predictions.keys() == sources.scores.keys()
    assert len(sources.history) == 600


def test_a_damaged_evaluation_is_refused(tmp_path, challenger: ReportInputs) -> None:
    copy = tmp_path / "evaluation"
    shutil.copytree(challenger.evaluation, copy)
    document = json.loads((copy / "metrics.json").read_text())
    document["metrics"][0]["value"] = 1.0
    (copy / "metrics.json").write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match=r"changed metrics\.json"):
        read_sources(dataclasses.replace(challenger, evaluation=copy))


def test_changed_predictions_are_refused(tmp_path, challenger: ReportInputs) -> None:
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(challenger.predictions.read_bytes().replace(b'"score":0.9', b'"score":0.8'))
    with pytest.raises(IntegrityError, match=r"is about predictions [0-9a-f]{12}, the evaluation about"):
        read_sources(dataclasses.replace(challenger, predictions=path))


def test_a_history_that_is_absent_or_broken_is_named(tmp_path, challenger: ReportInputs) -> None:
    path = tmp_path / "history.jsonl"
    with pytest.raises(UnavailableError, match=r"cannot be read: .* Run `groundwork train`\."):
        read_sources(dataclasses.replace(challenger, history=path))
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": NaN}\n')
    with pytest.raises(DataError, match="line 2"):
        read_sources(dataclasses.replace(challenger, history=path))


def test_a_page_without_a_picture_is_refused(challenger: ReportInputs) -> None:
    with pytest.raises(ValueError, match="images must be at least 1, got 0"):
        dataclasses.replace(challenger, images=0)
