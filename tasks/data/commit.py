"""The commit protocol: the only way an artifact becomes visible.

Stage in ``.tmp-<uuid>`` beside the target, write, fsync every file, write ``manifest.json`` (sha256 and
size of every file, schema, provenance), fsync the directory, rename, fsync the parent, verify the read-back.
Readers accept a directory only when its manifest verifies, so a kill at any instant leaves either the old
artifact or the new one. A manifest carries no clock: equal content gives equal bytes.
"""

import ctypes
import hashlib
import json
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.errors import IntegrityError, UnavailableError

MANIFEST = "manifest.json"
_STAGING = ".tmp-"
_CHUNK = 1 << 20
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of <fcntl.h> and <linux/fs.h>


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a committed directory contains."""

    schema: str
    """Name and version of the content, e.g. ``groundwork.checkpoint/1``."""
    files: dict[str, tuple[str, int]]
    """POSIX path relative to the directory -> (sha256 in hex, size in bytes)."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where the content came from; JSON values only."""

    def to_json(self) -> bytes:
        """Return the canonical bytes: sorted keys, one line per file."""
        document = {
            "schema": self.schema,
            "files": {name: {"sha256": sha, "size": size} for name, (sha, size) in self.files.items()},
            "provenance": self.provenance,
        }
        return (json.dumps(document, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()

    @property
    def sha256(self) -> str:
        """Identity of the whole directory: the hash of the manifest's canonical bytes."""
        return hashlib.sha256(self.to_json()).hexdigest()


def hash_file(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def commit_directory(
    target: Path,
    write: Callable[[Path], None],
    *,
    schema: str,
    provenance: dict[str, Any] | None = None,
) -> Manifest:
    """Make ``target`` appear whole, or not at all.

    Args:
        target: Directory to create. One that exists is replaced only after the new one is complete.
        write: Fills the staging directory it is given.
        schema: Name and version of the content.
        provenance: JSON values that say where the content came from.

    Returns:
        The manifest that was written, verified against the bytes on disk.

    Raises:
        IntegrityError: If what is on disk after the rename is not what was written.
        OSError: If the disk is full or fails; the target is then what it was before.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.parent / f"{_STAGING}{uuid.uuid4().hex}"
    staging.mkdir(mode=0o700)
    try:
        write(staging)
        manifest = describe(staging, schema=schema, provenance=provenance)
        _write_synced(staging / MANIFEST, manifest.to_json())
        for path in _walk(staging):
            _sync(path)
        for folder in _folders(staging):
            _sync(folder)
        _swap(staging, target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return verify_directory(target)


@contextmanager
def telling_of_disks(target: Path, *, resumes: bool = False) -> Iterator[None]:
    """Say what to do where a disk is full, or a file is closed to this user.

    Args:
        target: What was to be written; named where the system names no file.
        resumes: Whether the same command goes on where it stopped, or begins anew.

    Raises:
        UnavailableError: In place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        again = "Free space or grant access; the same command goes on where it stopped."
        anew = "Nothing was changed. Free space or grant access, then run the same command again."
        raise UnavailableError(
            f"{error.strerror or error}.", obj=str(error.filename or target), hint=again if resumes else anew
        ) from error


def commit_file(target: Path, content: bytes) -> None:
    """Replace one file atomically and durably."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.parent / f"{_STAGING}{uuid.uuid4().hex}"
    try:
        _write_synced(staging, content)
        staging.replace(target)
        _sync(target.parent)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise


def describe(folder: Path, *, schema: str, provenance: dict[str, Any] | None = None) -> Manifest:
    """Hash every regular file below a directory; a link or device is refused.

    Raises:
        IntegrityError: If the directory holds anything but regular files and directories.
    """
    files = {}
    for path in _walk(folder):
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST:
            files[name] = (hash_file(path), path.stat().st_size)
    return Manifest(schema=schema, files=dict(sorted(files.items())), provenance=provenance or {})


def read_manifest(folder: Path) -> Manifest:
    """Read a manifest without checking the files it names.

    Raises:
        IntegrityError: If there is no manifest or it cannot be parsed.
    """
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_bytes())
        files = {name: (entry["sha256"], entry["size"]) for name, entry in document["files"].items()}
        return Manifest(schema=document["schema"], files=files, provenance=document["provenance"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"no readable manifest ({type(error).__name__}: {error}).",
            obj=str(path),
            hint="The directory was never committed, or was damaged: make it again or pull it again.",
        ) from error


def verify_directory(folder: Path, *, schema: str | None = None) -> Manifest:
    """Check every byte of a committed directory against its manifest.

    Raises:
        IntegrityError: If a file is missing, extra, a link or changed, or if the schema differs.
    """
    manifest = read_manifest(folder)
    if schema is not None and manifest.schema != schema:
        raise IntegrityError(
            f"holds {manifest.schema!r}, expected {schema!r}.",
            obj=str(folder),
            hint="Use the release of Groundwork that wrote it, or make it again.",
        )
    found = {path.relative_to(folder).as_posix(): path for path in _walk(folder)}
    found.pop(MANIFEST, None)
    problems = [f"missing {name}" for name in sorted(manifest.files.keys() - found.keys())]
    problems += [f"not in the manifest: {name}" for name in sorted(found.keys() - manifest.files.keys())]
    for name, (sha, size) in manifest.files.items():
        if name in found and (found[name].stat().st_size != size or hash_file(found[name]) != sha):
            problems.append(f"changed {name}")
    if problems:
        raise IntegrityError(
            f"{len(problems)} problems in {len(manifest.files)} files: {'; '.join(problems[:10])}.",
            obj=str(folder),
            hint="Do not use it. Pull it again, or make it again.",
        )
    return manifest


def newest_valid(parent: Path, prefix: str) -> tuple[Path | None, list[str]]:
    """Find the committed directory ``<prefix><number>`` with the highest number that verifies.

    Returns:
        The directory, or None, and a sentence for each newer one that was skipped. Order is by number,
        never by clock.
    """
    skipped = []
    candidates = [path for path in parent.glob(f"{prefix}*") if path.name.removeprefix(prefix).isdigit()]
    for path in sorted(candidates, key=lambda path: int(path.name.removeprefix(prefix)), reverse=True):
        try:
            verify_directory(path)
        except IntegrityError as error:
            skipped.append(f"skipped {path.name}: {error.message}")
        else:
            return path, skipped
    return None, skipped


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            yield path
        elif not stat.S_ISDIR(mode):
            raise IntegrityError(
                "is a link or a special file.", obj=str(path), hint="Replace it by a regular file."
            )


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_dir()] + [folder]


def _swap(staging: Path, target: Path) -> None:
    """Rename into place; an existing target is exchanged in one system call, then removed."""
    if target.exists():
        _exchange(staging, target)
        _sync(target.parent)
        shutil.rmtree(staging)
    else:
        staging.rename(target)
        _sync(target.parent)


def _exchange(first: Path, second: Path) -> None:
    """Swap two directories atomically (Linux ``renameat2``); elsewhere two renames, the old one first."""
    exchange = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if exchange is not None and exchange(_HERE, bytes(first), _HERE, bytes(second), _EXCHANGE) == 0:
        return
    aside = second.with_name(f"{_STAGING}{uuid.uuid4().hex}")
    second.rename(aside)
    first.rename(second)
    aside.rename(first)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
