import json


def test_show_without_data_and_with_a_broken_folder(project):
    assert project.groundwork("data", "show", code=6)["error"]["message"] == "there is no dataset yet."
    path = project.root / "source" / "annotations" / "instances_train.json"
    document = json.loads(path.read_text())
    document["annotations"][1]["id"] = document["annotations"][0]["id"]
    path.write_text(json.dumps(document))
    error = project.groundwork("data", "check", "source", code=3)["error"]
    assert error["code"] == "data-invalid"
    assert str(document["annotations"][0]["id"]) in error["message"]
