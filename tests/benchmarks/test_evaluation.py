import json
import sys

import pytest

from benchmarks import evaluation
from benchmarks.evaluation import METRICS, OURS, main, row_of, run, table

PEERS = ["groundwork", "pycocotools"]
"""Each run is a process of its own; that all scorers agree is tested with the runs."""


@pytest.fixture(scope="module")
def document():
    """A quick run, through JSON and back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "METHODS", PEERS)
        return json.loads(json.dumps(run(quick=True, rounds=1)))


def test_scorers_stand_beside_pycocotools_and_agree(document):
    rows = {(row["kind"], row["method"]): row for row in document["scorers"]}
    assert set(rows) == {(kind, name) for kind in ("box", "mask") for name in PEERS} | {("both", OURS)}
    assert document["agree"] is True
    assert all(row["largest_difference"] < 1e-9 for row in rows.values())
    assert rows["box", "pycocotools"]["times_faster"] == 1.0
    assert rows["both", OURS]["rows_matches"] == 800


def test_the_gate_and_the_expressions_are_timed_too(document):
    assert set(document["bootstrap"]["seconds"]) == {*METRICS, "draw"}
    assert set(document["expressions"]["seconds"]) == {"run lengths", "bool arrays"}
    lines = table(document)
    assert len(lines) == 1 + 5 + 4 + 2
    assert document["machine"]["pycocotools"]


def one(seconds, number):
    return {
        "evaluate_s": seconds,
        "read_s": 1.0,
        "peak_mb": 7,
        "above_input_mb": 3,
        "numbers": {"ap": number},
    }


def test_ratios_are_of_the_same_round():
    runs = {
        ("box", "mine"): [one(1.0, 0.5), one(4.0, 0.5)],
        ("box", "pycocotools"): [one(10.0, 0.4), one(80.0, 0.4)],
    }
    row = row_of("box", "mine", runs)
    assert (row["evaluate_s"], row["times_faster"], row["largest_difference"]) == (
        2.5,
        15.0,
        pytest.approx(0.1),
    )


def test_scorers_that_disagree_end_the_run(monkeypatch, capsys, tmp_path, document):
    monkeypatch.setattr(evaluation, "run", lambda **_: document | {"agree": False})
    monkeypatch.setattr(sys, "argv", ["evaluation", "--quick", "--json", "--out", str(tmp_path / "out.json")])
    with pytest.raises(SystemExit, match=r"^the scorers disagree by more than 1e-09\.$"):
        main()
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out.json").read_text())
    monkeypatch.setattr(sys, "argv", ["evaluation", "--rounds", "0"])
    with pytest.raises(SystemExit):
        main()
    assert "--rounds must be at least 1, got 0." in capsys.readouterr().err
