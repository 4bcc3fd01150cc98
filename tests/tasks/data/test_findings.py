"""All findings are counted, the first ten of a rule are shown."""

from tasks.data.findings import Finding, Findings


def test_counts_all_and_keeps_ten():
    findings = Findings()
    findings.extend(
        Finding(rule="box-outside", obj=f"annotation {number}", sentence="leaves.") for number in range(25)
    )
    findings.add("image-missing", "image 1", "there is no file.")
    assert findings.total == 26
    assert findings.summary() == "25 box-outside, 1 image-missing"
    lines = findings.lines()
    assert lines[0] == "box-outside: annotation 0: leaves."
    assert lines[10:] == ["box-outside: and 15 more", "image-missing: image 1: there is no file."]
    value = findings.to_json()
    assert value["box-outside"]["count"] == 25
    assert len(value["box-outside"]["first"]) == 10
    assert value["image-missing"] == {
        "count": 1,
        "first": [{"obj": "image 1", "sentence": "there is no file."}],
    }


def test_nothing():
    assert (Findings().total, Findings().summary(), Findings().lines(), Findings().to_json()) == (
        0,
        "",
        [],
        {},
    )
