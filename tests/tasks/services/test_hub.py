"""Without a network: the cache is written by hand in the form of huggingface_hub."""

import errno

import huggingface_hub
import huggingface_hub.constants
import pytest

from tasks.data.clip_weights import PATTERNS
from tasks.errors import UnavailableError, UsageError
from tasks.services.hub import find_model_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def fill(cache):
    model = cache / "models--lab--clip-tiny"
    snapshot = model / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    return snapshot


def test_a_directory_is_itself(tmp_path):
    found = find_model_folder(str(tmp_path), patterns=PATTERNS)
    assert (found.folder, found.name, found.revision) == (tmp_path, None, None)


def test_a_name_is_taken_from_the_cache_with_its_revision(cache):
    snapshot = fill(cache)
    for wanted in ("lab/clip-tiny", f"lab/clip-tiny@{COMMIT}", "lab/clip-tiny@main"):
        found = find_model_folder(wanted, patterns=PATTERNS)
        assert found.folder == snapshot
        assert (found.name, found.revision) == ("lab/clip-tiny", COMMIT)


@pytest.mark.parametrize("wanted", ["lab/clip-other", "lab/clip-tiny@v2"])
def test_what_is_not_there_is_said_with_the_next_command(cache, wanted):
    fill(cache)
    with pytest.raises(UnavailableError, match="is no directory here, and the hub was not reached") as caught:
        find_model_folder(wanted, patterns=PATTERNS)
    assert caught.value.obj == wanted
    assert f"`hf download {wanted.partition('@')[0]} --local-dir clip`" in caught.value.hint


@pytest.mark.parametrize("wanted", ["./clip", "/models/clip", "a/b/c", "clip", "", "../x/y"])
def test_what_is_no_name_is_a_path_that_does_not_exist(cache, wanted):
    with pytest.raises(UsageError, match="is no directory, and no name of the hub") as caught:
        find_model_folder(wanted, patterns=PATTERNS)
    assert "owner/name@revision" in caught.value.hint


def test_a_disk_that_refuses_is_not_a_network(monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(UnavailableError, match=r"cannot be stored here .*No space left") as caught:
        find_model_folder("lab/clip-tiny", patterns=PATTERNS)
    assert "HF_HOME" in caught.value.hint
