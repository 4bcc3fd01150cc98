import subprocess

import pytest

from evaluation.gate import Policy
from tasks.config import load_file
from tasks.errors import UsageError
from tasks.operations.rule_changes import compare_rules
from tests.conftest import GATE


@pytest.fixture
def project(tmp_path):
    rules = tmp_path / "configs" / "gates"
    rules.mkdir(parents=True)
    (rules / "segmenter.yaml").write_text(GATE)
    (rules / "old.yaml").write_text("of: another time\n")
    (rules / "notes.txt").write_text("1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "Base")
    return tmp_path


def git(folder, *arguments):
    who = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def decision(project):
    return {"policy_sha256": load_file(project / "configs" / "gates" / "segmenter.yaml", Policy).sha256}


def test_untouched_rules(project):
    (project / "configs" / "gates" / "notes.txt").write_text("2")
    changes = compare_rules(project, "HEAD", decision(project))
    assert (changes.base, changes.files, changes.judged_by_base) == ("HEAD", (), True)


def test_a_threshold_edited_with_the_model_is_seen(project):
    rules = project / "configs" / "gates"
    (rules / "segmenter.yaml").write_text(GATE.replace("at_least: 0.0", "at_least: 0.1"))
    (rules / "lenient.yaml").write_text(GATE)
    (rules / "old.yaml").unlink()
    changes = compare_rules(project, "HEAD", decision(project))
    assert changes.files == (
        ("configs/gates/lenient.yaml", "added"),
        ("configs/gates/old.yaml", "removed"),
        ("configs/gates/segmenter.yaml", "changed"),
    )
    assert not changes.judged_by_base


def test_a_comment_in_the_rules_is_a_change_that_judges_nothing(project):
    path = project / "configs" / "gates" / "segmenter.yaml"
    path.write_text(f"# why\n{GATE}")
    changes = compare_rules(project, "HEAD", decision(project))
    assert changes.files == (("configs/gates/segmenter.yaml", "changed"),)
    assert changes.judged_by_base


def test_no_such_revision(project):
    with pytest.raises(UsageError) as caught:
        compare_rules(project, "origin/main", decision(project))
    assert str(caught.value) == (
        "--base: there is no revision 'origin/main' here. "
        "Fetch it: `git fetch origin` with enough depth, or name another one."
    )
