"""What is written is what is read."""

import numpy as np
import pytest

from tasks.data.commit import commit_directory, hash_file
from tasks.data.label_directory import open_labels
from tasks.data.label_maps import PADDING, UNLABELLED, read_label_map
from tasks.data.semantic_records import SemanticClasses
from tasks.errors import DataError
from tasks.operations.label_writing import LabelWriter, check_images, label_name

CLASSES = SemanticClasses(names=("road", "sky"), values=(3, 9))


def test_written_and_read(tmp_path):
    labels = np.full((4, 6), UNLABELLED, dtype=np.uint8)
    labels[0], labels[1, :3] = 9, PADDING
    said = {}

    def write(folder):
        writer = LabelWriter(folder, CLASSES, "train")
        for name in ("b/one.jpg", "two.png"):
            writer.add(name, sha256="0" * 64, pixels=np.zeros((4, 6, 3), np.uint8), labels=labels)
        said.update(writer.finish())

    commit_directory(tmp_path / "out", write, schema="some/1")
    found = open_labels(tmp_path / "out", "train")
    assert found.classes == CLASSES
    assert [record.label for record in found.records] == ["labels/b/one.png", "labels/two.png"]
    for record in found.records:
        path = tmp_path / "out" / record.label
        assert (read_label_map(path, values=CLASSES.values) == labels).all()
        assert hash_file(path) == record.label_sha256
        assert (record.height, record.width, record.sha256) == (4, 6, "0" * 64)
    assert (tmp_path / "out" / "sheet.jpg").stat().st_size > 100
    assert said == {
        "images": 2,
        "counts": {"labelled": 12, "pixels": 42, "share": round(12 / 42, 6)},
        "classes": [{"value": 9, "name": "sky", "labelled": 12, "images": 2}],
    }


def test_names_that_cannot_stand(tmp_path):
    assert label_name("a/b.c.jpeg") == "labels/a/b.c.png"
    check_images(["a.jpg", "b/a.jpg"], tmp_path)
    with pytest.raises(DataError, match=r"'a\.jpg' and 'A\.png' would have the same label map\."):
        check_images(["a.jpg", "A.png"], tmp_path)
    with pytest.raises(DataError, match=r"the name '\.\./a\.jpg' has an empty part, '\.' or '\.\.'\."):
        check_images(["../a.jpg"], tmp_path)
