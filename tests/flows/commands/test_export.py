import json

import pytest
import typer
from typer.testing import CliRunner

from flows.commands.export import FORMATS, export
from tasks.operations.exporting import SCHEMAS
from tests.tasks.data.evaluated_shapes import write_evaluated


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = write_evaluated(tmp_path_factory.mktemp("evaluated"))
    for name in ("dvc.yaml", "params.yaml"):
        (root / name).write_text("")
    return root


def run(*arguments):
    app = typer.Typer()
    app.command()(export)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_formats_are_those_of_the_operation():
    assert set(FORMATS) == set(SCHEMAS)


@pytest.mark.parametrize("form", FORMATS)
def test_export(project, monkeypatch, form):
    monkeypatch.chdir(project)
    done = run("--format", form, "--out", f"exports/{form}", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["format"], result["out"]) == (form, str(project / "exports" / form))
    assert (project / "exports" / form / "manifest.json").is_file()
    done = run("--format", form, "--out", f"exports/{form}")
    assert done.exit_code == 0, done.output
    assert "detections" in done.output


def test_an_unknown_format(project, monkeypatch):
    monkeypatch.chdir(project)
    done = run("--format", "yolo", "--out", "x", "--json")
    assert done.exit_code == 2
    error = json.loads(done.stdout)["error"]
    assert error["message"] == "must be coco or fiftyone, got 'yolo'."
    assert error["hint"] == "See `groundwork export --help`."
