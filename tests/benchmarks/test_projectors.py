import json
import sys

import pytest

from benchmarks.projector_operations import Shape, counted, projectors
from benchmarks.projectors import COMPARED, main, measured, table

TINY = Shape(channels=32, grid=12, width=64, ffn=128, layers=1, heads=2, vocabulary=64, text=8)


@pytest.fixture(scope="module")
def document() -> dict:
    return json.loads(json.dumps({"counted": counted(TINY), "measured": measured(TINY, runs=2)}))


def test_every_number_of_tokens_is_measured(document: dict) -> None:
    rows = document["measured"]["rows"]
    assert [row["projector"] for row in rows] == list(COMPARED)
    for row in rows:
        for step in ("prefill", "train"):
            numbers = row[step]
            seconds = numbers["step"]["median_ms"] / 1e3
            assert numbers["tokens_per_second"] == pytest.approx(
                (row["visual_tokens"] + 8) / seconds, rel=1e-2
            )
            assert numbers["projector_share"] > 0
    assert rows[0]["prefill"]["speed_over_mlp"] == 1.0


def test_the_tables_have_a_line_for_each(document: dict) -> None:
    lines = table(document).splitlines()
    assert len(lines) == 2 + len(projectors(TINY)) + 2 * len(COMPARED)


def test_what_is_there_is_kept(document: dict, tmp_path, monkeypatch, capsys) -> None:
    out = tmp_path / "projectors.json"
    out.write_text(json.dumps(document))
    monkeypatch.setattr(sys, "argv", ["projectors", "--out", str(out)])
    main()
    assert json.loads(out.read_text()) == document
    assert "token_packer x4" in capsys.readouterr().out
