import json

from benchmarks.weak_supervision import store


def test_parts_are_stored_beside_each_other(tmp_path):
    path = tmp_path / "out.json"
    store(path, "share", {"limit": 0.15})
    store(path, "instances", {"alpha": 0.05})
    store(path, "share", {"limit": 0.2})
    document = json.loads(path.read_text())
    assert list(document) == ["instances", "share"]
    assert document["share"]["limit"] == 0.2
    assert document["instances"]["machine"]["cores"] >= 1
