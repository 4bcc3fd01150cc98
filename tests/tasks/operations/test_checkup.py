from pathlib import Path

import pytest

from tasks.operations import checkup

ROOT = Path(__file__).resolve().parents[3]


def test_one_broken_thing_does_not_hide_the_others(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (project.root / "requirements.lock").write_text("torch==0.0.1 \\\n    --hash=sha256:0\n")
    found = {item.name: item for item in checkup.check_up(project.root)}
    assert set(found) == {"python", "lock", "torchvision", "git", "disk", "dataset", "ledger", "tracking"}
    assert {name for name, item in found.items() if not item.ok} == {"lock", "tracking"}
    assert "torch is" in found["lock"].detail
    assert "locked 0.0.1" in found["lock"].detail
    assert found["lock"].hint == "Run `make setup`."
    assert "127.0.0.1:9" in found["tracking"].detail


def test_this_environment_is_the_locked_one():
    assert "packages as locked" in checkup._lock(ROOT)


def test_configuration_names_its_origin(project, monkeypatch):
    monkeypatch.setenv("GROUNDWORK_REMOTE_URL", "s3://bucket/data")
    rows = {name: (value, origin) for name, value, origin in checkup.configuration(project.root)}
    assert rows["remote_url"] == ("s3://bucket/data", "environment GROUNDWORK_REMOTE_URL")
    assert rows["ledger_url"][1] == "default"
    assert rows["segmenter.steps"] == ("60", "params.yaml")
    assert rows["primary.metric"] == ("box.recall50", "configs/gates/segmenter.yaml")


def test_no_commit_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ValueError, match="no commit"):
        checkup._git(tmp_path)
