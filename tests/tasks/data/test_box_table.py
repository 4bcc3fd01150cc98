import hashlib
import json

import pytest

from tasks.data.box_table import BoxTable, index_boxes
from tasks.errors import DataError


def document(**changes):
    return {
        "info": {"year": 2020},
        "images": [
            {"id": 7, "file_name": "b.jpg", "width": 30, "height": 20, "extra": [1]},
            {"id": 3, "file_name": "a.jpg", "width": 10, "height": 10},
        ],
        "licenses": [{"id": 1}],
        "annotations": [
            {"id": 5, "image_id": 3, "category_id": 2, "bbox": [0, 0, 4, 4], "note": "kept", "area": 3},
            {"id": 4, "image_id": 7, "category_id": 2, "bbox": [1.5, 2, 29.4, 4], "segmentation": "poison"},
            {"id": 6, "image_id": 7, "category_id": 9, "bbox": [1, 2, 3, 4], "iscrowd": 1},
        ],
        "categories": [{"id": 2, "name": "<b>x</b>"}, {"id": 9, "name": "y"}],
    } | changes


def index(folder, value):
    path = folder / "boxes.json"
    path.write_text(json.dumps(value))
    return path, index_boxes(path, folder / "boxes.db")


def test_rows_come_back_image_by_image_without_masks(tmp_path):
    value = document()
    path, sha256 = index(tmp_path, value)
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    table = BoxTable(tmp_path / "boxes.db")
    first, second = table.images()
    assert first.row == value["images"][0]
    assert first.size == (20, 30)
    assert [row["id"] for row in first.annotations] == [4, 6]
    assert "segmentation" not in first.annotations[0]
    assert first.box_xyxy(first.annotations[0]) == (1.5, 2.0, 30.0, 6.0)
    assert second.annotations == (
        {"id": 5, "image_id": 3, "category_id": 2, "bbox": [0, 0, 4, 4], "note": "kept"},
    )
    assert [image.row["id"] for image in table.images(1, 2)] == [3]
    assert list(table.image_rows()) == value["images"]
    assert table.image(3) == value["images"][1]
    assert table.categories() == value["categories"]
    assert table.rest() == {"info": {"year": 2020}, "licenses": [{"id": 1}]}
    assert table.count() == 2
    table.close()


def changed(table, place, **values):
    value = document()
    value[table][place] |= values
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (changed("images", 1, id=7), "id-duplicate: images entry 1: 7 appears a second time"),
        (changed("images", 1, file_name="b.jpg"), "file-duplicate: images entry 1: 'b.jpg' appears"),
        (changed("images", 0, file_name="../b.jpg"), "file-name-unsafe: .* has an empty part, '.' or '..'"),
        (changed("images", 0, width=0), "image-size-invalid"),
        (changed("images", 0, id=True), "id-invalid: images entry 0: .*got True"),
        (changed("annotations", 0, image_id=8), "annotation-orphan: annotation 5: image_id 8 is not"),
        (changed("annotations", 0, category_id=8), "category-unknown: annotation 5: category_id 8 is not"),
        (changed("annotations", 0, category_id="x"), "category_id must be an integer of at least 1"),
        (changed("annotations", 0, iscrowd=2), "iscrowd must be 0 or 1, got 2"),
        (changed("annotations", 0, bbox=[0, 0, 0, 4]), "box-invalid: annotation 5 of image 3"),
        (changed("annotations", 0, bbox=[0, 0, 14, 4]), "box-outside: annotation 5 of image 3"),
        (changed("annotations", 0, bbox="poison"), "box-invalid"),
        (
            changed("annotations", 0, score=0.5),
            "has score, .*: rename score to box_score, which is kept",
        ),
        (changed("categories", 0, name=" "), "category-name-invalid"),
        (document(info={"groundwork": {}}), "these are pseudo-labels already"),
        (document(info=3), "info-invalid: info: must be an object, got '3'"),
        (document(annotations=[]), "file-empty: annotations: 0 annotations"),
        (document(annotations=[{"id": 1}]), "field-missing: annotations entry 0: lacks image_id"),
    ],
)
def test_broken_rules_are_named(tmp_path, value, message):
    with pytest.raises(DataError, match=message) as caught:
        index(tmp_path, value)
    assert caught.value.obj == str(tmp_path / "boxes.json")
    assert "Correct the file" in caught.value.hint


def test_every_offence_counts_and_ten_are_shown(tmp_path):
    rows = [{"id": number, "image_id": 3, "category_id": 2, "bbox": [0, 0, -1, 1]} for number in range(1, 31)]
    with pytest.raises(DataError, match="30 box-invalid") as caught:
        index(tmp_path, document(annotations=rows))
    assert "and 20 more" in caught.value.message


def test_a_file_of_results_is_told_how_to_become_one_of_boxes(tmp_path):
    path = tmp_path / "results.json"
    rows = [{"image_id": 3, "category_id": 2, "bbox": [0, 0, 4, 4], "score": 0.5}]
    path.write_text(f"\n {json.dumps(rows)}")
    with pytest.raises(DataError, match="is a list, as files of results are") as caught:
        index_boxes(path, tmp_path / "boxes.db")
    assert "under 'annotations' of the file with 'images' and 'categories'" in caught.value.hint
    row = {"id": 9, "box_score": rows[0].pop("score"), **rows[0]}
    index(tmp_path, document(annotations=[row]))  # what the hint says is taken
    (image,) = BoxTable(tmp_path / "boxes.db").images(1, 2)
    assert image.annotations == (row,)
