"""From the name of a dataset version to a verified directory of it; the data of the checkout stays as it is.

A version is named by the sha256 of its manifest, as ``groundwork data show`` prints it, or by a git revision
whose ``data/dataset.dvc`` names it.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.data.commit import commit_file, read_manifest, verify_directory
from tasks.data.importing import DATASET_SCHEMA
from tasks.errors import GroundworkError, IntegrityError, UnavailableError, UsageError
from tasks.operations import layout
from tasks.services import dvc
from tasks.services.dvc_process import run_quietly
from tasks.services.git_files import commits_of, file_at, find_commit
from tasks.services.settings import Settings, private_directory

POINTER = layout.DATASET.with_name(f"{layout.DATASET.name}.dvc")
_SHA256 = re.compile(r"[0-9a-f]{8,64}")
_CONTENT_HASH = re.compile(r"[0-9a-f]{32}\.dir")
_SHOWN = 12
"""Digits by which a message names a version."""
_STRANGER = """[core]
    remote = storage
    no_scm = true
    analytics = false
    check_update = false
    site_cache_dir = .dvc/site
[cache]
    type = "reflink,copy"
['remote "storage"']
    verify = true
"""
"""Configuration of an empty DVC repository that asks the remote as a stranger would."""


def open_version(
    data: str, repository: Path, settings: Settings, *, say: Callable[[str], None] = lambda _: None
) -> tuple[Path, str]:
    """Find a version and bring it here.

    Args:
        data: At least 8 digits of the sha256 of a dataset, or a git revision.
        repository: Root of the project. Nothing in it is changed.
        settings: Where the remote is, and where a version is kept once it was pulled.
        say: Told what is going on.

    Returns:
        The directory, every byte of which was checked, and the sha256 of its manifest.

    Raises:
        UsageError: If no version is named so, or more than one.
        UnavailableError: If the remote lacks the version or does not answer.
        IntegrityError: If the bytes are not those of the version.
    """
    sha256, content_hash = _resolve(data, repository, settings, say)
    here = repository / layout.DATASET
    if _holds(here, sha256):
        return here, verify_directory(here, schema=DATASET_SCHEMA).sha256
    kept = settings.home / "data" / sha256[:16] / layout.DATASET.name
    if _is_whole(kept, sha256):
        return kept, sha256
    if content_hash is None:
        raise UnavailableError(
            f"the checkout does not hold dataset {sha256[:_SHOWN]} any more.",
            obj=str(here),
            hint="Import it again: `groundwork data add FOLDER`.",
        )
    say(f"pulling dataset {sha256[:_SHOWN]}")
    _pull(content_hash, sha256, kept, settings)
    return kept, sha256


def _resolve(
    data: str, repository: Path, settings: Settings, say: Callable[[str], None]
) -> tuple[str, str | None]:
    """Return the sha256 of the version and DVC's name of the same bytes."""
    known = _known(repository, settings)
    found = _matching(data, known)
    commit = find_commit(repository, data)
    pointer = None if commit is None else file_at(repository, commit, POINTER)
    if pointer is not None:
        content_hash = _content_hash(pointer, f"{POINTER} at {data}")
        sha256 = _learn(content_hash, settings)
        if set(found) - {sha256}:
            raise _ambiguous(data, [*found, sha256])
        return sha256, content_hash
    if not found and _SHA256.fullmatch(data):
        known |= _from_history(repository, settings, set(known.values()), say)
        found = _matching(data, known)
    if len(found) > 1:
        raise _ambiguous(data, found)
    if not found:
        raise _unknown(data, commit, known)
    return found[0], known[found[0]]


def _matching(data: str, known: dict[str, str | None]) -> list[str]:
    return sorted(sha for sha in known if sha.startswith(data)) if _SHA256.fullmatch(data) else []


def _known(repository: Path, settings: Settings) -> dict[str, str | None]:
    """Return sha256 -> content hash of every version that this place has seen."""
    seen: dict[str, str | None] = {}
    here = repository / layout.DATASET
    if (here / "manifest.json").exists():
        seen[read_manifest(here).sha256] = None
    for folder in _notes(settings):
        for path in sorted(folder.glob("*.json")):
            if sha256 := _read_note(path):
                seen[sha256] = path.stem
    return seen


def _notes(settings: Settings) -> tuple[Path, Path]:
    """Return where it is written which sha256 a content hash has: proved copies, and versions looked up."""
    return settings.home / "proofs", settings.home / "data" / "known"


def _read_note(path: Path) -> str | None:
    try:
        sha256 = json.loads(path.read_bytes())["manifest_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return sha256 if isinstance(sha256, str) and len(sha256) == 64 else None


def _from_history(
    repository: Path, settings: Settings, seen: set[str | None], say: Callable[[str], None]
) -> dict[str, str | None]:
    """Look up the versions that any commit names; one that the remote lost cannot be asked for."""
    found: dict[str, str | None] = {}
    pointers = [(commit, file_at(repository, commit, POINTER)) for commit in commits_of(repository, POINTER)]
    names = dict.fromkeys(
        _content_hash(text, f"{POINTER} at {commit}") for commit, text in pointers if text is not None
    )
    for name in names:
        if name not in seen:
            say(f"looking up dataset {name[:_SHOWN]} of an earlier commit")
            try:
                found[_learn(name, settings)] = name
            except UnavailableError as error:
                say(f"skipped: {error.message}")
    return found


def _learn(content_hash: str, settings: Settings) -> str:
    """Return the sha256 of the dataset that DVC knows by its content hash; its manifest alone is pulled."""
    for notes in _notes(settings):
        if sha256 := _read_note(notes / f"{content_hash}.json"):
            return sha256
    with tempfile.TemporaryDirectory(prefix="groundwork-", dir=private_directory(settings.home)) as folder:
        stranger = _stranger(Path(folder), content_hash, settings)
        run_quietly(["pull", "--quiet", f"{layout.DATASET.name}/manifest.json"], stranger)
        sha256 = read_manifest(stranger / layout.DATASET.name).sha256
    note = json.dumps({"manifest_sha256": sha256}).encode()
    commit_file(settings.home / "data" / "known" / f"{content_hash}.json", note)
    return sha256


def _pull(content_hash: str, sha256: str, target: Path, settings: Settings) -> None:
    private_directory(target.parent)
    with tempfile.TemporaryDirectory(prefix="groundwork-", dir=target.parent) as folder:
        stranger = _stranger(Path(folder), content_hash, settings)
        manifest = dvc.pull(stranger / layout.DATASET.name, stranger)
        if manifest.sha256 != sha256 or manifest.schema != DATASET_SCHEMA:
            raise IntegrityError(
                f"holds {manifest.schema} {manifest.sha256[:_SHOWN]}, expected dataset {sha256[:_SHOWN]}.",
                obj=f"{settings.remote_url}: {content_hash}",
                hint="Do not use it. Restore the remote from a copy.",
            )
        shutil.rmtree(target, ignore_errors=True)  # it was looked at: it is absent or damaged
        (stranger / layout.DATASET.name).rename(target)


def _stranger(folder: Path, content_hash: str, settings: Settings) -> Path:
    """Make an empty DVC repository that names one version and shares no cache with the checkout."""
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text(_STRANGER, encoding="utf-8")
    pointer = f"outs:\n- md5: {content_hash}\n  hash: md5\n  path: {layout.DATASET.name}\n"
    (folder / POINTER.name).write_text(pointer, encoding="utf-8")
    dvc.configure_remote(settings.remote_url, folder, endpoint=settings.s3_endpoint_url)
    return folder


def _content_hash(pointer: bytes, where: str) -> str:
    try:
        found = str(YAML(typ="safe", pure=True).load(pointer.decode("utf-8"))["outs"][0]["md5"])
    except (YAMLError, ValueError, LookupError, TypeError) as error:
        message = f"does not name a version ({type(error).__name__})."
        raise IntegrityError(message, obj=where, hint="Name another revision.") from error
    if not _CONTENT_HASH.fullmatch(found):
        raise IntegrityError(
            f"names {found[:60]!r}, expected 32 hex digits and '.dir'.",
            obj=where,
            hint="Name another revision.",
        )
    return found


def _holds(folder: Path, sha256: str) -> bool:
    return (folder / "manifest.json").exists() and read_manifest(folder).sha256 == sha256


def _is_whole(folder: Path, sha256: str) -> bool:
    try:
        return folder.is_dir() and verify_directory(folder, schema=DATASET_SCHEMA).sha256 == sha256
    except GroundworkError:
        return False


def _ambiguous(data: str, found: list[str]) -> UsageError:
    return UsageError(
        f"{data!r} names {len(found)} datasets: {', '.join(sha[:16] for sha in found)}.",
        obj="--data",
        hint="Give more digits, see `groundwork data show`.",
    )


def _unknown(data: str, commit: str | None, known: dict[str, str | None]) -> UsageError:
    shown = ", ".join(sha[:_SHOWN] for sha in sorted(known)) or "none"
    if commit is not None:
        what = f"revision {data!r} has no {POINTER}"
    elif re.fullmatch(r"[0-9a-f]{1,7}", data):
        what = f"{data!r} has {len(data)} digits, at least 8 are needed"
    else:
        what = f"no dataset and no git revision is named {data!r}"
    return UsageError(
        f"{what}; known datasets: {shown}.",
        obj="--data",
        hint="Name one of these or a git revision, or fetch the history: `git fetch --tags --unshallow`.",
    )
