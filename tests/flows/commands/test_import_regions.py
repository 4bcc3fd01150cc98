import json

from typer.testing import CliRunner

from flows.commands.data import app
from tests.tasks.operations.test_region_sources import world  # noqa: F401 - a fixture


def run(*arguments):
    return CliRunner().invoke(app, ["import-regions", *(str(argument) for argument in arguments)])


def test_a_table_for_people_and_a_document_for_scripts(world, tmp_path):  # noqa: F811
    file = world / "annotations/instances_val.json"
    usual = [file, "--from", "coco", "--split", "val", "--ask", "name", "--ask", "exists"]
    done = run(*usual, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "questions: exists-nearest" in done.stdout
    assert str(tmp_path / "out" / "samples.jsonl") in done.stdout
    document = json.loads(run(*usual, "--out", tmp_path / "json", "--json").stdout)
    assert document["counts"]["images"] == 2
    twice = json.loads(run(*usual, "--draws", 2, "--out", tmp_path / "twice", "--json").stdout)
    assert twice["counts"]["questions"] == 2 * document["counts"]["questions"]


def test_errors_name_the_next_step(world, tmp_path):  # noqa: F811
    file = world / "annotations/instances_val.json"
    done = run(file, file, "--from", "coco", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "next: See `groundwork data import-regions --help`." in done.stderr
    assert run(file, "--from", "lvis", "--out", tmp_path / "out").exit_code == 3
    assert run(file, "--from", "voc", "--out", tmp_path / "out").exit_code == 2
