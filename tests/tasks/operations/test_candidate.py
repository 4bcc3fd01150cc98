import shutil

import pytest

from tasks.errors import UnavailableError
from tasks.operations.candidate import assemble_candidate, read_candidate

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def test_unchanged_parts_give_the_bundle_of_before(copied):
    root, settings, result = copied
    (root / "note.txt").write_text("an unrelated change of the tree")
    candidate = assemble_candidate(root, settings)
    assert candidate.bundle_id == result["bundle_id"]
    assert candidate.lineage["code"]["commit"] != "none"
    assert not candidate.lineage["code"]["uncommitted_changes"]
    assert candidate.lineage["training"]["seed"] == 0
    assert candidate.lineage["config"]["segmenter"]["steps"] == 60
    assert len(candidate.lineage["lock"]["sha256"]) == 64
    assert candidate.values["box.recall50"] == pytest.approx(
        next(item["value"] for item in result["metrics"] if item["name"] == "box.recall50")
    )


def test_a_lost_bundle_of_the_parts_at_hand_is_made_again(copied):
    root, settings, result = copied
    shutil.rmtree(root / ".groundwork" / "bundles" / result["bundle_id"])
    with pytest.raises(UnavailableError):
        read_candidate(result["bundle_id"], settings)
    assert assemble_candidate(root, settings).folder.is_dir()


def test_a_stage_that_has_not_run_is_named(copied):
    root, settings, _ = copied
    shutil.rmtree(root / "artifacts" / "evaluation")
    with pytest.raises(UnavailableError, match="has not been made"):
        assemble_candidate(root, settings)
