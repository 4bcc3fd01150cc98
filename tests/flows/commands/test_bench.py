import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows.console import repository

ROOT = Path(__file__).resolve().parents[3]


def start(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "bench", "affinity", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_quick_run_prints_one_document_and_draws(tmp_path):
    picture, numbers = tmp_path / "curves.png", tmp_path / "numbers.json"
    done = start(
        "--quick", "--json", "--device", "cpu", "--out", str(numbers), "--plot", str(picture), cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-3000:]
    document = json.loads(done.stdout)
    assert document["settings"]["quick"] is True
    assert json.loads(numbers.read_text()) == document
    assert picture.stat().st_size > 10_000
    assert "tree and pass" in done.stderr


def test_errors_name_the_next_step(project, tmp_path):
    error = project.groundwork("bench", "affinity", code=2)["error"]
    assert error["message"].startswith("there is no benchmarks/affinity.py here")
    assert "Clone the repository" in error["hint"]
    error = project.groundwork("bench", "affinity", "curves.png", code=2)["error"]
    assert error["message"] == "a picture needs --plot."
    error = project.groundwork("bench", "affinity", "--published", "nothing.py", code=2)["error"]
    assert (error["message"], error["object"]) == ("there is no such file.", "nothing.py")
    done = start("--quick", cwd=tmp_path)
    assert done.returncode == 2
    assert "no dvc.yaml here" in done.stderr


def test_a_wrong_device_is_refused_by_the_benchmark():
    assert repository() == ROOT
    done = start("--device", "tpu", cwd=ROOT)
    assert done.returncode == 2
    assert "invalid choice: 'tpu'" in done.stderr
