import subprocess

from tasks.services.git import code_version, identity


def git(folder, *arguments):
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)


def repository(folder):
    git(folder, "init", "-q")
    git(folder, "config", "user.name", "A B")
    git(folder, "config", "user.email", "a@example.org")
    (folder / "code.py").write_text("1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_a_clean_and_a_changed_tree(tmp_path):
    folder = repository(tmp_path)
    clean = code_version(folder)
    assert len(clean.commit) == 40
    assert not clean.dirty
    assert clean.label == clean.commit[:12]
    (folder / "dvc.lock").write_text("made by DVC\n")
    (folder / "data").mkdir()
    (folder / "data" / "dataset.dvc").write_text("made by DVC\n")
    assert not code_version(folder).dirty
    (folder / "code.py").write_text("2\n")
    assert code_version(folder).label.endswith(" + uncommitted changes")


def test_outside_a_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert code_version(tmp_path).commit == "none"
    assert code_version(tmp_path).dirty


def test_identity_is_the_committer(tmp_path):
    assert identity(repository(tmp_path)) == "A B <a@example.org>"
