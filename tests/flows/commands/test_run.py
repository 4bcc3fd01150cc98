import pytest

from flows.commands.run import summary
from tasks.operations.versioning import default_source


def test_the_default_source_is_in_params(project):
    assert default_source(project.root) == project.root / "source"


def test_the_table_at_the_end_of_a_run():
    result = {
        "metrics": [{"name": "mask.ap50", "value": 0.61234}],
        "data": "nuclei@0123",
        "verdict": "promote",
        "reasons": ["good"],
        "champion": {"summary": "segmenter version 1"},
        "report": "report.html",
    }
    lines = summary(result)
    assert "mask.ap50         0.612" in lines
    assert "box.recall50      undefined" in lines
    assert lines[-1].split() == ["report", "report.html"]
    assert summary({"summary": "steady"}) == ["steady"]


def test_a_night_takes_no_orders(project):
    error = project.groundwork("run", "--nightly", "--first", code=2)["error"]
    assert error["message"] == "--nightly decides by itself what runs."


@pytest.mark.slow
@pytest.mark.end_to_end
def test_a_killed_training_is_resumed_by_the_same_command(project):
    import os
    import signal
    import subprocess
    import sys
    import time

    project.groundwork("data", "add", "source")
    project.replace("params.yaml", "steps: 60", "steps: 200")
    history = project.root / "artifacts" / "checkpoints" / "segmenter" / "history.jsonl"
    running = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "train"],
        cwd=project.root,
        env=project.environment,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    for _ in range(1200):
        if history.exists() and history.read_text().count("\n") >= 6:
            break
        time.sleep(0.1)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    kept = [line for line in history.read_text().splitlines() if line]
    assert len(kept) < 40
    done = project.command("flows.cli", "train", "--json")
    while "another run" in done.stdout or "rwlock" in done.stdout:
        time.sleep(1)
        done = project.command("flows.cli", "train", "--json")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "resum" in done.stderr
