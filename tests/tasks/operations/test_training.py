import logging
import subprocess
import sys

import pytest

from tasks.data.commit import commit_directory
from tasks.operations import training
from tasks.services import dvc, runs, tracking
from tasks.services.settings import Settings

STAGE = """
import json, pathlib, time
history = pathlib.Path("history.jsonl")
with history.open("a") as stream:
    for step in range(1, 6):
        stream.write(json.dumps({"step": step, "loss": 1 / step, "seconds": step}) + "\\n")
        stream.flush()
        time.sleep(0.3)
pathlib.Path("model.txt").write_text("trained")
"""
PIPELINE = """
stages:
  train:
    cmd: python stage.py
    deps: [stage.py]
    outs: [model.txt]
    meta: {progress: history.jsonl}
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setattr(training, "_INTERVAL", 0.2)
    folder = tmp_path / "project"
    folder.mkdir()
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=folder, check=True)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "stage.py").write_text(STAGE)
    (folder / "params.yaml").write_text("train: {steps: 5}\n")
    commit_directory(folder / "data" / "dataset", lambda place: None, schema="groundwork.dataset/1")
    return folder


def test_training_goes_on_without_mlflow_and_the_points_are_replayed(root, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    settings = Settings.load(root)
    (stage,) = dvc.stages(root)
    with caplog.at_level(logging.WARNING, logger="groundwork.tracking"):
        assert training.reproduce_stage(stage, root, settings).outcome == "ran"
    assert (root / "model.txt").read_text() == "trained"
    assert len([record for record in caplog.records if "Training goes on" in record.message]) == 1
    attempt = training.current_attempt("train", settings)

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    tracker = tracking.connect(Settings.load(root))
    assert runs.mirror_history(tracker, root / "history.jsonl", attempt) == 5
    assert runs.mirror_history(tracker, root / "history.jsonl", attempt) == 0


def test_points_arrive_while_training_runs(root):
    settings = Settings.load(root)
    (stage,) = dvc.stages(root)
    tracking.connect(settings)  # the tables exist, so that the thread is as fast as it will be
    training.reproduce_stage(stage, root, settings)
    tracker = tracking.connect(settings)
    run = runs.open_run(tracker, training.current_attempt("train", settings), "training")
    arrived = tracker.client.get_metric_history(run.info.run_id, "train.loss")
    assert {metric.step for metric in arrived} <= {1, 2, 3, 4, 5}
    assert training.reproduce_stage(stage, root, settings).outcome == "reused"


def test_an_attempt_lasts_until_it_is_closed_or_its_inputs_change(root):
    settings = Settings.load(root)
    first = training.open_attempt("train", root, settings)
    assert training.open_attempt("train", root, settings) == first
    (root / "params.yaml").write_text("train: {steps: 6}\n")
    second = training.open_attempt("train", root, settings)
    assert second != first
    training.close_attempt("train", settings)
    assert training.current_attempt("train", settings) is None
    assert training.open_attempt("train", root, settings) != second
