"""Clicks are read as their authors wrote them and drawn by a rule that is written down."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.data.label_maps import UNLABELLED
from tasks.data.points import Click, draw_clicks, read_clicks
from tasks.errors import DataError

FOLDER = Path(__file__).resolve().parents[2] / "data" / "weak"
CLICK = {"cls": 1, "x": 3.5, "y": 2, "rank": 1}


def fails(folder, document, **keywords):
    path = folder / "clicks.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(DataError) as caught:
        read_clicks(path, **keywords)
    assert caught.value.hint == "Correct the file, or fetch it again."
    return caught.value.obj.removeprefix(f"{path}").strip(), caught.value.message


def test_objects_and_background_are_put_together():
    clicks = read_clicks(FOLDER / "clicks.json", FOLDER / "clicks_background.json")
    assert list(clicks) == ["2008_000001", "2008_000002", "2008_000003"]
    assert clicks["2008_000001"] == (
        Click(value=1, x=7.5, y=4.25, rank=1),
        Click(value=15, x=5.0, y=12.0, rank=1),
        Click(value=0, x=20.0, y=8.0),
    )
    assert clicks["2008_000002"] == ()


def test_discs_hold_the_pixels_whose_centre_is_near():
    clicks = read_clicks(FOLDER / "clicks.json", FOLDER / "clicks_background.json")["2008_000001"]
    drawing = draw_clicks(clicks, 16, 24, source="2008_000001")
    expected = np.full((16, 24), UNLABELLED)
    for row in range(16):
        for column in range(24):
            for click in clicks:
                if (column - click.x) ** 2 + (row - click.y) ** 2 <= 1.5**2:
                    expected[row, column] = click.value
    assert drawing.labels.tolist() == expected.tolist()
    assert (drawing.labels == 0).sum() == (drawing.labels == 15).sum() == 9


def test_clicks_of_two_classes_at_one_place_leave_no_label():
    drawing = draw_clicks([Click(value=1, x=4, y=4), Click(value=2, x=4, y=4)], 9, 9, source="a")
    assert (drawing.labels == UNLABELLED).all()
    assert drawing.contested == 9


def test_clicks_outside_are_refused_unless_they_shall_be_clipped():
    clicks = [Click(value=1, x=4, y=4), Click(value=2, x=9.0, y=4)]
    with pytest.raises(
        DataError, match=r"^image 7 click 2: \(9, 4\) of class 2 lies outside the image of 9x9\."
    ):
        draw_clicks(clicks, 9, 9, source="image 7")
    drawing = draw_clicks(clicks, 9, 9, source="image 7", outside="clip")
    assert (drawing.labels[3:6, 8] == 2).all()


def test_every_click_inside_marks_a_pixel():
    generator = np.random.default_rng(0)
    for x, y in generator.uniform(0, [5, 3], size=(300, 2)):
        assert (draw_clicks([Click(value=0, x=x, y=y)], 3, 5, source="a").labels == 0).any()


@pytest.mark.parametrize(
    ("document", "where", "message"),
    [
        ([], "", "must be an object of image ids and their clicks, and not empty."),
        ({}, "", "must be an object of image ids and their clicks, and not empty."),
        ({"a": {}}, "image 'a'", "must be a list, got dict."),
        ({"a": [CLICK, 5]}, "image 'a' click 2", "a click must be an object, got int."),
        (
            {"a": [{"cls": 1, "x": 1}]},
            "image 'a' click 1",
            "a click must have 'y' of type int or float, got None.",
        ),
        (
            {"a": [CLICK | {"cls": "dog"}]},
            "image 'a' click 1",
            "a click must have 'cls' of type int, got 'dog'.",
        ),
        (
            {"a": [CLICK | {"cls": True}]},
            "image 'a' click 1",
            "a click must have 'cls' of type int, got True.",
        ),
        ({"a": [CLICK | {"cls": 21}]}, "image 'a' click 1", "cls must be 0 to 20, got 21."),
        ({"a": [CLICK | {"cls": 255}]}, "image 'a' click 1", "cls must be 0 to 20, got 255."),
        (
            {"a": [CLICK | {"rank": 0}]},
            "image 'a' click 1",
            "rank must be a whole number of at least 1, got 0.",
        ),
        (
            {"a": [CLICK | {"rank": 1.5}]},
            "image 'a' click 1",
            "rank must be a whole number of at least 1, got 1.5.",
        ),
        (
            {"a": [CLICK | {"z": 1}]},
            "image 'a' click 1",
            "a click has the keys ['cls', 'rank', 'x', 'y'], got 'z' too.",
        ),
        (
            {"a": [CLICK | {"x": 1e7}]},
            "image 'a' click 1",
            "x and y must be pixels of an image, got (1e+07, 2).",
        ),
        ('{"a": [{"cls": 1, "x": NaN, "y": 2}]}', "", "invalid JSON at byte 23: NaN is not a JSON number."),
        ('{"a": [], "a": []}', "", "invalid JSON at byte 10: key 'a' appears twice in one object."),
    ],
)
def test_broken_files_are_named(tmp_path, document, where, message):
    assert fails(tmp_path, document) == (where, message)


def test_other_numbers_of_classes(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"a": [CLICK | {"cls": 150}]}))
    assert read_clicks(tmp_path / "a.json", num_classes=151)["a"][0].value == 150
    with pytest.raises(ValueError, match=r"^read_clicks needs at least one file\.$"):
        read_clicks()
