"""The same services against a real server that goes away and comes back."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tasks.errors import UnavailableError
from tasks.services.ledger import Ledger
from tasks.services.ledger_sqlite import SqliteEntries
from tasks.services.registry import champion_alias, reconcile, register
from tasks.services.runs import FinishedRun, attach_report, mirror_history, record_run
from tasks.services.settings import Settings
from tasks.services.tracking import connect, run_url
from tests.tasks.services.mlflow_parts import points, runs_of, write_history
from tests.tasks.services.proposals import proposal

pytestmark = [pytest.mark.slow, pytest.mark.end_to_end]
BUNDLE = "0123456789abcdef"


class Server:
    """An MLflow server in its own process group, on one port for its whole life."""

    def __init__(self, folder):
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self):
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env=environment, cwd=self.folder
            )
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError((self.folder / "server.log").read_text())

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


def test_an_outage_loses_nothing_and_a_promotion_ends_with_an_alias(
    server, tmp_path, monkeypatch, make_model
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    tracker = connect(Settings.load(tmp_path), experiment="served")
    history = write_history(tmp_path / "history.jsonl", range(1, 4))
    assert mirror_history(tracker, history, "key") == 6
    server.kill()
    write_history(history, range(1, 7))
    with pytest.raises(UnavailableError):
        mirror_history(tracker, history, "key")
    server.start()
    assert mirror_history(tracker, history, "key") == 6

    run = FinishedRun(
        run_key="key",
        name="served",
        history=history,
        metrics={"mask.ap": 0.5},
        model=make_model("w" * 3_000_000),
    )
    run_id = record_run(tracker, run)
    assert record_run(tracker, run) == run_id
    assert [step for step, _ in points(tracker, run_id)] == [1, 2, 3, 4, 5, 6]
    assert len(runs_of(tracker)) == 1
    Path(tmp_path / "report.html").write_text("<p>")
    attach_report(tracker, run_id, tmp_path / "report.html")
    assert run_url(tracker, run_id) == f"{server.url}/#/experiments/{tracker.experiment_id}/runs/{run_id}"

    version = register(tracker, run_id, "segmenter", BUNDLE)
    assert register(tracker, run_id, "segmenter", BUNDLE) == version == "1"
    ledger = Ledger(entries=SqliteEntries(tmp_path / "ledger.db"), marks=tmp_path / "marks")
    entry = ledger.append(proposal(bundle_id=BUNDLE), expected_sequence=0)
    assert reconcile(tracker, "segmenter", ledger.champion) == entry
    assert champion_alias(tracker, "segmenter") == "1"
    tracker.client.delete_model_version("segmenter", "1")
    with pytest.raises(UnavailableError, match="is missing"):
        reconcile(tracker, "segmenter", ledger.champion)
