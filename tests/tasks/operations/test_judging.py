import shutil

import pytest

from tasks.errors import GateRejected, IntegrityError, UnavailableError
from tasks.operations.judging import judge_candidate, read_evidence
from tasks.services.bundles import open_bundles
from tests.tasks.operations.challenger import make_challenger

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def test_the_champion_itself_keeps_its_decision(copied):
    root, settings, result = copied
    judged = judge_candidate(root, settings)
    assert judged.in_force
    assert (judged.outcome, judged.verdict) == ("reused", "promote")
    assert judged.decision["decision_id"] == result["decision_id"]


def test_a_deleted_champion_is_never_so_anything_wins(copied):
    root, settings, result = copied
    shutil.rmtree(root / ".groundwork" / "bundles" / result["bundle_id"])
    make_challenger(root)
    with pytest.raises(UnavailableError, match=f"bundle {result['bundle_id']} is missing") as caught:
        judge_candidate(root, settings, first=True)
    assert caught.value.exit_code == 6


def test_a_damaged_champion_is_refused(copied):
    root, settings, result = copied
    victim = root / ".groundwork" / "bundles" / result["bundle_id"] / "model" / "model.safetensors"
    victim.write_bytes(victim.read_bytes()[:-1] + b"!")
    make_challenger(root)
    with pytest.raises(IntegrityError):
        judge_candidate(root, settings)


def test_an_equal_challenger_is_judged_and_stays_outside(copied):
    root, settings, result = copied
    make_challenger(root)
    judged = judge_candidate(root, settings, first=True)
    assert not judged.in_force
    assert judged.champion_sequence == 1
    assert judged.decision["champion"]["bundle_id"] == result["bundle_id"]
    assert judged.verdict in {"reject", "inconclusive"}
    assert judged.outcome == "judged"
    assert judge_candidate(root, settings, first=True).outcome == "reused"
    assert (judged.decision["uses"], judged.override, judged.standing) == (2, None, judged.verdict)
    assert judged.remarks == ["This is model 2 that is judged on split 'val' of this dataset."]


def test_only_a_promotion_looks_at_a_sealed_split_first(copied):
    root, settings, _ = copied
    make_challenger(root)
    gate = root / "configs" / "gates" / "segmenter.yaml"
    gate.write_text(f"{gate.read_text()}sealed: true\n")
    with pytest.raises(GateRejected) as caught:
        judge_candidate(root, settings)
    assert str(caught.value).startswith("split 'val' of dataset ")
    assert "is sealed: only a promotion judges a model on it" in str(caught.value)
    judged = judge_candidate(root, settings, promoting=True)
    assert judge_candidate(root, settings).decision == judged.decision
    assert judged.remarks[1].startswith("The rules are not those that judged the champion: policy ")


def test_a_decision_that_was_edited_is_damage_or_made_again(copied):
    root, settings, result = copied
    path = judge_candidate(root, settings).path
    path.write_text(path.read_text().replace('"promote"', '"reject"', 1))
    with pytest.raises(IntegrityError, match=r"changed decision\.json"):
        judge_candidate(root, settings)
    shutil.rmtree(path.parent)
    with pytest.raises(UnavailableError) as caught:
        judge_candidate(root, settings)
    assert caught.value.message == f"decision {result['decision_id']} that made it champion is missing."
    make_challenger(root)
    judged = judge_candidate(root, settings)
    judged.path.write_text(judged.path.read_text().replace(f'"{judged.verdict}"', '"promote"', 1))
    again = judge_candidate(root, settings)
    assert (again.outcome, again.decision) == ("judged", judged.decision)


def test_an_edited_metrics_file_is_damage(copied):
    root, _, _ = copied
    path = root / "artifacts" / "evaluation" / "metrics.json"
    path.write_text(path.read_text().replace("fraction", "Fraction", 1))
    with pytest.raises(IntegrityError):
        read_evidence(path.parent, "0" * 16, None)


def test_the_bundle_store_holds_what_was_judged(copied):
    _, settings, result = copied
    folder = open_bundles(settings).fetch(result["bundle_id"])
    assert {path.name for path in folder.iterdir()} == {
        "model",
        "evaluation",
        "provenance.json",
        "manifest.json",
    }
