"""Folders of label maps -> confusions -> mean IoU, with hand-checked numbers and every refusal."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.semantic import evaluate_semantic
from tasks.data.semantic_png import pair_label_maps, read_classes, read_names
from tasks.data.semantic_records import SemanticClasses
from tasks.errors import DataError

COCO = Path(__file__).resolve().parents[2] / "data" / "coco_panoptic"
CLASSES = {0: "road", 7: "sky", 300: "tree"}


def write(folder, **maps):
    folder.mkdir(exist_ok=True)
    for name, rows in maps.items():
        numbers = np.array(rows)
        kind = np.uint16 if numbers.max() > 255 else np.uint8
        Image.fromarray(numbers.astype(kind)).save(folder / f"{name}.png")
    return folder


def evaluate(files):
    counts = [files.count(place) for place in range(len(files.truth))]
    return evaluate_semantic(counts, classes=files.classes)


def fails(call, *arguments, **options):
    with pytest.raises(DataError) as caught:
        call(*arguments, **options)
    return caught.value.message


def test_by_hand(tmp_path):
    # road: true 4, found 3, right 3; sky: true 2, found 3, right 2; the pixel of 255 does not count.
    truth = write(tmp_path / "truth", a=[[0, 0, 0, 0], [7, 7, 255, 255]])
    found = write(tmp_path / "found", a=[[0, 0, 0, 7], [7, 7, 7, 255]])
    result = evaluate(pair_label_maps(truth, found, CLASSES))
    assert result.values["semantic.mean_iou"] == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert result.values["semantic.pixel_accuracy"] == pytest.approx(5 / 6)
    assert result.undefined_classes == {"tree": "no pixel is or is said to be of this class"}
    assert result.per_image["num_ignored"].tolist() == [2]


def test_a_missing_map_is_wrong_everywhere(tmp_path):
    truth = write(tmp_path / "truth", a=[[0, 7]], b=[[300, 300]])
    found = write(tmp_path / "found", b=[[300, 255]])
    files = pair_label_maps(truth, found, CLASSES)
    assert [path and path.name for path in files.predictions] == [None, "b.png"]
    result = evaluate(files)
    assert result.per_image["image_id"].tolist() == [1, 2]
    assert result.per_image["num_unpredicted"].tolist() == [2, 1]
    assert result.values["semantic.mean_iou"] == pytest.approx((0 + 0 + 0.5) / 3)


def test_maps_of_coco_against_themselves():
    classes = read_classes(COCO / "panoptic.json")
    assert len(classes) == 133
    assert list(classes)[:2] == [1, 2]
    files = pair_label_maps(COCO / "semantic", COCO / "semantic", classes, ignore_label=0)
    result = evaluate(files)
    assert result.values["semantic.mean_iou"] == 1.0
    assert [path.name for path in files.truth] == sorted(path.name for path in (COCO / "semantic").iterdir())


@pytest.mark.parametrize(("side", "row"), [("truth", [[0, 9, 9]]), ("found", [[0, 9, 9]])])
def test_unknown_labels_are_refused_on_both_sides(tmp_path, side, row):
    good = [[0, 7, 255]]
    truth = write(tmp_path / "truth", a=row if side == "truth" else good)
    found = write(tmp_path / "found", a=row if side == "found" else good)
    message = fails(pair_label_maps(truth, found, CLASSES).count, 0)
    assert message == (
        "2 pixels have a label that is neither a class nor the ignore label 255, first: 9 in row 0, column 1."
    )


def test_sizes_must_agree(tmp_path):
    truth, found = write(tmp_path / "truth", a=[[0, 7]]), write(tmp_path / "found", a=[[0, 7, 7]])
    assert fails(pair_label_maps(truth, found, CLASSES).count, 0) == "the file is 3x1, 2x1 is expected."


def test_folders_that_are_refused(tmp_path):
    truth, found = write(tmp_path / "truth", a=[[0]]), write(tmp_path / "found", b=[[0]], c=[[0]])
    message = fails(pair_label_maps, truth, found, CLASSES)
    assert message == "2 files are of no true map, first: ['b.png', 'c.png']."
    assert fails(pair_label_maps, truth, tmp_path / "none", CLASSES) == "is not a directory."
    (tmp_path / "empty").mkdir()
    assert fails(pair_label_maps, truth, tmp_path / "empty", CLASSES) == "is empty."
    (truth / "Thumbs.db").write_bytes(b"")
    assert fails(pair_label_maps, truth, truth, CLASSES) == (
        "holds 1 entries that are no .png, first: ['Thumbs.db']."
    )
    (truth / "Thumbs.db").unlink()
    for label in (7, -1, 70000):
        message = fails(pair_label_maps, truth, truth, CLASSES, ignore_label=label)
        assert message == f"the ignore label must be no class and from 0 to 65535, got {label}."


def test_classes(tmp_path):
    (tmp_path / "names.txt").write_text("road\nsky\r\ntree\n")
    assert read_classes(tmp_path / "names.txt") == {0: "road", 1: "sky", 2: "tree"}
    (tmp_path / "list.json").write_text(json.dumps([{"id": 4, "name": "b"}, {"id": 2, "name": "a"}]))
    assert list(read_classes(tmp_path / "list.json").items()) == [(2, "a"), (4, "b")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "road\nroad\n", "'road' appears twice: numbers and names must differ."),
        ("a.txt", "road\n\nsky\n", "the name of class 1 is blank."),
        ("a.json", "{}", "must be a list of classes, or have one under 'categories'."),
        ("a.json", "[]", "must name a class."),
        ("a.json", '[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]', "'1' appears twice"),
        ("a.json", '[{"id": 65536, "name": "a"}]', "must be from 0 to 65535, got 65536."),
        ("a.json", '[{"id": 1}]', "class 1 must have a name, a text."),
        ("a.json", '[{"id": "1", "name": "a"}]', "a class must have 'id' of type int, got '1'."),
        ("a.yaml", "a: 1", "must end in .txt or .json."),
    ],
)
def test_classes_that_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    assert message in fails(read_classes, tmp_path / name)


def test_names_that_cannot_be_read(tmp_path):
    assert fails(read_names, tmp_path / "none.txt") == "cannot be read: No such file or directory."
    (tmp_path / "a.txt").write_bytes(b"\xff\n")
    assert fails(read_names, tmp_path / "a.txt").startswith("is not UTF-8:")


def test_the_classes_of_label_maps_are_classes(tmp_path):
    known = SemanticClasses(names=("sky", "road"), values=(9, 3), void=(200,))
    (tmp_path / "classes.json").write_text(json.dumps(known.to_json()))
    assert read_classes(tmp_path / "classes.json") == {3: "road", 9: "sky"}
    (tmp_path / "classes.json").write_text(json.dumps(known.to_json() | {"void": ["a"]}))
    assert "void must be whole numbers" in fails(read_classes, tmp_path / "classes.json")
