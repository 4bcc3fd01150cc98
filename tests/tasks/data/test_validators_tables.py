"""One broken cell, one finding with its rule; a clean table, none."""

import pytest

from tasks.data.coco import CocoSplit
from tasks.data.validators_tables import check_tables, is_id


def splits():
    """Return two small clean splits as plain dictionaries."""
    return {
        name: {
            "images": [
                {"id": start + number, "file_name": f"{name}{number}.jpg", "width": 20, "height": 10}
                for number in range(2)
            ],
            "annotations": [
                {
                    "id": start + number,
                    "image_id": start + number % 2,
                    "category_id": 1 + number % 2,
                    "bbox": [],
                }
                for number in range(4)
            ],
            "categories": [{"id": 1, "name": "cell"}, {"id": 2, "name": "dust"}],
        }
        for name, start in (("train", 1), ("val", 11))
    }


def findings(documents):
    return list(
        check_tables(
            CocoSplit(
                name=name,
                file=f"annotations/instances_{name}.json",
                **{table: tuple(rows) for table, rows in document.items()},
            )
            for name, document in documents.items()
        )
    )


def test_clean_tables_have_no_findings():
    assert findings(splits()) == []


def cell(split, table, index, **values):
    return lambda documents: documents[split][table][index].update(values)


def without(split, table, index, name):
    return lambda documents: documents[split][table][index].pop(name)


def both(*changes):
    return lambda documents: [change(documents) for change in changes]


def clear(split, table):
    return lambda documents: documents[split][table].clear()


FAULTS = {
    "image id 0": (cell("train", "images", 1, id=0), {"id-invalid", "annotation-orphan"}, "got 0."),
    "text id": (cell("train", "annotations", 1, id="2"), {"id-invalid"}, "got '2'."),
    "float id": (cell("train", "annotations", 1, id=2.0), {"id-invalid"}, "got 2.0."),
    "bool id": (cell("train", "annotations", 1, id=True), {"id-invalid"}, "got True."),
    "list id": (cell("train", "annotations", 1, id=[2]), {"id-invalid"}, "got [2]."),
    "negative category id": (
        both(cell("train", "categories", 1, id=-1), cell("val", "categories", 1, id=-1)),
        {"id-invalid", "category-unknown"},
        "got -1.",
    ),
    "annotation id twice": (
        cell("train", "annotations", 3, id=1),
        {"id-duplicate"},
        "is also the id of annotations/instances_train.json entry 0; this one is entry 3.",
    ),
    "annotation id in both splits": (
        cell("val", "annotations", 0, id=1),
        {"id-duplicate"},
        "is also the id of annotations/instances_train.json entry 0; this one is entry 0.",
    ),
    "image id twice": (
        cell("train", "images", 1, id=1),
        {"id-duplicate", "annotation-orphan"},
        "is also the id of",
    ),
    "category id twice": (
        cell("train", "categories", 1, id=1),
        {"id-duplicate", "category-unknown", "category-mismatch"},
        "is also the id of",
    ),
    "orphan": (
        cell("val", "annotations", 0, image_id=1),
        {"annotation-orphan"},
        "image_id 1 is not in the file.",
    ),
    "text reference": (
        cell("val", "annotations", 0, image_id="11"),
        {"annotation-orphan"},
        "image_id '11' is not in the file.",
    ),
    "unknown category": (
        cell("val", "annotations", 0, category_id=3),
        {"category-unknown"},
        "category_id 3 is not in the file.",
    ),
    "crowd 2": (cell("val", "annotations", 0, iscrowd=2), {"iscrowd-invalid"}, "must be 0 or 1, got 2."),
    "crowd text": (
        cell("val", "annotations", 0, iscrowd="0"),
        {"iscrowd-invalid"},
        "must be 0 or 1, got '0'.",
    ),
    "no box": (without("val", "annotations", 0, "bbox"), {"field-missing"}, "lacks bbox."),
    "no size": (
        both(without("val", "images", 0, "width"), without("val", "images", 0, "height")),
        {"field-missing", "image-size-invalid"},
        "lacks width, height.",
    ),
    "size 0": (cell("val", "images", 0, width=0), {"image-size-invalid"}, "got (0, 10)."),
    "float size": (cell("val", "images", 0, width=20.0), {"image-size-invalid"}, "got (20.0, 10)."),
    "huge size": (cell("val", "images", 0, width=10**9), {"image-size-invalid"}, "got (1000000000, 10)."),
    "path": (cell("val", "images", 0, file_name="../a.jpg"), {"file-name-unsafe"}, "has an empty part"),
    "no name": (cell("val", "images", 0, file_name=None), {"file-name-unsafe"}, "is not text"),
    "file twice": (
        cell("val", "images", 1, file_name="val0.jpg"),
        {"file-duplicate"},
        "is also the file of image 11.",
    ),
    "renamed category": (
        cell("val", "categories", 0, name="Cell"),
        {"category-mismatch"},
        "category 1 is 'Cell' here and 'cell' in annotations/instances_train.json.",
    ),
    "swapped categories": (
        both(cell("val", "categories", 0, name="dust"), cell("val", "categories", 1, name="cell")),
        {"category-mismatch"},
        "category 1 is 'dust' here and 'cell' in",
    ),
    "extra category": (
        lambda documents: documents["val"]["categories"].append({"id": 3, "name": "moon"}),
        {"category-mismatch"},
        "category 3 is 'moon' here and None in",
    ),
    "same category name": (
        both(cell("train", "categories", 1, name="cell"), cell("val", "categories", 1, name="cell")),
        {"category-duplicate"},
        "the name 'cell' is used twice.",
    ),
    "category name of escapes": (
        both(cell("train", "categories", 0, name="\x1b[2J"), cell("val", "categories", 0, name="\x1b[2J")),
        {"category-name-invalid"},
        "name must be printable text",
    ),
    "blank category name": (
        both(cell("train", "categories", 0, name=" "), cell("val", "categories", 0, name=" ")),
        {"category-name-invalid"},
        "got ' '.",
    ),
    "class without data": (
        lambda documents: [row.update(category_id=1) for row in documents["train"]["annotations"]],
        {"class-empty"},
        "'dust' has 0 instances to learn from.",
    ),
    "no annotation": (clear("train", "annotations"), {"split-empty", "class-empty"}, "0 annotations."),
    "no image": (clear("val", "images"), {"split-empty", "annotation-orphan"}, "0 images."),
    "no category": (
        clear("val", "categories"),
        {"split-empty", "category-unknown", "category-mismatch"},
        "0 cat",
    ),
    "crowds only": (
        lambda documents: [row.update(iscrowd=1) for row in documents["val"]["annotations"]],
        {"split-empty"},
        "every annotation is a crowd.",
    ),
}


@pytest.mark.parametrize(("change", "rules", "sentence"), FAULTS.values(), ids=FAULTS.keys())
def test_faults(change, rules, sentence):
    documents = splits()
    change(documents)
    found = findings(documents)
    assert {finding.rule for finding in found} == rules
    assert any(sentence in finding.sentence for finding in found)
    assert all(finding.obj.startswith("annotations/instances_") for finding in found)


def test_everything_empty():
    documents = splits()
    for document in documents.values():
        for rows in document.values():
            rows.clear()
    assert [finding.rule for finding in findings(documents)] == ["split-empty"] * 6


def test_a_class_without_data_in_val_is_no_fault():
    documents = splits()
    for row in documents["val"]["annotations"]:
        row["category_id"] = 1
    assert findings(documents) == []


def test_ids():
    assert [is_id(value) for value in (1, 10**15, 0, -1, 1.0, "1", True, None, [1])] == [True] * 2 + [
        False
    ] * 7
