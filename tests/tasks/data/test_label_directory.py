"""Only a whole directory of label maps is opened, and only the split that was asked for."""

import pytest

from tasks.data.commit import commit_directory, read_manifest
from tasks.data.label_directory import open_labels
from tasks.errors import IntegrityError, UsageError
from tests.tasks.operations.tiny_semantic import scribbled_world


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return scribbled_world(tmp_path_factory.mktemp("inputs"))[1]


def test_what_is_read(labels):
    found = open_labels(labels, "train")
    assert [record.image for record in found.records] == [f"train/train_{n:03d}.jpg" for n in range(3)]
    assert found.classes.names == ("background", "circle", "square", "triangle")
    assert found.sha256 == read_manifest(labels).sha256


def test_refusals(labels, tmp_path):
    with pytest.raises(UsageError, match=r"has no record of split 'val'; splits: train\."):
        open_labels(labels, "val")
    commit_directory(tmp_path / "other", lambda folder: (folder / "a.txt").write_text("a"), schema="other/1")
    with pytest.raises(UsageError, match=r"it has no records\.jsonl and no classes\.json\. Make one with"):
        open_labels(tmp_path / "other", "train")
    with pytest.raises(IntegrityError):
        open_labels(tmp_path, "train")
    (tmp_path / "other" / "a.txt").write_text("b")
    with pytest.raises(IntegrityError):
        open_labels(tmp_path / "other", "train")
