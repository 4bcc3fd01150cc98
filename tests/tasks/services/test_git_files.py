import subprocess
from pathlib import Path

import pytest

from tasks.services.git_files import commits_of, file_at, files_at, find_commit


@pytest.fixture
def repository(tmp_path):
    """The project lies in a folder of the repository."""
    root = tmp_path / "project"
    (root / "data").mkdir(parents=True)
    git(tmp_path, "init", "-q")
    for number in (1, 2):
        (root / "data" / "it's.dvc").write_text(f"{number}\n")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", f"commit {number}")
        git(tmp_path, "tag", f"v{number}")
    return root


def git(folder, *arguments):
    who = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)


POINTER = Path("data/it's.dvc")


def test_a_file_at_a_tag_a_branch_and_an_abbreviation(repository):
    first, second = find_commit(repository, "v1"), find_commit(repository, "HEAD")
    assert len(first) == 40
    assert file_at(repository, first, POINTER) == b"1\n"
    assert file_at(repository, second, POINTER) == b"2\n"
    assert find_commit(repository, second[:9]) == second
    assert file_at(repository, first, Path("data/other.dvc")) is None
    assert files_at(repository, first, Path("data")) == [POINTER]
    assert files_at(repository, first, Path("nothing")) == []
    assert commits_of(repository, POINTER) == [second, first]


@pytest.mark.parametrize("name", ["", "v9", "--all", "-h", "HEAD HEAD", "v1\0", "HEAD:data", "v1..v2"])
def test_what_names_no_commit(repository, name):
    assert find_commit(repository, name) is None


def test_without_a_repository(tmp_path):
    assert find_commit(tmp_path, "HEAD") is None
    assert commits_of(tmp_path, POINTER) == []
