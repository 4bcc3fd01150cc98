import json

import typer
from typer.testing import CliRunner

from flows.commands.plan import plan

SAMPLE = ("--samples", 100, "--text", 40, "--answer", 8, "--regions", 2)


def run(*arguments):
    app = typer.Typer()
    app.command()(plan)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_plan_for_people():
    done = run("osprey_tiny", "--gpus", 2, *SAMPLE)
    assert done.exit_code == 0, done.output
    assert "osprey_tiny: parameters" in done.stdout
    assert "DDP" in done.stdout
    assert "FSDP" in done.stdout
    assert "Nothing was measured" in done.stdout


def test_a_plan_for_scripts():
    done = run("osprey_tiny", "--gpus", 2, *SAMPLE, "--memory", 1, "--json")
    document = json.loads(done.stdout)
    assert [stage["name"] for stage in document["stages"]]
    assert all(stage["fsdp"]["memory"]["total"] > 0 for stage in document["stages"])


def test_what_does_not_fit_is_said():
    done = run("osprey_tiny", "--gpus", 1, *SAMPLE, "--memory", 0.000001)
    assert "does not fit" in done.stdout


def test_errors_name_the_next_step():
    done = run("osprei", "--gpus", 1, "--samples", 100, "--json")
    assert done.exit_code == 2
    assert "osprey" in json.loads(done.stdout)["error"]["hint"]
