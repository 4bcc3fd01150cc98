import json
import sys

import pytest
import torch

from benchmarks.affinity import (
    BATCHES,
    INSTANCES,
    ONE_IMAGE,
    WINDOWS,
    chosen,
    main,
    result_name,
    row_of,
    run,
    table,
)
from benchmarks.affinity_cases import Case
from benchmarks.affinity_peers import load_published

CASES = {
    "tree and pass", "many channels", "many channels, pass alone", "cascade", "local", "backends",
    "backends, local",
}  # fmt: skip


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """A quick run with a stand-in for the authors' code, through JSON and back."""
    path = tmp_path_factory.mktemp("bench") / "mine.py"
    path.write_text(
        "import torch\n"
        "def spanning_tree(image):\n    return torch.zeros(len(image), 1, 2, dtype=torch.int32)\n"
        "def propagate(x, guidance, tree, zeta):\n    return x\n"
    )
    return json.loads(json.dumps(run(load_published(path), torch.device("cpu"), quick=True)))


def test_every_case_has_its_peers(document):
    methods = {}
    for row in document["rows"]:
        methods.setdefault(row["name"], set()).update(row["times"])
    assert set(methods) == CASES
    assert methods["tree and pass"] == {
        "ours", "ours, tree alone", "ours, pass alone", "published", "scipy tree alone",
    }  # fmt: skip
    assert methods["cascade"] == {"ours", "published, a tree an image", "published, a tree an instance"}
    assert methods["local"] == {"ours", "unfold"}
    assert methods["backends"] >= {"reference", "torch"}


def test_numbers_are_times_and_ways_agree(document):
    for row in document["rows"]:
        for timing in row["times"].values():
            assert 0 < timing["min_ms"] <= timing["median_ms"]
        first = next(iter(row["times"]))
        assert row["over_first"][first] == 1
        if row["name"] in {"local", "backends", "backends, local"}:
            assert max(row["largest_difference"].values()) < 1e-4, row["name"]


def test_the_document_says_where_and_how(document):
    assert document["machine"]["torch"] == torch.__version__
    assert document["settings"]["runs"] == 2
    assert document["settings"]["published"] is True
    assert any("tree and pass" in line for line in table(document))
    if sys.platform == "linux":
        assert document["memory"]["height"] == 64


def test_a_full_run_covers_what_is_claimed():
    assert [(case.height, case.width) for case in ONE_IMAGE][-1] == (4096, 4096)
    assert {case.channels for case in BATCHES} == {3, 256}
    assert [(case.images, case.instances) for case in INSTANCES] == [(8, 64), (2, 32), (1, 32)]
    assert (1, 16) in {(case.images, case.instances) for case in WINDOWS}


def test_a_row_compares_with_the_first_method():
    methods = {"a": lambda: torch.zeros(2), "b": lambda: torch.full((2,), 0.5), "c": lambda: None}
    row = row_of(Case(name="case", height=1, width=2), methods, runs=1)
    assert row["largest_difference"] == {"b": 0.5}
    assert set(row["over_first"]) == {"a", "b", "c"}


def test_wrong_arguments_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["affinity", "--published", str(tmp_path / "nothing.py")])
    with pytest.raises(SystemExit):
        main()
    assert "published must be a Python file" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="tests what is said where there is no device")
def test_a_device_that_is_not_there_is_named():
    assert chosen("auto") == torch.device("cpu")
    with pytest.raises(ValueError, match="--device cuda needs a CUDA device, and PyTorch finds none"):
        chosen("cuda")


def test_results_are_named_after_the_device(monkeypatch):
    assert result_name(torch.device("cpu")) == "affinity.json"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200 (SXM)")
    assert result_name(torch.device("cuda")) == "affinity-nvidia-h200-sxm.json"
