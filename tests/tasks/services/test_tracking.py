import os
import socket
import stat
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tasks.errors import UnavailableError
from tasks.services.processes import this_process
from tasks.services.runs import open_run
from tasks.services.settings import Settings
from tasks.services.tracking import PROCESS, Tracker, close_dead_runs, connect, look, run_url
from tests.tasks.services.mlflow_parts import dead_port, runs_of


def test_a_local_database_is_made_once_and_kept_private(tracker, mlflow_home):
    again = connect(
        Settings.load(mlflow_home), experiment=tracker.client.get_experiment(tracker.experiment_id).name
    )
    assert again.experiment_id == tracker.experiment_id
    home = mlflow_home / ".groundwork"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (home, home / "mlartifacts")] == [0o700, 0o700]
    location = tracker.client.get_experiment(tracker.experiment_id).artifact_location
    assert location == (home / "mlartifacts").as_uri()


def test_a_look_changes_nothing(tracker, mlflow_home, monkeypatch):
    """Neither a new experiment nor the end of a dead run."""
    run = open_run(tracker, "key", name="left behind")
    tracker.client.set_tag(run.info.run_id, PROCESS, "elsewhere:1:1")
    experiments = len(tracker.client.search_experiments())
    seen = look(Settings.load(mlflow_home))
    assert seen.client.get_run(run.info.run_id).info.status == "RUNNING"
    assert len(seen.client.search_experiments()) == experiments


def test_a_look_at_nothing_makes_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(UnavailableError) as caught:
        look(Settings.load(tmp_path))
    assert str(caught.value) == (
        f"sqlite:///{tmp_path}/.groundwork/mlflow.db: MLflow cannot be used (nothing was recorded yet). "
        "Name its address: MLFLOW_TRACKING_URI."
    )
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_port())
    with pytest.raises(UnavailableError, match="ConnectionRefusedError"):
        look(Settings.load(tmp_path))


def test_nothing_is_reported_to_anybody(tracker):
    assert (os.environ["MLFLOW_DISABLE_TELEMETRY"], os.environ["DO_NOT_TRACK"]) == ("true", "true")


def test_nobody_there_is_known_at_once(tmp_path, monkeypatch):
    address = dead_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(UnavailableError) as caught:
        connect(Settings.load(tmp_path))
    assert caught.value.exit_code == 6
    assert str(caught.value) == (
        f"{address}: MLflow cannot be used (ConnectionRefusedError). "
        "Training is not affected. When MLflow is back, run the same command again."
    )


def test_the_password_of_a_server_is_not_in_the_error(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead_port().replace("http://", "http://ada:CANARY@"))
    with pytest.raises(UnavailableError) as caught:
        connect(Settings.load(tmp_path))
    assert "CANARY" not in str(caught.value)


def test_a_server_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(UnavailableError, match="MLflow cannot be used"):
            connect(Settings.load(tmp_path))


@pytest.mark.parametrize("status", [500, 503, 401])
def test_a_server_that_only_fails_is_unavailable(tmp_path, monkeypatch, status):
    class Failing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status)

        def log_message(self, *arguments):
            pass

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    server = HTTPServer(("127.0.0.1", 0), Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}")
    with pytest.raises(UnavailableError, match="MLflow cannot be used"):
        connect(Settings.load(tmp_path))
    server.shutdown()
    server.server_close()


def test_a_locked_or_broken_database_is_unavailable(tmp_path, monkeypatch):
    (tmp_path / "mlflow.db").write_bytes(b"no database " * 1000)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(UnavailableError, match=r"MLflow cannot be used \(.*file is not a database"):
        connect(Settings.load(tmp_path))


def test_runs_of_dead_processes_are_closed_and_others_are_not(tracker):
    alive = open_run(tracker, "alive", "name")
    host, number, started = this_process().split(":")
    dead = open_run(tracker, "dead", "name")
    tracker.client.set_tag(dead.info.run_id, PROCESS, f"{host}:{number}:{int(started) - 1}")
    elsewhere = open_run(tracker, "elsewhere", "name")
    tracker.client.set_tag(elsewhere.info.run_id, PROCESS, "another-host:1:1")
    assert close_dead_runs(tracker) == [dead.info.run_id]
    status = {run.info.run_id: run.info.status for run in runs_of(tracker)}
    assert status == {
        alive.info.run_id: "RUNNING",
        dead.info.run_id: "KILLED",
        elsewhere.info.run_id: "RUNNING",
    }
    assert open_run(tracker, "dead", "name").info.run_id == dead.info.run_id
    assert tracker.client.get_run(dead.info.run_id).info.status == "RUNNING"


def test_a_run_has_a_page_where_there_is_a_server(tracker):
    assert run_url(tracker, "17") == "runs:/17"
    served = Tracker(uri="https://ada:secret@host/", client=None, experiment_id="3")
    assert run_url(served, "17") == "https://***@host/#/experiments/3/runs/17"


def test_importing_the_module_does_not_import_mlflow():
    import subprocess

    code = "import sys, tasks.services.runs, tasks.services.registry; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
