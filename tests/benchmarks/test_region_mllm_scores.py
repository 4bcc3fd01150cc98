import numpy as np
import pytest

from benchmarks.region_mllm_scores import beside, count, difference, merge, share
from benchmarks.region_mllm_world import Asked


def asked(kind: str, image: int, answer: str) -> Asked:
    return Asked(image=image, kind=kind, answer=answer, sample=None, base=None)  # type: ignore[arg-type]


def test_counts_by_kind_and_image():
    items = [asked("a", 0, "Yes."), asked("a", 2, "No."), asked("b", 2, "small red circle")]
    found = count(items, ["yes", "Yes.", "Small red  circle."], 3)
    assert found == {"a": [[1, 0, 1], [1, 0, 0]], "b": [[0, 0, 1], [0, 0, 1]]}
    assert merge(found, ["a", "b"]) == [[1, 0, 2], [1, 0, 1]]


def test_shares_by_hand():
    """Two seeds, two images with two questions and one."""
    found = share([[[2, 1], [2, 0]], [[2, 1], [1, 1]]])
    value, low, high = found["value"]
    assert found["by_seed"] == [0.6667, 0.6667]
    assert value == pytest.approx(2 / 3, abs=1e-4)
    assert low < value < high


def test_a_difference_is_paired():
    """One system answers one question more in every image: the interval has no width."""
    right = np.random.default_rng(0).integers(0, 3, (2, 6))
    plain, ours = ([[[4] * 6, list(map(int, row))] for row in part] for part in (right, right + 1))
    assert difference(ours, plain) == [0.25, 0.25, 0.25]


def test_baselines_stand_beside():
    result = {way: {"a": [[1, 1], [number, 0]]} for number, way in enumerate(("untrained", "trained"))}
    result["shuffled"] = {"a": [[1, 1], [0, 0]]}
    found = beside([result], {"all": ("a",)})["all"]
    assert found["questions"] == 2
    assert [found[way]["value"][0] for way in ("trained", "untrained", "shuffled")] == [0.5, 0.0, 0.0]
