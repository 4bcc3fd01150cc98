"""The command as people start it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flows.commands.fit import fit
from tests.tasks.stages.tiny_training import prepare

ROOT = Path(__file__).resolve().parents[3]
app = typer.Typer()
app.command()(fit)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("inputs"))


def arguments(inputs, out, *more):
    return [
        "tiny_solo", "--data", str(inputs["about"].parent), "--images", str(inputs["dataset"]),
        "--out", str(out), "--steps", "1", "--reduced", "--set", "num_categories=3",
        "--set", "images.crop=64", *more,
    ]  # fmt: skip


def test_a_dry_run_prints_one_document(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = CliRunner().invoke(app, arguments(inputs, tmp_path / "model", "--json"))
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    assert document["steps"] == 1
    assert document["model"] == str(tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_errors_name_the_next_step(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = CliRunner().invoke(app, [*arguments(inputs, tmp_path / "model"), "--set", "num_categories=2"])
    assert found.exit_code == 2
    assert "the recipe has 2 categories, the data has 3." in found.stderr
    assert "next: Say `--set num_categories=3`." in found.stderr
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, arguments(inputs, tmp_path / "model", "--json"))
    assert found.exit_code == 2
    assert "no dvc.yaml here" in json.loads(found.stdout)["error"]["message"]


@pytest.mark.slow
def test_a_killed_run_goes_on_with_resume(inputs, tmp_path):
    """As a process, killed without warning after its first checkpoint."""
    script = "import typer; from flows.commands.fit import fit; typer.run(fit)"
    command = [sys.executable, "-c", script, *arguments(inputs, tmp_path / "model", "--json")]
    command[command.index("--steps") + 1] = "4"
    command += ["--set", "training.checkpoint_every=1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    while not (tmp_path / "model.checkpoints" / "step-1").exists():
        assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate()
    assert not (tmp_path / "model").exists()
    done = subprocess.run([*command, "--resume"], cwd=ROOT, env=environment, capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert "resumed from step-" in done.stderr
    assert json.loads(done.stdout)["steps"] == 4
