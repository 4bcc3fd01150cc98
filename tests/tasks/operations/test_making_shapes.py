"""The world as a command makes it: the same bytes for a seed, refusals before anything is written."""

import pytest

from tasks.data.commit import verify_directory
from tasks.errors import UsageError
from tasks.operations.making_shapes import make_shapes


def test_a_world_is_committed_and_made_again(tmp_path):
    changes = ["side=64", "most=2"]
    first = make_shapes(tmp_path / "a", seed=3, num_train=2, num_val=1, changes=changes)
    manifest = verify_directory(tmp_path / "a", schema="groundwork.shapes/1")
    assert first == {
        "out": str(tmp_path / "a"),
        "train": 2,
        "val": 1,
        "files": len(manifest.files),
        "sha256": manifest.sha256,
    }
    assert {"train/000001.png", "val/000003.png", "llava/train.json"} <= manifest.files.keys()
    again = make_shapes(tmp_path / "a", seed=3, num_train=2, num_val=1, changes=changes)
    assert again["sha256"] == first["sha256"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_val": 0}, "each split needs a scene and the seed is not negative, got 2, 0 and 0"),
        ({"seed": -1}, "got 2, 1 and -1"),
        ({"changes": ["sid=64"]}, r"--set sid=64: unknown key 'sid'\. Did you mean 'side'"),
        ({"changes": ["side=32"]}, "side must be at least 64"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, given, message):
    usual = {"seed": 0, "num_train": 2, "num_val": 1}
    with pytest.raises(UsageError, match=message):
        make_shapes(tmp_path / "a", **(usual | given))
    assert not (tmp_path / "a").exists()


def test_what_is_not_a_world_is_not_replaced(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds files that this command did not write"):
        make_shapes(tmp_path / "a", seed=0, num_train=2, num_val=1)
