"""PyTorch files are looked into by a process of its own, which can open nothing and gives back places alone.

The reader in ``tasks.data.torch_archive`` runs nothing of a file. This process is for the day on which that
is wrong: before it reads, it gives up memory, time, new files, new processes and, because a socket is an open
file, the network. What it prints is data that is checked again here.

The limits are those of POSIX, ``setrlimit``. They bind any user but root, who may raise them.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tasks.data.torch_archive import StoredTensor, index_archive, to_document
from tasks.errors import IntegrityError

_MEMORY = 1 << 30
"""Bytes of address space: the pickle and what is remembered of it."""
_PROCESSOR_SECONDS = 600
"""A shard of 10 GB is a matter of 10 s."""
_WAIT_SECONDS = 3600
_PACKAGES = Path(__file__).resolve().parents[2]


def index_apart(path: Path) -> dict[str, StoredTensor]:
    """Find the tensors of a PyTorch file.

    Returns:
        Places by name, in the order of the file, all of them inside it.

    Raises:
        IntegrityError: If the file is damaged, asks for anything but tensors, or exceeds the limits.
    """
    command = [sys.executable, "-P", "-m", "tasks.data.archive_process", str(path.resolve())]
    with tempfile.TemporaryDirectory() as empty:
        try:
            done = subprocess.run(
                command,
                cwd=empty,
                env={"PYTHONPATH": str(_PACKAGES), "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_WAIT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _refused(path, f"was not read in {_WAIT_SECONDS} s.") from error
    if done.returncode:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise _refused(path, f"ended its reader with {done.returncode} ({''.join(last)[:200]}).")
    return _checked(done.stdout, path)


def _checked(printed: bytes, path: Path) -> dict[str, StoredTensor]:
    """Read what the process printed, trusting none of it."""
    try:
        document = json.loads(printed)
        if "error" in document:
            error = document["error"]
            raise IntegrityError(str(error["message"]), obj=str(path), hint=str(error["hint"]))
        tensors = {
            str(name): StoredTensor(dtype, tuple(shape), tuple(stride), start)
            for name, dtype, shape, stride, start in document["tensors"]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(path, "made its reader print what is no list of tensors.") from error
    size = path.stat().st_size
    for name, tensor in tensors.items():
        if not tensor.fits(size):
            raise _refused(path, f"made its reader print {name!r} outside the file.")
    return tensors


def _refused(path: Path, message: str) -> IntegrityError:
    return IntegrityError(
        message, obj=str(path), hint="Do not use it: fetch it again, or ask its authors for safetensors."
    )


def _give_up_rights() -> None:
    """Lower what this process may use; it cannot be raised again."""
    for codec in ("latin-1", "raw-unicode-escape", "utf-8", "cp437", "ascii"):
        "".encode(codec)  # a codec is a file that is opened at its first use
    for kind, most in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_CPU, _PROCESSOR_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),  # those that are open stay so
    ):
        _, hard = resource.getrlimit(kind)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))


def main(path: str) -> None:
    """Print the places of a file's tensors, or why there are none, as JSON."""
    with Path(path).open("rb") as stream:
        _give_up_rights()
        document: dict[str, Any]
        try:
            document = {"tensors": to_document(index_archive(stream, source=path))}
        except IntegrityError as error:
            document = {"error": error.as_dict()}
        sys.stdout.write(json.dumps(document))
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
