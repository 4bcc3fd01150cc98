from pathlib import Path

import pytest

from tasks.operations import checkup

ROOT = Path(__file__).resolve().parents[3]


def test_one_broken_thing_does_not_hide_the_others(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (project.root / "requirements.lock").write_text("torch==0.0.1 \\\n    --hash=sha256:0\n")
    found = {item.name: item for item in checkup.check_up(project.root)}
    backends = {f"affinity {name}" for name in ("reference", "cpu", "torch", "triton")}
    others = {"python", "lock", "torchvision", "git", "disk", "dataset", "ledger", "override", "tracking"}
    assert set(found) == others | backends
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


def details_of_affinity():
    return [checkup._affinity(name, ROOT) for name in ("reference", "cpu", "torch", "triton")]


def test_backends_of_affinity_are_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = dict.fromkeys(("reference", "cpu", "torch")) | {"triton": "PyTorch finds no CUDA device."}
    monkeypatch.setattr("models.affinity.backends.problems", lambda: found)
    assert details_of_affinity() == [
        "usable",
        "usable, the automatic choice for cpu tensors",
        "usable",
        "not usable: PyTorch finds no CUDA device. cpu is used instead",
    ]


def test_a_missing_backend_says_what_is_used_instead(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("models.affinity.backends._problem", {"cpu": "No numba.", "triton": "No Triton."}.get)
    assert details_of_affinity() == [
        "usable",
        "not usable: No numba. torch is used instead",
        "usable, the automatic choice for cpu and cuda tensors",
        "not usable: No Triton. torch is used instead",
    ]
