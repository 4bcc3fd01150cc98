"""The locked environment works: only running it shows that.

With a newer FastAPI no flow starts, with SQLAlchemy 2.1 no schedule fires, with an unmatched torch no
operator of torchvision loads; the resolver and `pip check` are content in each case.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

SERVED = """
from pathlib import Path
import sys
from datetime import timedelta
from prefect import flow

@flow
def tick() -> str:
    with Path(sys.argv[1]).open("a") as stream:
        stream.write("tick\\n")
    return "done"

if __name__ == "__main__":
    tick.serve("every-two-seconds", interval=timedelta(seconds=2), pause_on_shutdown=False)
"""


def test_an_operator_of_torchvision_runs():
    import torch
    import torchvision

    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]])
    assert torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]


@pytest.fixture
def start(tmp_path):
    processes = []

    def run(*arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, **environment},
            stdout=(tmp_path / f"log{len(processes)}").open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.end_to_end
def test_a_flow_runs_and_a_schedule_fires(tmp_path, start):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",
        "DO_NOT_TRACK": "true",
    }
    start("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port, **environment)
    wait_for(lambda: answers(f"http://127.0.0.1:{port}/api/health"), tmp_path)
    (tmp_path / "served.py").write_text(SERVED)
    ticks = tmp_path / "ticks"
    start("served.py", str(ticks), **environment)
    wait_for(lambda: ticks.exists() and ticks.read_text().count("tick") >= 1, tmp_path)


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


def wait_for(condition, folder):
    for _ in range(240):
        if condition():
            return
        time.sleep(0.5)
    pytest.fail("\n".join(path.read_text()[-3000:] for path in sorted(folder.glob("log*"))))
