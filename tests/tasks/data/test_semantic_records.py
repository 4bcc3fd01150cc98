"""Records and tables of classes come back as they were written, or not at all."""

import json

import pytest

from tasks.data.semantic_records import (
    SemanticClasses,
    SemanticRecord,
    dump_semantic_records,
    read_classes,
    read_semantic_records,
)
from tasks.errors import DataError

RECORD = SemanticRecord(
    image="train/a.jpg",
    label="labels/a.png",
    height=4,
    width=5,
    sha256="a" * 64,
    label_sha256="b" * 64,
    split="train",
)
CLASSES = SemanticClasses(names=("cat", "wall"), values=(17, 199), background=(199,), void=(0,))


def changed(**changes):
    return (json.dumps(RECORD.to_json() | changes) + "\n").encode()


def test_round_trip(tmp_path):
    other = SemanticRecord(**{**RECORD.to_json(), "image": "train/b.jpg"})
    (tmp_path / "a.jsonl").write_bytes(dump_semantic_records([RECORD, other]))
    assert read_semantic_records(tmp_path / "a.jsonl") == [RECORD, other]
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES.to_json()))
    assert read_classes(tmp_path / "classes.json") == CLASSES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty or was cut off: the last line does not end."),
        (dump_semantic_records([RECORD])[:-1], "is empty or was cut off: the last line does not end."),
        (b"5\n", "is no record: a record must be an object, got int."),
        (b"{}\n", "is no record: a record must have 'image' of type str, got None."),
        (changed(height=True), "is no record: a record must have 'height' of type int, got True."),
        (changed(split=""), "is no record: split must have a name."),
        (changed(other=1), "is no record: a record has no 'other'."),
        (changed(width=0), "is no record: image size must be positive, got 0x4."),
        (changed(label="../a.png"), "is no record: label '../a.png' has an empty part, '.' or '..'."),
        (changed(image="/a.jpg"), "is no record: image '/a.jpg' is empty, absolute, or has a backslash."),
        (changed(sha256="A" * 64), f"is no record: sha256 must be 64 hex digits, got '{'A' * 64}'."),
        (changed(label_sha256="ab"), "is no record: label_sha256 must be 64 hex digits, got 'ab'."),
        (changed() * 2, "is no record: image 'train/a.jpg' appears a second time."),
        (changed() + b'{"a": NaN}\n', "invalid JSON at byte 6: NaN is not a JSON number."),
    ],
)
def test_broken_records_are_named(tmp_path, content, message):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_semantic_records(path)
    assert caught.value.message == message
    assert caught.value.obj.startswith(str(path))
    lines = content.count(b"\n")
    assert caught.value.obj.endswith(f" line {lines}" if "cut off" not in message else "a.jsonl")


def test_an_absent_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file or directory"):
        read_semantic_records(tmp_path / "a.jsonl")


DOCUMENT = CLASSES.to_json()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the document must be an object, got list."),
        (DOCUMENT | {"schema": "x"}, "schema is 'x', expected 'groundwork.classes/1'."),
        (DOCUMENT | {"void": ["a"]}, "void must be whole numbers, got ['a']."),
        (DOCUMENT | {"classes": []}, "needs a name for each class, got 0 and 0."),
        (
            DOCUMENT | {"classes": [{"value": 1, "background": True}]},
            "a class must have a 'name' that is not",
        ),
        (
            DOCUMENT | {"classes": [{"value": 1, "name": "a"}]},
            "a class must have 'background' of type bool, got None.",
        ),
    ],
)
def test_broken_tables_are_named(tmp_path, document, message):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError) as caught:
        read_classes(path)
    assert caught.value.message.startswith(f"is no table of classes: {message}")
    assert caught.value.obj == str(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": ("cat",)}, "needs a name for each class, got 1 and 2."),
        ({"values": (17, 254)}, "values must be 0 to 253, got 254."),
        ({"void": (-1,)}, "values must be 0 to 253, got -1."),
        ({"values": (17, 17)}, "value 17 stands for two classes."),
        ({"void": (17,)}, "value 17 stands for two classes."),
        ({"names": ("cat", "cat")}, "name 'cat' stands for two classes."),
        ({"background": (3,)}, "background 3 is no class."),
    ],
)
def test_bytes_with_two_meanings(changes, message):
    values = {"names": ("cat", "wall"), "values": (17, 199), "background": (199,), "void": (0,)}
    with pytest.raises(ValueError, match=message):
        SemanticClasses(**(values | {"background": ()} if "values" in changes else values) | changes)
