import json
import shutil

import pytest

from tasks.data.commit import verify_directory
from tasks.errors import IntegrityError, UnavailableError
from tasks.operations.judging import judge_candidate, read_evidence
from tasks.services.bundles import open_bundles

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


def test_an_edited_metrics_file_is_damage(copied):
    root, _, _ = copied
    path = root / "artifacts" / "evaluation" / "metrics.json"
    path.write_text(path.read_text().replace("fraction", "Fraction", 1))
    with pytest.raises(IntegrityError):
        read_evidence(path.parent, "0" * 16, None)


def make_challenger(root):
    """Another model with the same predictions: only its provenance differs."""
    from tasks.data.commit import commit_directory, read_manifest

    model, evaluation = root / "artifacts" / "segmenter", root / "artifacts" / "evaluation"
    manifest = read_manifest(model)
    model.rename(root / "old")
    commit_directory(
        model,
        lambda folder: copy_files(root / "old", folder),
        schema=manifest.schema,
        provenance={**manifest.provenance, "seed": 1},
    )
    sha = verify_directory(model).sha256
    evaluated = read_manifest(evaluation)
    evaluation.rename(root / "judged")

    def write(folder):
        copy_files(root / "judged", folder)
        document = json.loads((folder / "metrics.json").read_text())
        (folder / "metrics.json").write_text(json.dumps({**document, "model_sha256": sha}))

    commit_directory(evaluation, write, schema=evaluated.schema, provenance=evaluated.provenance)


def copy_files(source, target):
    shutil.copytree(source, target, dirs_exist_ok=True)
    (target / "manifest.json").unlink()


def test_the_bundle_store_holds_what_was_judged(copied):
    _, settings, result = copied
    folder = open_bundles(settings).fetch(result["bundle_id"])
    assert {path.name for path in folder.iterdir()} == {
        "model",
        "evaluation",
        "provenance.json",
        "manifest.json",
    }
