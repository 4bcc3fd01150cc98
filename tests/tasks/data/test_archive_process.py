"""The process that looks into PyTorch files: what it returns, what it may not do, and how it dies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tasks.data import archive_process
from tasks.data.archive_process import index_apart
from tasks.data.torch_archive import index_archive
from tasks.errors import IntegrityError

ROOT = Path(__file__).resolve().parents[3]


def test_it_finds_what_the_reader_finds(tmp_path):
    path = tmp_path / "x.bin"
    torch.save(torch.nn.Linear(3, 2).half().state_dict(), path)
    with path.open("rb") as stream:
        expected = index_archive(stream, source="x")
    assert index_apart(path) == expected
    assert list(expected) == ["weight", "bias"]


def test_hostile_files_are_refused_and_nothing_is_run(tmp_path):
    mark, path = tmp_path / "ran", tmp_path / "x.bin"

    class Attack:
        def __reduce__(self):
            return os.system, (f"touch {mark}",)

    torch.save({"x": Attack()}, path)
    with pytest.raises(IntegrityError, match=r"holds the global posix\.system at byte") as caught:
        index_apart(path)
    assert caught.value.obj == str(path)
    assert "Nothing in it was run" in caught.value.hint
    assert not mark.exists()
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(IntegrityError, match="is not a whole zip"):
        index_apart(path)


LIMITED = """
import os, socket
from tasks.data.archive_process import _give_up_rights
_give_up_rights()
done = []
for name, attempt in {
    "open": lambda: open("/etc/hostname"),
    "write": lambda: open("mark", "w"),
    "socket": lambda: socket.socket(),
    "pipe": lambda: os.pipe(),
    "memory": lambda: bytearray(1 << 31),
}.items():
    try:
        attempt()
        done.append(name)
    except (OSError, MemoryError):
        pass
print(done)
"""


def test_it_can_open_no_file_and_no_connection(tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-c", LIMITED],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"
    assert not list(tmp_path.iterdir())


def test_a_reader_that_dies_refuses_the_file(tmp_path):
    missing = tmp_path / "x.bin"
    with pytest.raises(IntegrityError, match=r"ended its reader with 1 \(FileNotFoundError"):
        index_apart(missing)


def test_what_it_prints_is_not_trusted(tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(100))
    check = archive_process._checked
    good = ["w", "float32", [2, 2], [2, 1], 8]
    assert check(json.dumps({"tensors": [good]}).encode(), path)["w"].shape == (2, 2)
    for printed in (b"", b"[]", b"3", b"{}", b'{"tensors": [3]}', b'{"tensors": [["w"]]}', b'{"error": 3}'):
        with pytest.raises(IntegrityError, match="print what is no list of tensors"):
            check(printed, path)
    for place in (
        ["w", "float32", [2, 2], [2, 1], 85],
        ["w", "float32", [2, 2], [2, 1], -1],
        ["w", "object", [2], [1], 0],
        ["w", ["float32"], [2], [1], 0],
        ["w", "float32", "ab", "cd", 0],
    ):
        with pytest.raises(IntegrityError, match="made its reader print 'w' outside the file"):
            check(json.dumps({"tensors": [place]}).encode(), path)
    with pytest.raises(IntegrityError, match=r"^.*x\.bin: why what to do$"):
        check(json.dumps({"error": {"message": "why", "hint": "what to do"}}).encode(), path)


def test_a_reader_that_takes_too_long(tmp_path, monkeypatch):
    path = tmp_path / "x.bin"
    torch.save({"x": torch.zeros(1)}, path)
    monkeypatch.setattr(archive_process, "_WAIT_SECONDS", 0.001)
    with pytest.raises(IntegrityError, match=r"was not read in 0\.001 s"):
        index_apart(path)
