import json
from pathlib import Path

import pytest

from tasks.report.comparison_numbers import COMPARISON_SCHEMA, compute, to_json
from tasks.report.comparison_sources import read_comparison
from tasks.report.sources import ReportInputs
from tests.tasks.report.candidate import make_candidate
from tests.tasks.report.comparison_case import compared


def test_the_document_agrees_with_the_evaluations(challenger: ReportInputs, champion: ReportInputs) -> None:
    sources = read_comparison(compared(challenger, champion))
    document = json.loads(json.dumps(to_json(compute(sources), sources), allow_nan=False))
    assert document["schema"] == COMPARISON_SCHEMA
    stated = {
        side: {item["name"]: item["value"] for item in json.loads(path.read_text())["metrics"]}
        for side, path in (
            ("candidate", challenger.evaluation / "metrics.json"),
            ("champion", champion.evaluation / "metrics.json"),
        )
    }
    for line in document["metrics"]:
        assert line["candidate"] == stated["candidate"][line["name"]]
        assert line["champion"] == stated["champion"][line["name"]]
        assert line["difference"] == pytest.approx(line["candidate"] - line["champion"])
    assert {line["name"] for line in document["metrics"]} == set(stated["candidate"])


def test_a_cut_and_its_confusion_belong_together(challenger: ReportInputs, champion: ReportInputs) -> None:
    numbers = compute(read_comparison(compared(challenger, champion)))
    for side in numbers.sides:
        assert side.best is not None
        assert side.confusion.at_least == side.best.score
        kept = side.confusion.hits + side.confusion.confused + side.confusion.false_alarms
        assert kept == side.best.detections


def test_a_blind_model_has_neither_cut_nor_calibration(
    tmp_path: Path, world: Path, champion: ReportInputs
) -> None:
    blind = make_candidate(tmp_path, world, is_blind=True)
    numbers = compute(read_comparison(compared(blind, champion)))
    assert numbers.candidate.best is None
    assert numbers.candidate.calibration is None
    assert numbers.candidate.confusion.misses == sum(line.regions for line in numbers.classes)
    assert numbers.agreement.both == 0
