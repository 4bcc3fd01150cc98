import json
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.data.commit import read_manifest
from tasks.errors import IntegrityError, UnavailableError
from tasks.services.runs import (
    DatasetUse,
    FinishedRun,
    attach_report,
    mirror_history,
    open_run,
    record_run,
    tag_run,
)
from tasks.services.settings import Settings
from tasks.services.tracking import Tracker, connect
from tests.tasks.services.mlflow_parts import Killed, MortalClient, dead_port, points, runs_of, write_history


def finished(tmp_path, **changes):
    (tmp_path / "pictures").mkdir(exist_ok=True)
    (tmp_path / "pictures" / "worst.png").write_bytes(b"png")
    (tmp_path / "metrics.json").write_text("{}")
    values = {
        "run_key": "key",
        "name": "segmenter",
        "params": {"steps": "400", "seed": "0"},
        "tags": {"groundwork.dataset_sha256": "a" * 64},
        "metrics": {"mask.ap": 0.25, "box.ap": 0.5},
        "history": write_history(tmp_path / "history.jsonl", range(1, 4)),
        "artifacts": {"evaluation": (tmp_path / "metrics.json", tmp_path / "pictures")},
        "dataset": DatasetUse(
            name="nuclei", sha256="a" * 64, source="data/dataset.dvc", counts={"images": 159}
        ),
    }
    return FinishedRun(**(values | changes))


def files(tracker, run_id, folder=None):
    found = []
    for item in tracker.client.list_artifacts(run_id, folder):
        found += files(tracker, run_id, item.path) if item.is_dir else [item.path]
    return sorted(found)


def test_a_run_is_found_again_by_its_key(tracker):
    first = open_run(tracker, "key", "name")
    assert open_run(tracker, "key", "name").info.run_id == first.info.run_id
    assert open_run(tracker, "other", "name").info.run_id != first.info.run_id
    assert len(runs_of(tracker)) == 2


def test_of_two_runs_made_at_once_one_stays(tracker):
    class Late:
        """Sees no run at first, as if another process created it in between."""

        blind = True

        def __getattr__(self, name):
            return getattr(tracker.client, name)

        def search_runs(self, *arguments):
            found = [] if self.blind else tracker.client.search_runs(*arguments)
            self.blind = False
            return found

    first = open_run(tracker, "key", "name")
    assert open_run(replace(tracker, client=Late()), "key", "name").info.run_id == first.info.run_id
    assert len(runs_of(tracker)) == 1


def test_a_key_that_would_break_the_search_is_refused(tracker):
    with pytest.raises(ValueError, match="run_key must not contain quotes"):
        open_run(tracker, "it's", "name")


def test_a_finished_run_is_recorded_whole(tracker, tmp_path, make_model):
    model = make_model()
    run_id = record_run(tracker, finished(tmp_path, model=model))
    run = tracker.client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"steps": "400", "seed": "0"}
    assert run.data.tags["groundwork.dataset_sha256"] == "a" * 64
    assert (run.data.metrics["mask.ap"], run.data.metrics["box.ap"]) == (0.25, 0.5)
    assert points(tracker, run_id) == [(1, 1.0), (2, 0.5), (3, 1.0 / 3.0)]
    assert files(tracker, run_id) == ["evaluation/metrics.json", "evaluation/pictures/worst.png"]
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("nuclei", "a" * 32)
    assert json.loads(used.dataset.source) == {"uri": "data/dataset.dvc", "sha256": "a" * 64}
    (logged,) = tracker.client.search_logged_models([tracker.experiment_id])
    assert logged.tags["groundwork.model_sha256"] == read_manifest(model).sha256
    assert (str(logged.status), logged.source_run_id) == ("READY", run_id)
    assert [output.model_id for output in run.outputs.model_outputs] == [logged.model_id]


def test_a_logged_model_holds_no_pickle_and_says_what_it_takes(tracker, tmp_path, make_model):
    import mlflow

    record_run(tracker, finished(tmp_path, model=make_model()))
    (logged,) = tracker.client.search_logged_models([tracker.experiment_id])
    folder = mlflow.artifacts.download_artifacts(logged.artifact_location, dst_path=str(tmp_path / "copy"))
    info = mlflow.models.get_model_info(folder)
    assert info.signature.inputs.input_names() == ["image_base64"]
    assert "mask_counts" in info.signature.outputs.input_names()
    names = [path.name for path in Path(folder).rglob("*")]
    assert "input_example.json" in names
    assert "hub.py" in names
    assert not [name for name in names if name.endswith((".pkl", ".pt", ".bin"))]


def test_recording_again_changes_nothing(tracker, tmp_path, make_model):
    run = finished(tmp_path, model=make_model())
    first = record_run(tracker, run)
    before = tracker.client.get_run(first).to_dictionary()
    assert record_run(tracker, run) == first
    assert tracker.client.get_run(first).to_dictionary() == before
    assert len(tracker.client.search_logged_models([tracker.experiment_id])) == 1


def test_a_recording_killed_at_any_call_is_completed_by_the_next(tracker, tmp_path, make_model):
    run = finished(tmp_path, model=make_model())
    lives, survived = 0, False
    while not survived:
        run = replace(run, run_key=f"killed-{lives}")
        try:
            record_run(replace(tracker, client=MortalClient(tracker.client, lives)), run)
            survived = True
        except Killed:
            run_id = record_run(tracker, run)
            assert [value for _, value in points(tracker, run_id)] == [1.0, 0.5, 1.0 / 3.0]
            assert len(points(tracker, run_id, "mask.ap")) == 1
        lives += 1
    assert lives > 15
    runs = runs_of(tracker)
    assert len(runs) == lives
    assert {run.info.status for run in runs} == {"FINISHED"}
    models = tracker.client.search_logged_models([tracker.experiment_id], max_results=1000)
    assert sorted(model.source_run_id for model in models) == sorted(run.info.run_id for run in runs)
    assert {str(model.status) for model in models} == {"READY"}


def test_one_key_is_not_two_runs(tracker, tmp_path):
    record_run(replace(tracker, client=MortalClient(tracker.client, 10_000)), finished(tmp_path))
    run = finished(tmp_path, run_key="half")
    with pytest.raises(Killed):
        record_run(replace(tracker, client=MortalClient(tracker.client, 7)), run)
    with pytest.raises(IntegrityError) as caught:
        record_run(tracker, replace(run, params={"steps": "800", "seed": "0"}))
    assert str(caught.value) == (
        "run half: was recorded with steps=400, now it is 800. "
        "Make the key from everything that decides the run."
    )


def test_points_arrive_once_while_the_file_grows(tracker, tmp_path):
    path = tmp_path / "history.jsonl"
    assert mirror_history(tracker, path, "key") == 0
    write_history(path, range(1, 3))
    assert mirror_history(tracker, path, "key") == 4
    assert mirror_history(tracker, path, "key") == 0
    with path.open("a") as stream:
        stream.write('{"step": 3, "loss": 0.3')
    assert mirror_history(tracker, path, "key") == 0
    with path.open("a") as stream:
        stream.write(', "seconds": 2}\n')
    assert mirror_history(tracker, path, "key") == 1
    (run,) = runs_of(tracker)
    assert run.info.status == "RUNNING"
    assert points(tracker, run.info.run_id) == [(1, 1.0), (2, 0.5), (3, 0.3)]


def test_a_training_that_resumed_and_repeated_steps_has_each_point_once(tracker, tmp_path):
    path = write_history(tmp_path / "history.jsonl", [1, 2, 3])
    mirror_history(tracker, path, "key")
    write_history(path, [1, 2, 3, 2, 3, 4])
    assert mirror_history(tracker, path, "key") == 2
    (run,) = runs_of(tracker)
    assert [step for step, _ in points(tracker, run.info.run_id)] == [1, 2, 3, 4]


def test_points_of_an_outage_are_replayed_once(tracker, tmp_path):
    path = write_history(tmp_path / "history.jsonl", range(1, 3))
    mirror_history(tracker, path, "key")
    gone = Tracker(uri=dead_port(), client=tracker.client, experiment_id=tracker.experiment_id)
    write_history(path, range(1, 6))
    with pytest.raises(UnavailableError):
        mirror_history(gone, path, "key")
    assert mirror_history(tracker, path, "key") == 6
    whole = write_history(tmp_path / "whole.jsonl", range(1, 8))
    run_id = record_run(tracker, finished(tmp_path, history=whole))
    assert [step for step, _ in points(tracker, run_id)] == list(range(1, 8))
    assert len(runs_of(tracker)) == 1


def test_more_points_than_one_request_carries(tracker, tmp_path):
    path = write_history(tmp_path / "history.jsonl", range(1, 1201))
    assert mirror_history(tracker, path, "key") == 2400


def test_two_mirrors_at_once_write_each_point_once(tracker, tmp_path):
    path = write_history(tmp_path / "history.jsonl", range(1, 4))

    class Slow:
        """Lets another mirror finish between the question what is there and the answer."""

        def __getattr__(self, name):
            return getattr(tracker.client, name)

        def log_batch(self, *arguments, **keywords):
            mirror_history(tracker, path, "key")
            tracker.client.log_batch(*arguments, **keywords)

    mirror_history(replace(tracker, client=Slow()), path, "key")
    (run,) = runs_of(tracker)
    assert [step for step, _ in points(tracker, run.info.run_id)] == [1, 2, 3]


def test_a_stopped_run_says_so_and_goes_on_when_resumed(tracker, tmp_path):
    path = write_history(tmp_path / "history.jsonl", [1])
    mirror_history(tracker, path, "key")
    (run,) = runs_of(tracker)
    tracker.client.set_terminated(run.info.run_id, "KILLED")
    assert [run.info.status for run in runs_of(tracker)] == ["KILLED"]
    mirror_history(tracker, path, "key")
    assert [run.info.status for run in runs_of(tracker)] == ["RUNNING"]
    record_run(tracker, finished(tmp_path))
    assert [run.info.status for run in runs_of(tracker)] == ["FINISHED"]


def test_a_decision_is_added_to_a_recorded_run(tracker, tmp_path):
    run_id = record_run(tracker, finished(tmp_path))
    tag_run(tracker, run_id, {"groundwork.decision_id": "d1"})
    assert tracker.client.get_run(run_id).data.tags["groundwork.decision_id"] == "d1"


def test_a_report_stands_beside_its_run(tracker, tmp_path):
    run_id = record_run(tracker, finished(tmp_path))
    (tmp_path / "report.html").write_text("<p>first</p>")
    attach_report(tracker, run_id, tmp_path / "report.html")
    attach_report(tracker, run_id, tmp_path / "report.html")
    assert "report/report.html" in files(tracker, run_id)
    assert tracker.client.get_run(run_id).data.tags["groundwork.report"] == "report/report.html"


def test_no_secret_of_the_environment_reaches_mlflow(tracker, tmp_path, monkeypatch, mlflow_home, make_model):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CANARY-4711")
    own = connect(Settings.load(mlflow_home), experiment=f"canary-{tmp_path.name}")
    record_run(own, finished(tmp_path, model=make_model()))
    for path in (mlflow_home / ".groundwork").rglob("*"):
        assert not path.is_file() or b"CANARY-4711" not in path.read_bytes(), path
