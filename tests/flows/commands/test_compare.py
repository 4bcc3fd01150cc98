import pytest

from flows.commands.compare import _lines

NUMBERS = {
    "candidate": {"name": "new"},
    "champion": {"name": "old"},
    "intervals": {"alpha": 0.05},
    "metrics": [
        {
            "name": "mask.ap",
            "candidate": 0.5,
            "champion": 0.4,
            "difference": 0.1,
            "interval": [-0.01, 0.2],
        },
        {"name": "box.ap", "candidate": None, "champion": 0.4, "difference": None, "interval": None},
    ],
}


def test_lines_for_people():
    lines = _lines(NUMBERS)
    assert lines[:2] == ["A: new", "B: old"]
    assert lines[2].split() == ["metric", "A", "B", "A", "-", "B", "95", "%", "interval"]
    assert lines[4].split() == ["mask.ap", "0.5000", "0.4000", "+0.1000", "[-0.0100,", "+0.2000]"]
    assert lines[5].split() == ["box.ap", "undefined", "0.4000", "undefined"]


def test_a_directory_that_holds_something_else_is_left_alone(project, answer):
    error = answer("compare", "champion", "champion", "--out", ".", code=2)["error"]
    assert "only an earlier 'groundwork.comparison/1' is replaced" in error["message"]
    assert error["hint"] == "Move it away, or name another directory."
    assert (project.root / "dvc.yaml").exists()


@pytest.mark.slow
@pytest.mark.end_to_end
@pytest.mark.xdist_group("release")
def test_the_champion_beside_itself(branched):
    project, result = branched
    document = project.groundwork("compare", "champion", result["bundle_id"], "--out", "page")
    assert document["comparison"] == str(project.root / "page" / "comparison.html")
    assert (project.root / "page" / "comparison.html").exists()
    assert {item["difference"] for item in document["metrics"]} == {0.0}
    assert document["candidate"]["model_sha256"] == document["champion"]["model_sha256"]
