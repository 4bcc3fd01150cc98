import json

import typer
from typer.testing import CliRunner

from flows.commands.convert import convert
from tests.models.region_lm.published import save_published


def run(*arguments):
    app = typer.Typer()
    app.command()(convert)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_names_first_and_then_the_model(tmp_path):
    folder, out = tmp_path / "published", tmp_path / "out"

    def change(state):
        state["model.extra"] = state.pop("lm_head.weight")

    save_published("osprey", folder, change=change)
    done = run(folder, "--from", "osprey", "--recipe", "osprey_tiny")
    assert done.exit_code == 0, done.output
    assert "no place here: model.extra (checkpoint)" in done.stdout
    assert "no value there: language.lm_head.weight" in done.stdout
    assert "nothing was written: add --out" in done.stdout
    done = run(folder, "--from", "osprey", "--recipe", "osprey_tiny", "--out", out, "--json")
    assert done.exit_code == 3
    assert "language.lm_head.weight" in json.loads(done.stdout)["error"]["message"]
    save_published("osprey", folder)
    done = run(folder, "--from", "osprey", "--recipe", "osprey_tiny", "--out", out)
    assert done.exit_code == 0, done.output
    assert "new rows, the mean of the known ones: <image>, <mask>, <pos>" in done.stdout
    assert (out / "manifest.json").is_file()


def test_a_pickle_needs_a_word(tmp_path):
    save_published("llava", tmp_path / "published", form="bin")
    asked = [tmp_path / "published", "--from", "llava", "--recipe", "llava_tiny", "--out", tmp_path / "out"]
    done = run(*asked, "--json")
    assert done.exit_code == 5
    assert "--sandbox" in json.loads(done.stdout)["error"]["hint"]
    done = run(*asked, "--sandbox", "--json")
    assert json.loads(done.stdout)["missing"] == []
