import json
from pathlib import Path

import typer
from typer.testing import CliRunner

from flows.commands.weaken import weaken

FOLDER = Path(__file__).resolve().parents[2] / "data" / "weak" / "panoptic"


def run(*arguments):
    app = typer.Typer()
    app.command()(weaken)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_sheet_and_counts_for_people_and_scripts(tmp_path):
    out = tmp_path / "out"
    done = run(FOLDER, "--kind", "points", "--seed", 3, "--out", out)
    assert done.exit_code == 0, done.output
    assert "marked regions" in done.stdout
    assert str(out / "sheet.jpg") in done.stdout
    done = run(FOLDER, "--kind", "points", "--seed", 3, "--out", out, "--json")
    document = json.loads(done.stdout)
    assert document["kind"] == "points"
    assert document["counts"]["labelled"] > 0


def test_errors_name_the_next_step(tmp_path):
    done = run(FOLDER, "--kind", "points", "--seed", 3, "--out", tmp_path, "--share", 0.5, "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["object"] == "--share"
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", "--kind", "points", "--seed", 3, "--out", tmp_path / "out").exit_code == 3
    assert run(FOLDER, "--kind", "lines", "--seed", 3, "--out", tmp_path / "out").exit_code == 2
    assert run(FOLDER, "--kind", "points", "--out", tmp_path / "out").exit_code == 2
