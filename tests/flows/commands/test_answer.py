import json

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tests.tasks.operations.asked import write_model, write_world


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = write_world(tmp_path_factory.mktemp("place"))
    write_model(folder / "model")
    return folder


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_from_file_to_page(place, tmp_path):
    usual = ["--data", place / "samples", "--images", place / "shapes/train"]
    done = run("answer", place / "model", *usual, "--out", tmp_path / "a", "--max-new-tokens", 3)
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "a" / "answers.jsonl") in done.stdout
    where = ["--truth", place / "samples", "--predictions", tmp_path / "a"]
    done = run("score", "regions", *where, "--images", place / "shapes/train", "--out", tmp_path / "s")
    assert done.exit_code == 0, done.output
    assert f"look at: {tmp_path / 's' / 'answers.html'}" in done.stdout
    assert "exists-nearest: yes_no.accuracy" in done.stdout
    assert "exists-nearest: caption.cider_d" not in done.stdout
    result = json.loads(run("score", "regions", *where, "--json").stdout)
    assert result["definition"]["name"] == "region-answers/1"
    assert [part["name"] for part in result["parts"]] == ["describe-label", "exists-nearest"]


def test_a_document_for_scripts_and_errors_with_a_next_step(place, tmp_path):
    usual = ["--data", place / "samples", "--out", tmp_path / "a", "--limit", 1, "--json"]
    done = run("answer", place / "model", *usual, "--images", place / "shapes/train", "--history", "none")
    assert json.loads(done.stdout)["asked"] == 1
    done = run("answer", place / "model", *usual, "--images", tmp_path)
    assert done.exit_code == 3
    assert "--images" in json.loads(done.stdout)["error"]["hint"]
    where = ["--truth", place / "samples", "--predictions", tmp_path / "a", "--images", place]
    done = run("score", "regions", *where)
    assert done.exit_code == 2
    assert "next: Add --out and a directory." in done.stderr
