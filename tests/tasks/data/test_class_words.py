import json

import pytest

from tasks.data.class_words import read_class_words
from tasks.data.semantic_records import SemanticClasses
from tasks.errors import DataError


def write(folder, text):
    path = folder / "classes.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_names_words_and_surroundings(tmp_path):
    path = write(tmp_path, "# of a street\n\nbackground: sky,  grass\n traffic light \ncat: cat, kitten\n")
    found = read_class_words(path)
    assert found.classes == SemanticClasses(
        names=("background", "traffic light", "cat"), values=(0, 1, 2), background=(0,)
    )
    assert found.words == (("sky", "grass"), ("traffic light",), ("cat", "kitten"))
    assert found.every_word == ("sky", "grass", "traffic light", "cat", "kitten")
    assert found.owners == (0, 0, 1, 2, 2)


def test_classes_of_a_data_set_keep_their_bytes(tmp_path):
    classes = SemanticClasses(names=("wall", "person"), values=(7, 3), background=(7,), void=(9,))
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(classes.to_json()))
    found = read_class_words(path)
    assert found.classes == classes
    assert found.words == (("wall",), ("person",))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("cat\n", "1 classes: 2 to 253 are possible", "background: wall, floor"),
        ("\n".join(f"c{number}" for number in range(254)), "254 classes: 2 to 253", "one class a line"),
        ("cat\n: dog\n", r"line 2: a name or word is empty: ': dog'", "name: word, word"),
        ("cat: cat,,kitten\ndog\n", r"line 1: a name or word is empty", "name: word, word"),
        ("cat:\ndog\n", r"line 1: a name or word is empty: 'cat:'", "name: word, word"),
        ("cat, kitten\ndog\n", "line 1: has a comma but no colon", "Write `cat: cat, kitten`"),
        ("cat\ndog\ncat\n", "class 'cat' stands twice", "Leave one of them out"),
        ("cat: puss\ndog: Puss\n", "word 'puss' stands twice", "Leave one of them out"),
    ],
)
def test_what_is_no_list_of_classes(tmp_path, text, message, hint):
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_class_words(path)
    assert caught.value.obj.startswith(str(path))
    assert hint in caught.value.hint


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_class_words(tmp_path / "none.txt")
    (tmp_path / "classes.txt").write_bytes(b"cat\n\xff\n")
    with pytest.raises(DataError, match="is not UTF-8 at byte 4"):
        read_class_words(tmp_path / "classes.txt")
    (tmp_path / "classes.json").write_text("{}")
    with pytest.raises(DataError, match="is no table of classes"):
        read_class_words(tmp_path / "classes.json")
