import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tasks.data.commit import hash_file
from tasks.errors import DataError, IntegrityError
from tasks.report.comparison_sources import IntervalRule, detections_of, read_comparison, truths_of
from tasks.report.sources import ReportInputs
from tests.tasks.report.candidate import make_candidate
from tests.tasks.report.comparison_case import compared, copy_of, side_of


def test_both_sides_are_read(challenger: ReportInputs, champion: ReportInputs) -> None:
    sources = read_comparison(compared(challenger, champion))
    assert [model.name for model in sources.sides] == ["new model", "old model"]
    assert sources.split == "val"
    assert list(sources.records) == sorted(sources.records)
    assert sources.hashes["A predictions"] == hash_file(challenger.predictions)
    assert sources.hashes["B predictions"] == hash_file(champion.predictions)
    assert sources.rule == IntervalRule(resamples=200)
    assert sources.candidate.values["mask.ap50"] > 0.0


def test_instances_are_those_of_the_records(challenger: ReportInputs, champion: ReportInputs) -> None:
    sources = read_comparison(compared(challenger, champion))
    truths, found = truths_of(sources), detections_of(sources.candidate, sources)
    assert [item.image_id for item in truths] == [item.image_id for item in found] == list(sources.records)
    tables = sources.candidate.tables
    assert [len(item.masks) for item in truths] == tables.per_image["num_regions"].tolist()
    np.testing.assert_array_equal(np.concatenate([item.scores for item in found]), tables.matches["score"])


def test_the_gate_s_own_rule_is_used(
    challenger: ReportInputs, champion: ReportInputs, tmp_path: Path
) -> None:
    sources = read_comparison(compared(challenger, champion, decision=challenger.decision))
    assert sources.rule == IntervalRule(method="percentile", alpha=0.05, resamples=200, seed=0)
    assert sources.hashes["decision"] == hash_file(challenger.decision)
    document = json.loads(challenger.decision.read_text())
    del document["interval"]  # as decisions were before there was a choice
    older = tmp_path / "decision.json"
    older.write_text(json.dumps(document))
    assert read_comparison(compared(challenger, champion, decision=older)).rule.method == "percentile"


def test_a_decision_about_others_is_refused(challenger: ReportInputs, champion: ReportInputs) -> None:
    with pytest.raises(IntegrityError, match=r"is about candidate [0-9a-f]{12}, the evaluation of new model"):
        read_comparison(compared(champion, challenger, decision=challenger.decision))
    with pytest.raises(IntegrityError, match=r"is about champion None, .* about these two models, or none"):
        read_comparison(compared(champion, champion, decision=champion.decision))


def test_other_predictions_are_refused(challenger: ReportInputs, champion: ReportInputs) -> None:
    mixed = dataclasses.replace(side_of("old", champion), predictions=challenger.predictions)
    with pytest.raises(
        IntegrityError,
        match=r"is [0-9a-f]{12}, the evaluation is about predictions [0-9a-f]{12}\. Measure both",
    ):
        read_comparison(compared(challenger, champion, champion=mixed))


def test_other_data_is_refused(
    tmp_path: Path,
    world: Path,
    challenger: ReportInputs,
    champion: ReportInputs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tests.tasks.report.candidate.DATASET_SHA", "ab" * 32)
    other = make_candidate(tmp_path, world)
    about = copy_of(challenger.about, tmp_path)
    with pytest.raises(IntegrityError, match=r"dataset_sha256 is 'abab.*', expected 'dada"):
        read_comparison(compared(other, champion, about=about))


def test_another_definition_is_refused(
    tmp_path: Path, challenger: ReportInputs, champion: ReportInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both evaluations are whole, but the numbers of one mean something else."""
    from tasks.report import comparison_sources

    monkeypatch.setattr(comparison_sources, "verify_directory", lambda *_, **__: None)
    folder = tmp_path / "evaluation"
    shutil.copytree(champion.evaluation, folder)
    document = json.loads((folder / "metrics.json").read_text()) | {"definition_sha256": "f" * 64}
    (folder / "metrics.json").write_text(json.dumps(document))
    side = dataclasses.replace(side_of("old", champion), evaluation=folder)
    with pytest.raises(
        IntegrityError, match=r"definition_sha256 is 'ffffffffffff', of new model it is '[0-9a-f]{12}'"
    ):
        read_comparison(compared(challenger, champion, champion=side))


def test_a_damaged_evaluation_is_refused(
    tmp_path: Path, challenger: ReportInputs, champion: ReportInputs
) -> None:
    folder = tmp_path / "evaluation"
    shutil.copytree(champion.evaluation, folder)
    (folder / "curves.json").write_text("{}")
    side = dataclasses.replace(side_of("old", champion), evaluation=folder)
    with pytest.raises(IntegrityError, match=r"changed curves\.json"):
        read_comparison(compared(challenger, champion, champion=side))


def test_fewer_records_than_were_evaluated_are_refused(
    tmp_path: Path, challenger: ReportInputs, champion: ReportInputs
) -> None:
    shorter = tmp_path / "val.jsonl"
    shorter.write_text("".join(challenger.records.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(DataError, match="is not in the split"):
        read_comparison(compared(challenger, champion, records=shorter))


def test_a_page_without_a_picture_is_refused(challenger: ReportInputs, champion: ReportInputs) -> None:
    with pytest.raises(ValueError, match="images must be at least 1, got 0"):
        compared(challenger, champion, images=0)
