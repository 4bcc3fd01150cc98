import json
import shutil
import subprocess

import pytest

from tasks.data.commit import verify_directory
from tasks.errors import IntegrityError, UnavailableError, UsageError
from tasks.operations.data_versions import open_version
from tasks.services.settings import Settings

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("release")]


def commit(root, tag):
    git = ["git", "-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    for arguments in (["add", "."], ["commit", "-q", "-m", tag], ["tag", tag]):
        subprocess.run([*git, *arguments], cwd=root, check=True, capture_output=True)


def test_a_version_is_pulled_by_its_digits_and_by_a_tag(copied):
    """The checkout lost its data and everything that it had noted; the remote and the history are left."""
    root, settings, _ = copied
    sha256 = verify_directory(root / "data" / "dataset").sha256
    assert open_version(sha256[:8], root, settings) == (root / "data" / "dataset", sha256)
    commit(root, "data-v1")
    shutil.rmtree(root / "data" / "dataset")
    shutil.rmtree(settings.home / "proofs")
    before = sorted(path for path in (root / "data").rglob("*"))
    said = []
    folder, found = open_version(sha256[:9], root, settings, say=said.append)
    assert found == sha256 == verify_directory(folder).sha256
    assert folder == settings.home / "data" / sha256[:16] / "dataset"
    assert [line.split(" dataset ")[0] for line in said] == ["looking up", "pulling"]
    assert open_version("data-v1", root, settings, say=said.append) == (folder, sha256)
    assert open_version("HEAD", root, settings, say=said.append) == (folder, sha256)
    assert len(said) == 2
    assert sorted(path for path in (root / "data").rglob("*")) == before
    victim = next(folder.glob("val/*.jpg"))
    victim.write_bytes(b"not what it was")
    assert open_version(sha256, root, settings, say=said.append) == (folder, sha256)
    assert len(said) == 3
    assert victim.read_bytes() != b"not what it was"


def test_a_remote_that_lost_the_version(copied):
    root, settings, _ = copied
    commit(root, "data-v1")
    for folder in (root / "data" / "dataset", settings.home / "proofs", settings.home / "remote"):
        shutil.rmtree(folder)
    with pytest.raises(UnavailableError, match=r"pull --quiet dataset/manifest\.json"):
        open_version("data-v1", root, settings)
    said = []
    with pytest.raises(UsageError, match="known datasets: none"):
        open_version("0123456789", root, settings, say=said.append)
    assert said[1].startswith("skipped: `dvc pull")


def test_ambiguous_and_unknown_versions_name_what_exists(tmp_path, monkeypatch):
    monkeypatch.delenv("GROUNDWORK_HOME", raising=False)
    settings = Settings.load(tmp_path)
    notes = settings.home / "proofs"
    notes.mkdir(parents=True)
    for letter in "12":
        sha256 = "abcdef01" + letter * 56
        (notes / f"{letter * 32}.dir.json").write_text(json.dumps({"manifest_sha256": sha256}))
    (notes / "broken.json").write_text("{")
    with pytest.raises(UsageError) as caught:
        open_version("abcdef01", tmp_path, settings)
    assert str(caught.value) == (
        "--data: 'abcdef01' names 2 datasets: abcdef0111111111, abcdef0122222222. "
        "Give more digits, see `groundwork data show`."
    )
    known = "known datasets: abcdef011111, abcdef012222. Name one of these or a git revision, or fetch the "
    for name, what in (
        ("v9", "no dataset and no git revision is named 'v9'"),
        ("abcdef0", "'abcdef0' has 7 digits, at least 8 are needed"),
        ("abcdef013", "no dataset and no git revision is named 'abcdef013'"),
    ):
        with pytest.raises(UsageError) as caught:
            open_version(name, tmp_path, settings)
        assert str(caught.value) == f"--data: {what}; {known}history: `git fetch --tags --unshallow`."


def test_revisions_that_name_no_version(tmp_path, monkeypatch):
    monkeypatch.delenv("GROUNDWORK_HOME", raising=False)
    settings = Settings.load(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "README").write_text("")
    commit(tmp_path, "bare")
    for tag, text in (("odd", "outs: []"), ("path", "outs:\n- md5: ../../x\n  path: dataset\n")):
        (tmp_path / "data" / "dataset.dvc").write_text(text)
        commit(tmp_path, tag)
    with pytest.raises(UsageError, match=r"revision 'bare' has no data/dataset\.dvc"):
        open_version("bare", tmp_path, settings)
    with pytest.raises(IntegrityError, match=r"does not name a version \(IndexError\)"):
        open_version("odd", tmp_path, settings)
    with pytest.raises(IntegrityError, match=r"names '\.\./\.\./x', expected 32 hex digits"):
        open_version("path", tmp_path, settings)
