import json

import typer
from typer.testing import CliRunner

from flows.commands.pseudo_label import pseudo_label
from tests.tasks.operations.labelling import shapes, tiny_model


def run(*arguments):
    app = typer.Typer()
    app.command()(pseudo_label)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_page_and_counts_for_people_and_scripts(tmp_path):
    world, out = shapes(tmp_path / "world", images=2), tmp_path / "out"
    done = run(world, "--from", "boxes", "--model", "none", "--out", out)
    assert done.exit_code == 0, done.output
    assert "masks" in done.stdout
    assert str(out / "pseudo_labels.html") in done.stdout
    assert "labelling 2/2, propagation" in done.stderr
    file = world / "annotations" / "instances_train.json"
    model = tiny_model(tmp_path / "model")
    done = run(file, "--from", "boxes", "--images", world / "train", "--model", model, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["method"] == "segmenter"
    assert document["counts"]["images"] == 2


def test_errors_name_the_next_step(tmp_path, monkeypatch):
    world, out = shapes(tmp_path / "world", images=1), tmp_path / "out"
    assert run(world, "--from", "points", "--out", out).exit_code == 2
    assert run(world, "--from", "boxes", "--model", "none").exit_code == 2
    done = run(world, "--from", "boxes", "--model", "none", "--out", out, "--workers", 0, "--json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["error"]["object"] == "--workers"
    (world / "train" / "train_000.jpg").write_bytes(b"")
    done = run(world, "--from", "boxes", "--model", "none", "--out", out)
    assert done.exit_code == 3
    assert "train_000.jpg" in done.stderr
    (tmp_path / "project").mkdir()
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / "project" / name).touch()
    monkeypatch.chdir(tmp_path / "project")
    done = run(world, "--from", "boxes", "--out", out, "--json")
    assert done.exit_code == 6
    error = json.loads(done.stdout)["error"]
    assert "there is no champion yet" in error["message"]
    assert "--model none" in error["hint"]
