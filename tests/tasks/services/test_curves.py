import json

import pytest

from tasks.errors import IntegrityError
from tasks.services.curves import Point, read_points


def test_every_number_of_a_line_is_a_point(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text(
        '{"step": 1, "loss": 2, "seconds": 0.5, "note": "x", "flag": true}\n{"step": 2, "loss": 1.5}\n'
    )
    assert list(read_points(path)) == [
        Point(name="train.loss", value=2.0, step=1, seconds=0.5),
        Point(name="train.loss", value=1.5, step=2, seconds=0.0),
    ]


def test_a_line_that_is_being_written_waits(tmp_path):
    path = tmp_path / "history.jsonl"
    path.write_text('{"step": 1, "loss": 2}\n{"step": 2, "lo')
    assert [point.step for point in read_points(path)] == [1]


def test_no_file_has_no_points(tmp_path):
    assert list(read_points(tmp_path / "none")) == []


def test_infinity_and_nan_are_no_points(tmp_path):
    path = tmp_path / "history.jsonl"
    values = {"step": 1, "a": float("nan"), "b": float("inf"), "c": 1.0}
    path.write_text(json.dumps(values) + "\n")
    assert [point.name for point in read_points(path)] == ["train.c"]


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "{}", '{"step": "1"}', '{"step": true}', '{"step": 1.5}', "null"]
)
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "history.jsonl"
    path.write_text(f'{{"step": 1, "loss": 2}}\n{line}\n')
    with pytest.raises(IntegrityError) as caught:
        list(read_points(path))
    assert str(caught.value) == (
        f"{path}: line 2 is not an object with an integer step. "
        "Remove the file and train again: `groundwork train`."
    )
