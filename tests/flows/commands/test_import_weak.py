import json

from typer.testing import CliRunner

from flows.commands.data import app
from tests.tasks.operations.test_importing_weak import folder  # noqa: F401 - a fixture


def run(*arguments):
    return CliRunner().invoke(app, ["import-weak", *(str(argument) for argument in arguments)])


def test_a_table_for_people_and_a_document_for_scripts(folder):  # noqa: F811
    usual = ["--images", folder / "images", "--list", folder / "train.txt", "--out", folder / "out"]
    done = run("scribbles", "--labels", folder / "xml", *usual)
    assert done.exit_code == 0, done.output
    assert "labelled pixels" in done.stdout
    assert str(folder / "out" / "sheet.jpg") in done.stdout
    points = ["--labels", folder / "points.json", "--labels", folder / "background.json"]
    document = json.loads(run("points", *points, *usual, "--json").stdout)
    assert document["kind"] == "points"


def test_errors_name_the_next_step(folder):  # noqa: F811
    usual = ["--images", folder / "images", "--list", folder / "train.txt", "--out", folder / "out"]
    done = run("blocks", "--labels", folder / "blocks", *usual)
    assert done.exit_code == 2
    assert "next: Name a classes.json." in done.stderr
    assert run("lines", "--labels", folder / "xml", *usual).exit_code == 2
    (folder / "train.txt").write_text("four\n")
    assert run("scribbles", "--labels", folder / "xml", *usual).exit_code == 3
