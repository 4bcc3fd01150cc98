import json

import typer
from typer.testing import CliRunner

from flows.commands.segment import segment
from tests.tasks.operations.test_segmenting import images, model  # noqa: F401 - fixtures


def run(*arguments):
    app = typer.Typer()
    app.command()(segment)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_table_for_people_and_a_document_for_scripts(model, images, tmp_path):  # noqa: F811
    done = run(model, images, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "label maps" in done.stdout
    assert "%" in done.stdout
    document = json.loads(run(model, images, "--out", tmp_path / "out", "--split", "val", "--json").stdout)
    assert (document["schema"], document["split"]) == ("groundwork.segmented/1", "val")


def test_errors_name_the_next_step(images, tmp_path):  # noqa: F811
    done = run(tmp_path, images, "--out", tmp_path / "out")
    assert done.exit_code == 5
    assert "next: Name a model that `groundwork fit` made" in done.stderr
