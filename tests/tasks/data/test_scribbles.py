"""Scribble files are read to the letter; whatever else an XML file can hold is refused by name."""

from pathlib import Path

import numpy as np
import pytest

from tasks.data.label_maps import UNLABELLED
from tasks.data.scribbles import MAX_BYTES, VOC_CLASSES, VOC_VALUES, read_scribbles
from tasks.errors import DataError

FILE = Path(__file__).resolve().parents[2] / "data" / "weak" / "2008_000001.xml"
TEXT = FILE.read_text()
POINT = "<point><X>3</X><Y>4</Y></point>"
TAG = "<tag>plane</tag>"


def document(polygons=f"<polygon>{TAG}{POINT}</polygon>", size="<width>24</width><height>16</height>"):
    return f"<annotation><size>{size}</size>{polygons}</annotation>"


def fails(folder, text, **keywords):
    path = folder / "scribbles.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError) as caught:
        read_scribbles(path, **keywords)
    assert caught.value.obj.startswith(str(path))
    assert caught.value.hint == "Correct the file, or fetch it again."
    return caught.value.obj.removeprefix(str(path)).strip(), caught.value.message


def test_the_form_of_the_authors():
    scribbles = read_scribbles(FILE, height=16, width=24)
    assert (scribbles.height, scribbles.width, scribbles.outside) == (16, 24, 0)
    assert [VOC_CLASSES[stroke.value] for stroke in scribbles.strokes] == [
        "aeroplane",
        "background",
        "person",
    ]
    assert scribbles.strokes[0].points_xy.tolist() == [[3, 4], [12, 4], [12, 8]]
    drawing = scribbles.draw()
    assert drawing.labels.shape == (16, 24)
    plane = np.zeros((16, 24), dtype=bool)
    plane[3:6, 2:14] = True
    plane[3:10, 11:14] = True
    assert ((drawing.labels == 1) == plane).all(), "open: no line leads back from the last point to the first"
    assert (drawing.labels[1:15, 19:22] == 0).all()
    assert (drawing.labels[11:14, 4:7] == 15).all()
    assert (drawing.labels != UNLABELLED).sum() == plane.sum() + 14 * 3 + 9
    assert drawing.contested == 0


def test_every_name_has_its_place_in_voc():
    assert len(VOC_CLASSES) == 21
    written = ("plane", "bike", "table", "plant", "monitor", "motorbike")
    assert {name: VOC_VALUES[name] for name in written} == {
        "plane": 1, "bike": 2, "table": 11, "plant": 16, "monitor": 20, "motorbike": 14,
    }  # fmt: skip
    assert [VOC_VALUES[name] for name in VOC_CLASSES] == list(range(21))


def test_other_classes_can_be_named(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(document(f"<polygon><tag> sky </tag>{POINT}</polygon>"))
    assert read_scribbles(path, values={"sky": 7}).strokes[0].value == 7


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_declared_encodings_are_read(tmp_path, encoding):
    path = tmp_path / "a.xml"
    path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>\n{TEXT}'.encode(encoding))
    assert len(read_scribbles(path).strokes) == 3


def test_points_outside_are_refused_unless_they_shall_be_clipped(tmp_path):
    outside = document(
        f"<polygon>{TAG}<point><X>20</X><Y>4</Y></point>\n<point><X>24</X><Y>4</Y></point></polygon>"
    )
    assert fails(tmp_path, outside) == (
        "line 2",
        "<point> (24, 4) of 'plane' lies outside the image of 24x16.",
    )
    scribbles = read_scribbles(tmp_path / "scribbles.xml", outside="clip")
    assert scribbles.outside == 1
    assert (scribbles.draw().labels[3:6, 19:24] == 1).all()
    assert "(-1, 4)" in fails(tmp_path, outside.replace("24</X>", "-1</X>"))[1]
    assert "(20, 16)" in fails(tmp_path, outside.replace("4</Y>", "16</Y>"))[1]


def test_another_size_than_the_image(tmp_path):
    assert fails(tmp_path, TEXT, height=16, width=25) == ("line 10", "<width> is 24, the image has 25.")
    assert fails(tmp_path, TEXT, height=15, width=24) == ("line 10", "<height> is 16, the image has 15.")


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ("", "<annotation> has no <polygon>: there is no scribble."),
        (f"<polygon>{TAG}</polygon>", "<polygon> of 'plane' has no <point>."),
        (f"<polygon>{POINT}</polygon>", "<polygon> must have one <tag>, got 0."),
        (f"<polygon>{TAG}{TAG}{POINT}</polygon>", "<polygon> must have one <tag>, got 2."),
        (
            f"<polygon><tag>cloud</tag>{POINT}</polygon>",
            "<tag> 'cloud' is no class; classes: background, aer",
        ),
        (f"<polygon><tag/>{POINT}</polygon>", "<tag> '' is no class; classes: "),
        (f"<polygon>{TAG}<point><X>1</X></point></polygon>", "<point> must have one <Y>, got 0."),
        (
            f"<polygon>{TAG}<point><X>1</X><X>1</X><Y>1</Y></point></polygon>",
            "<point> must have one <X>, got 2.",
        ),
        (
            f"<polygon>{TAG}<point><X>1.5</X><Y>1</Y></point></polygon>",
            "<X> must be a whole number of at most 6 digits, got '1.5'.",
        ),
        (
            f"<polygon>{TAG}<point><X>1</X><Y>12345678</Y></point></polygon>",
            "<Y> must be a whole number of at most 6 digits, got '12345678'.",
        ),
        (
            f"<polygon>{TAG}<point><X>\u0661</X><Y>1</Y></point></polygon>",
            "<X> must be a whole number of at most 6 digits, got '\u0661'.",
        ),
        (
            f"<polygon>{TAG}{POINT}<deleted>1</deleted></polygon>",
            "element <deleted> in <annotation/polygon> is unknown; allowed: <tag>, <point>.",
        ),
        (
            f"<polygon>{TAG}<point><X><b>1</b></X><Y>1</Y></point></polygon>",
            "element <b> in <annotation/polygon/point/X> is unknown; allowed: none.",
        ),
        (
            "<object/>",
            "element <object> in <annotation> is unknown; allowed: <size>, <polygon>.",
        ),
        (f'<polygon hidden="1">{TAG}{POINT}</polygon>', "<polygon> must have no attribute, got 'hidden'."),
        (f"<polygon>3,4{TAG}{POINT}</polygon>", "<polygon> must hold elements alone, got '3,4'."),
    ],
)
def test_polygons_of_another_form(tmp_path, polygons, message):
    where, found = fails(tmp_path, document(polygons))
    assert where == "line 1"
    assert found.startswith(message)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ("<width>24</width>", "<size> must have one <height>, got 0."),
        ("<width>24</width><height>0</height>", "<size> must be 1 to 64000000 pixels, got 24x0."),
        (
            "<width>99999</width><height>99999</height>",
            "<size> must be 1 to 64000000 pixels, got 99999x99999.",
        ),
        ("<width>24</width><height>16</height></size><size>", "<annotation> must have one <size>, got 2."),
    ],
)
def test_sizes_of_another_form(tmp_path, size, message):
    assert fails(tmp_path, document(size=size)) == ("line 1", message)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "text",
    [
        f'<!DOCTYPE annotation [<!ENTITY l0 "ha">{LAUGHS}]><annotation>&l9;</annotation>',
        '<!DOCTYPE annotation [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
        '<!DOCTYPE annotation SYSTEM "http://127.0.0.1:9/a.dtd"><annotation/>',
        '<!DOCTYPE annotation [<!ENTITY % p SYSTEM "file:///etc/passwd">%p;]><annotation/>',
    ],
    ids=["billion laughs", "external entity", "external subset", "parameter entity"],
)
def test_a_document_type_is_refused_before_an_entity_exists(tmp_path, text):
    assert fails(tmp_path, text) == (
        "line 1",
        "declares the document type 'annotation'; scribbles need none.",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not well-formed XML: no element found, column 0."),
        ("<annotation>", "is not well-formed XML: no element found, column 12."),
        ("<annotation>&undefined;</annotation>", "is not well-formed XML: undefined entity, column 12."),
        ("<annotation></b>", "is not well-formed XML: mismatched tag, column 14."),
        (document() + "<annotation/>", "is not well-formed XML: junk after document element"),
        (
            b"<annotation>\xff</annotation>",
            "is not well-formed XML: not well-formed (invalid token), column 12.",
        ),
        ("<html/>", "element <html> as the first element is unknown; allowed: <annotation>."),
    ],
)
def test_files_that_are_something_else(tmp_path, text, message):
    where, found = fails(tmp_path, text)
    assert where == "line 1"
    assert found.startswith(message)


def test_what_is_skipped_may_hold_anything(tmp_path):
    path = tmp_path / "a.xml"
    deep = "<source>" + "<a>" * 5000 + "x" + "</a>" * 5000 + "</source>"
    path.write_text(document(f"{deep}<polygon>{TAG}{POINT}</polygon>"))
    assert len(read_scribbles(path).strokes) == 1


def test_size_and_absence(tmp_path):
    assert fails(tmp_path, b" " * (MAX_BYTES + 1)) == (
        "",
        f"has {MAX_BYTES + 1} bytes, scribbles of one image have at most {MAX_BYTES}.",
    )
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_scribbles(tmp_path / "absent.xml")
