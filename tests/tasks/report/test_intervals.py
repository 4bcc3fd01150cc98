import json

import pytest

from evaluation.bootstrap import difference, draw_weights
from evaluation.tables import Tables
from tasks.report.intervals import resample
from tasks.report.sources import ReportInputs
from tests.tasks.report.candidate import read_tables


def test_intervals_are_those_of_the_gate(challenger: ReportInputs) -> None:
    decision = json.loads(challenger.decision.read_text())
    names = ["mask.matched_iou", "mask.ap50", "mask.ap_small"]
    values, differences = resample(challenger.evaluation, challenger.champion_evaluation, decision, names)
    assert values.keys() == differences.keys() == {"mask.matched_iou", "mask.ap50"}
    for entry in decision["comparisons"]:
        found = differences[entry["metric"]]
        assert (found.low, found.high) == pytest.approx(tuple(entry["interval"]), abs=1e-12)
        assert values[entry["metric"]].value == pytest.approx(entry["candidate"])


def test_differences_are_paired(challenger: ReportInputs) -> None:
    decision = json.loads(challenger.decision.read_text()) | {"resamples": 100, "seed": 5}
    tables: Tables = read_tables(challenger.evaluation)
    weights = draw_weights(len(tables.per_image), resamples=100, seed=5)
    champion = challenger.champion_evaluation
    assert champion is not None
    expected = difference(tables, read_tables(champion), "mask.recall50", weights, alpha=decision["alpha"])
    _, differences = resample(challenger.evaluation, champion, decision, ["mask.recall50"])
    assert differences["mask.recall50"] == expected


def test_without_champion_there_is_no_difference(champion: ReportInputs) -> None:
    decision = json.loads(champion.decision.read_text())
    values, differences = resample(champion.evaluation, None, decision, ["mask.ap50"])
    assert list(values) == ["mask.ap50"]
    assert differences == {}
