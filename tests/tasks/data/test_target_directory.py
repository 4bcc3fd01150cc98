import pytest

from tasks.data.commit import commit_directory
from tasks.data.target_directory import check_target
from tasks.errors import UsageError

SCHEMA = "groundwork.example/1"


def write(folder):
    (folder / "a.txt").write_text("a")


def test_new_empty_and_own_directories_may_be_written(tmp_path):
    check_target(tmp_path / "new" / "deep", schema=SCHEMA)
    (tmp_path / "empty").mkdir()
    check_target(tmp_path / "empty", schema=SCHEMA)
    commit_directory(tmp_path / "own", write, schema=SCHEMA)
    check_target(tmp_path / "own", schema=SCHEMA)


def fails(target):
    with pytest.raises(UsageError) as caught:
        check_target(target, schema=SCHEMA)
    assert caught.value.obj == str(target)
    return f"{caught.value.message} {caught.value.hint}"


def test_anything_else_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("file", "link"):
        assert fails(tmp_path / name) == (
            "is a link or a file; only an earlier 'groundwork.example/1' is replaced. "
            "Name a directory that does not exist."
        )
    message = fails(tmp_path)
    assert message.startswith(
        "holds files that this command did not write; only an earlier 'groundwork.example/1' is replaced: "
        "no readable manifest"
    )
    assert message.endswith("Move it away, or name another directory.")
    commit_directory(tmp_path / "other", write, schema="groundwork.other/1")
    assert "holds 'groundwork.other/1', expected 'groundwork.example/1'." in fails(tmp_path / "other")


def test_files_added_later_are_not_thrown_away(tmp_path):
    commit_directory(tmp_path / "own", write, schema=SCHEMA)
    (tmp_path / "own" / "notes.txt").write_text("mine")
    assert "1 problems in 1 files: not in the manifest: notes.txt." in fails(tmp_path / "own")
