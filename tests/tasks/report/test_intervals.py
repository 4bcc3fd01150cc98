import json

import numpy as np
import pytest

from evaluation.bootstrap import difference, draw_weights, interval
from evaluation.tables import Tables
from tasks.report.intervals import _read, resample
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


def test_intervals_are_read_as_the_policy_says(challenger: ReportInputs) -> None:
    """As the gate does; with five images some resamples may all lie on one side, and then there is none."""
    decision = json.loads(challenger.decision.read_text())
    champion = challenger.champion_evaluation
    assert champion is not None
    tables, before = read_tables(challenger.evaluation), read_tables(champion)
    weights = draw_weights(len(tables.per_image), resamples=decision["resamples"], seed=decision["seed"])
    names = ["mask.matched_iou", "mask.ap50", "detections_per_image"]
    found = {}
    for method in ("percentile", "bca"):
        values, differences = resample(
            challenger.evaluation, champion, decision | {"interval": method}, names
        )
        for name in names:
            limits = {"alpha": decision["alpha"], "method": method}
            assert values[name] == interval(tables, name, weights, **limits)
            assert differences[name] == difference(tables, before, name, weights, **limits)
        found[method] = values
    assert found["bca"] != found["percentile"]
    old = {key: value for key, value in decision.items() if key != "interval"}
    assert resample(challenger.evaluation, champion, old, names)[0] == found["percentile"]


def test_where_bca_has_no_answer_there_is_no_interval() -> None:
    values = np.array([0.5, *[0.4] * 10, *[0.5] * 5])
    assert _read(values, num=10, alpha=0.05, method="bca") is None
    assert _read(values, num=10, alpha=0.05, method="percentile") is not None


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
