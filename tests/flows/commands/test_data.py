import json

from typer.testing import CliRunner

from flows.commands.data import app


def test_show_without_data_and_with_a_broken_folder(project, answer):
    assert answer("data", "show", code=6)["error"]["message"] == "there is no dataset yet."
    path = project.root / "source" / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    document["annotations"][1]["id"] = document["annotations"][0]["id"]
    path.write_text(json.dumps(document))
    error = answer("data", "check", "source", code=3)["error"]
    assert error["code"] == "data-invalid"
    assert str(document["annotations"][0]["id"]) in error["message"]


def test_a_world_of_shapes(tmp_path):
    found = CliRunner().invoke(
        app,
        ["shapes", "--out", str(tmp_path / "a"), "--train", "2", "--val", "1", "--json"],
    )
    assert found.exit_code == 0, found.output
    document = json.loads(found.stdout)
    assert (document["train"], document["val"]) == (2, 1)
    assert (tmp_path / "a" / "osprey" / "description_train.json").exists()
    found = CliRunner().invoke(app, ["shapes", "--out", str(tmp_path / "b"), "--train", "0", "--json"])
    assert found.exit_code == 2
    assert "each split needs a scene" in json.loads(found.stdout)["error"]["message"]
