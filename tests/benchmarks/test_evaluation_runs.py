import pytest

from benchmarks.evaluation_inputs import Size, write
from benchmarks.evaluation_runs import METHODS, QUANTITIES, measure

TINY = Size(images=6, objects=30, detections=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    write(TINY, folder)
    return folder


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_every_scorer_gives_the_same_twelve_numbers_off_a_fresh_process(folder, kind):
    expected = METHODS["pycocotools"](kind, folder)()()[0]
    assert list(expected) == list(QUANTITIES)
    for method in METHODS:
        assert METHODS[method](kind, folder)()()[0] == pytest.approx(expected, abs=1e-9), method


def test_a_process_measures_its_time_and_memory(folder):
    answer = measure("groundwork", "both", folder)
    assert answer["evaluate_s"] >= 0.0
    assert answer["peak_mb"] is None or answer["peak_mb"] > answer["above_input_mb"] >= 0
    assert (answer["rows_per_image"], answer["rows_matches"]) == (6, 24)
    assert set(answer["numbers"]) == set(QUANTITIES)
