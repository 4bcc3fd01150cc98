"""Labels as others wrote them become one directory; what is missing or strange stops it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.data.commit import verify_directory
from tasks.data.label_directory import open_labels
from tasks.data.label_maps import UNLABELLED, encode_label_map, read_label_map
from tasks.data.points import draw_clicks, read_clicks
from tasks.data.scribbles import read_scribbles
from tasks.data.semantic_records import SemanticClasses
from tasks.errors import DataError, IntegrityError, UsageError
from tasks.operations.importing_weak import IMPORTED_SCHEMA, WeakImport, import_weak, read_listing
from tests.tiny.shapes import write_shapes_world

WEAK = Path(__file__).resolve().parents[2] / "data" / "weak"
SCRIBBLE = """<annotation><size><width>40</width><height>30</height><depth>3</depth></size>
<polygon><tag>{tag}</tag><point><X>3</X><Y>4</Y></point><point><X>{x}</X><Y>4</Y></point></polygon>
<polygon><tag>background</tag><point><X>5</X><Y>20</Y></point></polygon></annotation>"""
CITY = SemanticClasses(names=("road", "sky"), values=(0, 10), void=(200,))


@pytest.fixture
def folder(tmp_path):
    """Two images, scribbles, points and blocks on them, and a list."""
    for name in ("images", "xml", "blocks"):
        (tmp_path / name).mkdir()
    for number, name in enumerate(("one", "two")):
        pixels = np.full((30, 40, 3), 60 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.jpg")
        (tmp_path / "xml" / f"{name}.xml").write_text(SCRIBBLE.format(tag="plane", x=30))
        labels = np.full((30, 40), UNLABELLED, np.uint8)
        labels[:5, : 5 + number], labels[20:, 30:], labels[10, 10] = 10, 0, 200
        (tmp_path / "blocks" / f"{name}.png").write_bytes(encode_label_map(labels))
    clicks = {"one": [{"cls": 1, "x": 7.5, "y": 4, "rank": 1}], "two": [], "three": []}
    (tmp_path / "points.json").write_text(json.dumps(clicks))
    (tmp_path / "background.json").write_text(json.dumps({"two": [{"cls": 0, "x": 39, "y": 29}]}))
    (tmp_path / "classes.json").write_text(json.dumps(CITY.to_json()))
    (tmp_path / "train.txt").write_text("two\none\n")
    (tmp_path / "xml" / "LICENSE.txt").write_text("CC0")
    return tmp_path


def wanted(folder, form="scribbles", **changes):
    labels = {
        "scribbles": [folder / "xml"],
        "blocks": [folder / "blocks"],
        "points": [folder / "points.json", folder / "background.json"],
    }
    usual = {
        "form": form, "labels": tuple(labels[form]), "images": folder / "images", "out": folder / "out",
        "listing": folder / "train.txt", "classes": folder / "classes.json" if form == "blocks" else None,
    }  # fmt: skip
    return WeakImport(**(usual | changes))


def maps(folder):
    found = open_labels(folder / "out", "train")
    values = (*found.classes.values, *found.classes.void)
    return {record.image: read_label_map(folder / "out" / record.label, values=values)
            for record in found.records}  # fmt: skip


def test_scribbles(folder):
    (folder / "xml" / "extra.xml").write_text("not listed, not read")
    document = import_weak(wanted(folder))
    manifest = verify_directory(folder / "out", schema=IMPORTED_SCHEMA)
    assert document["manifest_sha256"] == manifest.sha256
    assert "LICENSE.txt" in manifest.files
    found = maps(folder)
    assert list(found) == ["two.jpg", "one.jpg"]
    expected = read_scribbles(folder / "xml" / "one.xml").draw().labels
    assert (found["one.jpg"] == expected).all()
    assert set(np.unique(expected)) == {0, 1, UNLABELLED}
    counts = document["counts"]
    assert (document["images"], counts["labelled"]) == (2, 2 * int((expected != UNLABELLED).sum()))
    assert (document["contested"], document["outside"]) == (0, 0)
    assert [row["name"] for row in document["classes"]] == ["background", "aeroplane"]
    said = []
    assert import_weak(wanted(folder), say=said.append) == document
    assert said == ["importing 2/2, scribbles"]


def test_points_of_two_files(folder):
    document = import_weak(wanted(folder, "points"))
    clicks = read_clicks(folder / "points.json", folder / "background.json")
    for name in ("one", "two"):
        expected = draw_clicks(clicks[name], 30, 40, source=name).labels
        assert (maps(folder)[f"{name}.jpg"] == expected).all()
    assert document["kind"] == "points"


def test_blocks_with_classes_and_names_of_their_own(folder):
    for name in ("one", "two"):
        (folder / "blocks" / f"{name}.png").rename(folder / "blocks" / f"{name}_gt.png")
        (folder / "images" / f"{name}.jpg").rename(folder / "images" / f"{name}_rgb.jpg")
    document = import_weak(
        wanted(folder, "blocks", label_name="{}_gt.png", image_name="{}_rgb.jpg", split="val")
    )
    assert document["split"] == "val"
    found = open_labels(folder / "out", "val")
    assert found.classes == CITY
    assert [record.image for record in found.records] == ["two_rgb.jpg", "one_rgb.jpg"]
    assert [row["labelled"] for row in document["classes"]] == [200, 55]


def test_points_outside_are_refused_or_clipped(folder):
    (folder / "xml" / "one.xml").write_text(SCRIBBLE.format(tag="plane", x=50))
    with pytest.raises(DataError, match=r"one\.xml line 2: <point> \(50, 4\) .* lies outside"):
        import_weak(wanted(folder))
    assert import_weak(wanted(folder, outside="clip"))["outside"] == 1
    (folder / "points.json").write_text(json.dumps({"one": [{"cls": 1, "x": -1, "y": 4}]}))
    (folder / "train.txt").write_text("one\n")
    with pytest.raises(DataError, match=r"image one click 1: \(-1, 4\) of class 1 lies outside"):
        import_weak(wanted(folder, "points"))
    assert import_weak(wanted(folder, "points", outside="clip"))["outside"] == 1


def test_images_without_labels_are_named(folder):
    (folder / "train.txt").write_text("two\none\nfour\n")
    for form in ("scribbles", "points", "blocks"):
        with pytest.raises(DataError, match=r"1 of 3 listed images have no labels: four\. Correct the list"):
            import_weak(wanted(folder, form))
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\n\ntwo\n", r"train\.txt line 2: is no name: ''\. Write one image name a line"),
        ("one \n", "line 1: is no name: 'one '"),
        ("one\none\n", "line 2: 'one' appears a second time"),
        ("", "line 1: is no name"),
        ("../one\n", r"the name '\.\./one\.jpg' has an empty part"),
    ],
)
def test_lists_that_are_none(folder, text, message):
    (folder / "train.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        import_weak(wanted(folder))


def test_a_list_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_listing(tmp_path / "none.txt")


def test_strange_content_is_named(folder):
    (folder / "xml" / "one.xml").write_text(SCRIBBLE.format(tag="ship", x=9))
    with pytest.raises(DataError, match=r"<tag> 'ship' is no class"):
        import_weak(wanted(folder))
    bare = SemanticClasses(names=("road", "sky"), values=(0, 10))
    (folder / "classes.json").write_text(json.dumps(bare.to_json()))
    with pytest.raises(DataError, match="1 pixels hold values that are no class"):
        import_weak(wanted(folder, "blocks"))
    with pytest.raises(DataError, match=r"image 'one' has clicks of classes that there are not: \[1\]"):
        import_weak(wanted(folder, "points", classes=folder / "classes.json"))
    Image.fromarray(np.zeros((31, 40, 3), np.uint8)).save(folder / "images" / "two.jpg")
    with pytest.raises(DataError, match="<height> is 30, the image has 31"):
        import_weak(wanted(folder))
    (folder / "points.json").write_text(json.dumps({"one": [], "two": []}))
    (folder / "background.json").write_text(json.dumps({"two": []}))
    with pytest.raises(DataError, match="no pixel of any image has a label"):
        import_weak(wanted(folder, "points"))
    (folder / "images" / "two.jpg").unlink()
    with pytest.raises(DataError, match=r"two\.jpg: no such file"):
        import_weak(wanted(folder))
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("form", "changes", "message"),
    [
        ("blocks", {"classes": None}, "--classes: blocks do not say what their bytes mean"),
        ("scribbles", {"labels": ()}, "--labels: scribbles lie in one folder, got 0"),
        ("points", {"label_name": "{}.json"}, "--label-name: points of all images are in one file"),
        ("scribbles", {"label_name": "a.xml"}, r"--label-name: must hold one {} .*, got 'a\.xml'"),
        ("scribbles", {"image_name": "{}{}.jpg"}, "--image-name: must hold one {}"),
        ("scribbles", {"split": ""}, "--split: must not be empty"),
    ],
)
def test_requests_that_do_not_fit_together(folder, form, changes, message):
    with pytest.raises(UsageError, match=message):
        wanted(folder, form, **changes)


def test_places(folder):
    with pytest.raises(UsageError, match="images: holds files that this command did not write"):
        import_weak(wanted(folder, out=folder / "images"))
    with pytest.raises(UsageError, match="none: is not a directory"):
        import_weak(wanted(folder, images=folder / "none"))
    world = write_shapes_world(folder / "world", num_train=1, num_val=1)
    with pytest.raises(IntegrityError, match="manifest"):
        open_labels(world, "train")


def test_files_in_the_form_of_the_authors(tmp_path):
    """The files for the readers' own tests, with images of their sizes."""
    scribbles = read_scribbles(WEAK / "2008_000001.xml")
    (tmp_path / "images").mkdir()
    pixels = np.zeros((scribbles.height, scribbles.width, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "images" / "2008_000001.jpg")
    (tmp_path / "list.txt").write_text("2008_000001\n")
    usual = {"images": tmp_path / "images", "listing": tmp_path / "list.txt", "out": tmp_path / "out"}
    first = import_weak(WeakImport(form="scribbles", labels=(WEAK,), **usual))
    assert first["counts"]["labelled"] > 0
    paths = WEAK / "clicks.json", WEAK / "clicks_background.json"
    assert import_weak(WeakImport(form="points", labels=paths, **usual))["counts"]["labelled"] > 0
