"""The command as people start it: one process, two, and one that is killed."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
import typer
from typer.testing import CliRunner

from flows.commands.tune import tune
from tasks.operations.region_model_files import load_region_model
from tests.tasks.operations.tiny_regions import ROOT, SMALL, write_world

app = typer.Typer()
app.command()(tune)
SCRIPT = "import typer; from flows.commands.tune import tune; typer.run(tune)"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


def arguments(world, out, *more):
    changes = [word for change in SMALL for word in ("--set", change)]
    return [
        "osprey_tiny", "--stage", "instruct",
        "--data", str(world / "regions"), "--images", str(world / "shapes"),
        "--out", str(out), "--random", "--steps", "2", *changes, *more,
    ]  # fmt: skip


def test_a_stage_prints_one_document(world, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = CliRunner().invoke(app, arguments(world, tmp_path / "model", "--json"))
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    assert (document["stage"], document["steps"], document["samples"]) == ("instruct", 2, 6)
    assert (tmp_path / "model" / "model.safetensors").exists()


def test_errors_name_the_next_step(world, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    given = [word for word in arguments(world, tmp_path / "model") if word != "--random"]
    found = CliRunner().invoke(app, given)
    assert found.exit_code == 2
    assert "a stage begins with trained weights, and none are named." in found.stderr
    assert "next: Say --from MODEL" in found.stderr
    found = CliRunner().invoke(app, [*arguments(world, tmp_path / "model"), "--stage", "final", "--json"])
    assert json.loads(found.stdout)["error"]["hint"] == "Name one of align, regions, instruct."


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(world, tmp_path):
    """As a process, killed without warning after its first checkpoint."""

    def command(out):
        more = [
            "--json",
            "--steps",
            "6",
            "--set",
            "stages.2.epochs=4",
            "--set",
            "training.checkpoint_every=1",
        ]
        return [sys.executable, "-c", SCRIPT, *arguments(world, tmp_path / out, *more)]

    process = subprocess.Popen(command("killed"), cwd=ROOT, env=environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    while not (tmp_path / "killed.checkpoints" / "step-1").exists():
        assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate()
    assert not (tmp_path / "killed").exists()
    resumed, whole = (
        subprocess.run(given, cwd=ROOT, env=environment(), capture_output=True, text=True, check=True)
        for given in ([*command("killed"), "--resume"], command("whole"))
    )
    assert "resumed from step-" in resumed.stderr
    assert json.loads(resumed.stdout)["sha256"] == json.loads(whole.stdout)["sha256"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("accelerate") is None, reason="accelerate is not installed")
def test_two_processes_take_the_steps_of_one(world, tmp_path):
    """Over gloo, each with half of the samples of a step."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-port=29617"]
    subprocess.run([*launch, "-m", "flows.cli", "tune", *arguments(world, tmp_path / "two")], cwd=ROOT,
                   env=environment(), capture_output=True, text=True, check=True)  # fmt: skip
    subprocess.run([sys.executable, "-c", SCRIPT, *arguments(world, tmp_path / "one")], cwd=ROOT,
                   env=environment(), capture_output=True, text=True, check=True)  # fmt: skip
    two, one = (load_region_model(tmp_path / name).model.state_dict() for name in ("two", "one"))
    assert two.keys() == one.keys()
    assert max((two[name] - one[name]).abs().max().item() for name in one) <= 1e-5
    lines = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "history.jsonl").read_text().splitlines()]
        for name in ("two", "one")
    ]
    assert lines[0] == pytest.approx(lines[1], abs=1e-5)
    assert all(torch.isfinite(value).all() for value in one.values())
