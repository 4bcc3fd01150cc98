"""A kill, a full disk or a failing disk at any moment leaves the old artifact or the new one, whole."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.data.commit import (
    MANIFEST,
    Manifest,
    commit_directory,
    commit_file,
    hash_file,
    newest_valid,
    read_manifest,
    telling_of_disks,
    verify_directory,
)
from tasks.errors import IntegrityError, UnavailableError

SCHEMA = "groundwork.test/1"


def write_version(version):
    def write(folder):
        (folder / "sub").mkdir()
        (folder / "a.txt").write_text(f"a {version}" * 100)
        (folder / "sub" / "b.txt").write_text(f"b {version}")

    return write


def commit(target, version):
    return commit_directory(target, write_version(version), schema=SCHEMA, provenance={"version": version})


def version_of(target):
    """Return the version of a target that verifies, or None if there is none."""
    return verify_directory(target, schema=SCHEMA).provenance["version"] if target.exists() else None


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def in_child(action):
    """Run an action in a forked child; return the raw wait status."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def kill_at(step, action):
    """Run an action in a child that dies at its step-th audited event; say whether it died."""

    def run():
        left = step

        def hook(event, _arguments):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        action()

    status = in_child(run)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_commit_and_read_back(tmp_path):
    manifest = commit(tmp_path / "x", 1)
    assert sorted(manifest.files) == ["a.txt", "sub/b.txt"]
    assert verify_directory(tmp_path / "x", schema=SCHEMA) == manifest == read_manifest(tmp_path / "x")
    assert hash_file(tmp_path / "x" / MANIFEST) == manifest.sha256
    assert names(tmp_path) == ["x"]


def test_equal_content_has_equal_identity(tmp_path):
    first, second, third = (commit(tmp_path / name, 1) for name in ("x", "y", "x"))
    assert first.sha256 == second.sha256 == third.sha256
    assert commit(tmp_path / "x", 2).sha256 != first.sha256


def test_nan_has_no_place_in_a_manifest():
    with pytest.raises(ValueError, match="not JSON compliant"):
        Manifest(schema=SCHEMA, files={}, provenance={"loss": float("nan")}).to_json()


@pytest.mark.parametrize("old", [None, 1])
def test_killed_at_every_step(tmp_path, old):
    seen, step = set(), 0
    while True:
        step += 1
        parent = tmp_path / str(step)
        parent.mkdir()
        if old is not None:
            commit(parent / "x", old)
        died = kill_at(step, lambda target=parent / "x": commit(target, 2))
        found = version_of(parent / "x")
        assert found in ((old, 2) if died else (2,))
        assert all(name == "x" or name.startswith(".tmp-") for name in names(parent))
        commit(parent / "x", 2)
        assert version_of(parent / "x") == 2
        seen.add(found)
        shutil.rmtree(parent)
        if not died:
            break
    assert step > 30
    assert seen == {old, 2}


def test_commit_file_killed_at_every_step(tmp_path):
    target, step, died = tmp_path / "state.json", 0, True
    while died:
        step += 1
        commit_file(target, b"old")
        died = kill_at(step, lambda: commit_file(target, b"new"))
        assert target.read_bytes() in ((b"old", b"new") if died else (b"new",))
    assert step > 3


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    commit(tmp_path / "x", 1)

    def write(folder):
        (folder / "a.txt").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        commit_directory(tmp_path / "x", write, schema=SCHEMA)
    assert version_of(tmp_path / "x") == 1
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("limit", [10, 1000])
def test_file_size_limit_leaves_what_was_there(tmp_path, limit):
    """10 bytes stop the content, 1,000 stop neither file but the one that is larger."""
    commit(tmp_path / "x", 1)
    commit_file(tmp_path / "state", b"old")

    def limited(action):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(OSError, match="File too large"):
            action()

    def big(folder):
        (folder / "a.bin").write_bytes(b"x" * 5000)

    for action in (
        lambda: commit_directory(tmp_path / "x", big, schema=SCHEMA),
        lambda: commit_file(tmp_path / "state", b"y" * 5000),
    ):
        assert in_child(lambda action=action: limited(action)) == 0
    assert version_of(tmp_path / "x") == 1
    assert (tmp_path / "state").read_bytes() == b"old"
    assert names(tmp_path) == ["state", "x"]


def flip_bit(folder):
    content = bytearray((folder / "a.txt").read_bytes())
    content[50] ^= 1
    (folder / "a.txt").write_bytes(content)


def link_instead(folder):
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_bit, "1 problems in 2 files: changed a.txt"),
        (lambda folder: (folder / "a.txt").write_text(""), "changed a.txt"),
        (lambda folder: (folder / "a.txt").unlink(), "missing a.txt"),
        (lambda folder: (folder / "extra.py").write_text("x"), "not in the manifest: extra.py"),
        (lambda folder: (folder / MANIFEST).unlink(), "no readable manifest (FileNotFoundError"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "no readable manifest (JSONDecodeError"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "no readable manifest (TypeError"),
        (link_instead, "is a link or a special file."),
        (lambda folder: os.mkfifo(folder / "pipe"), "is a link or a special file."),
        (lambda folder: (folder / "loop").symlink_to(folder), "is a link or a special file."),
    ],
)
def test_damage_is_refused(tmp_path, damage, message):
    commit(tmp_path / "x", 1)
    damage(tmp_path / "x")
    with pytest.raises(IntegrityError) as caught:
        verify_directory(tmp_path / "x")
    assert message in caught.value.message
    assert caught.value.exit_code == 5


def test_another_schema_is_refused(tmp_path):
    commit(tmp_path / "x", 1)
    with pytest.raises(IntegrityError, match=r"holds 'groundwork.test/1', expected 'groundwork.test/2'\."):
        verify_directory(tmp_path / "x", schema="groundwork.test/2")


def test_a_link_cannot_be_committed(tmp_path):
    with pytest.raises(IntegrityError, match="is a link or a special file"):
        commit_directory(
            tmp_path / "x", lambda folder: (folder / "a").symlink_to("/etc/hostname"), schema=SCHEMA
        )
    assert names(tmp_path) == []


def test_the_newest_valid_is_by_number_not_by_clock(tmp_path):
    for number in (9, 10, 100):
        commit(tmp_path / f"step-{number}", number)
    flip_bit(tmp_path / "step-100")
    os.utime(tmp_path / "step-9")
    (tmp_path / "step-200").mkdir()
    (tmp_path / "step-x").mkdir()
    found, skipped = newest_valid(tmp_path, "step-")
    assert found == tmp_path / "step-10"
    assert [line.split(":")[0] for line in skipped] == ["skipped step-200", "skipped step-100"]
    assert newest_valid(tmp_path / "nothing", "step-") == (None, [])


CHILD = """
import sys
from pathlib import Path
from tests.tasks.data.test_commit import commit
commit(Path(sys.argv[1]), 2)
"""


def strace_works():
    command = ["strace", "-qq", "-e", "trace=none", "true"]
    return shutil.which("strace") is not None and subprocess.run(command, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not strace_works(), reason="strace is not installed or may not trace")
@pytest.mark.parametrize(
    ("call", "fault"),
    [
        ("fsync", "signal=KILL"),
        ("rename", "signal=KILL"),
        ("renameat2", "signal=KILL"),
        ("mkdir", "signal=KILL"),
        ("write", "signal=KILL"),
        ("unlinkat", "signal=KILL"),
        ("write", "error=ENOSPC"),
        ("fsync", "error=EIO"),
    ],
)
def test_faults_at_every_system_call(tmp_path, call, fault):
    """Kill, or fail, at the first, second, ... call until the commit gets through."""
    root = Path(__file__).parents[3]
    for number in range(1, 60):
        target = tmp_path / str(number) / "x"
        commit(target, 1)
        traced = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"inject={call}:{fault}:when={number}"]
        # The first calls of the interpreter itself may be hit as well: then nothing has happened yet.
        command = [*traced, sys.executable, "-B", "-c", CHILD, str(target)]
        status = subprocess.run(command, check=False, cwd=root, capture_output=True, timeout=60).returncode
        found = version_of(target)
        assert found in ((2,) if status == 0 else (1, 2))
        commit(target, 2)
        assert version_of(target) == 2
        if status == 0:
            return
    pytest.fail("the commit never got through")


@pytest.mark.parametrize(
    ("resumes", "hint"), [(False, "Nothing was changed"), (True, "goes on where it stopped")]
)
def test_a_disk_that_fails_is_told_with_what_to_do(tmp_path, resumes, hint):
    full = OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(UnavailableError, match="No space left on device") as caught,
        telling_of_disks(tmp_path / "out", resumes=resumes),
    ):
        raise full
    assert hint in caught.value.hint
    assert caught.value.obj == str(tmp_path / "out")
