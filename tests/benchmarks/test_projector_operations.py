import pytest

from benchmarks.projector_operations import BASELINE, Shape, counted, projectors

TINY = Shape(channels=32, grid=12, width=64, ffn=128, layers=1, heads=2, vocabulary=64, text=8)


@pytest.fixture(scope="module")
def document() -> dict:
    return counted(TINY)


def test_operations_are_those_of_the_matrices(document: dict) -> None:
    rows = {row["projector"]: row for row in document["projectors"]}
    assert rows.keys() == projectors(TINY).keys()
    mlp = rows[BASELINE]
    assert mlp["forward"] == 2 * 144 * (32 * 64 + 64 * 64)
    # Backward: both weights, and the inner values; the features need none.
    assert mlp["forward_and_backward"] == mlp["forward"] * 2 + 2 * 144 * 64 * 64
    assert mlp["parameters"] == 32 * 64 + 64 + 64 * 64 + 64
    assert rows["token_packer x2"]["parameters"] == 22_080
    packed = [rows[f"token_packer x{scale}"]["visual_tokens"] for scale in (2, 3, 4)]
    assert [mlp["visual_tokens"], *packed] == [144, 36, 16, 9]


def test_backward_costs_at_most_twice_the_way_forward(document: dict) -> None:
    for row in document["projectors"]:
        assert 1.5 * row["forward"] < row["forward_and_backward"] <= 3 * row["forward"]


def test_shares_are_of_the_whole_step(document: dict) -> None:
    counts = document["language_model"]["operations"]
    assert list(counts) == ["144", "36", "16", "9"]
    for row in document["projectors"]:
        language = counts[str(row["visual_tokens"])]
        assert language["prefill"] < language["alignment"] < language["training"]
        for step, own in (("prefill", "forward"), ("training", "forward_and_backward")):
            assert row["share"][step] == pytest.approx(row[own] / (row[own] + language[step]), abs=1e-5)
