"""Copy a COCO dataset into the project: regular files only, every image listed, a manifest over all bytes."""

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from tasks.data.commit import (
    MANIFEST,
    Manifest,
    commit_directory,
    hash_file,
    read_manifest,
    telling_of_disks,
    verify_directory,
)
from tasks.data.strict_json import read_json
from tasks.errors import DataError, IntegrityError, UsageError

DATASET_SCHEMA = "groundwork.dataset/1"
SPLITS = ("train", "val")
_PAPERS = ("readme", "license", "licence", "notice", "attribution", "citation")
_REIMPORT = "Correct the source, then run `groundwork data add` again."


def annotation_file(split: str) -> str:
    """Return where a dataset keeps the annotations of a split."""
    return f"annotations/instances_{split}.json"


def import_coco(source: Path, target: Path, *, names: Mapping[str, str] | None = None) -> Manifest:
    """Copy the splits of a COCO dataset, with its README and licence, as one committed directory.

    Args:
        source: Holds ``annotations/instances_<split>.json`` and the images in ``<split>/``.
        target: Directory to create. A dataset that is already there with the same content is left alone.
        names: Our split -> the name in the source, e.g. ``{"train": "train2017", "val": "val2017"}``.

    Returns:
        The verified manifest; its ``sha256`` is the identity of the dataset. It depends on the bytes alone,
        not on the clock or on where ``source`` is.

    Raises:
        IntegrityError: If the source holds a link, a special file, or a name that leaves its directory.
        DataError: If a listed image is missing, an image is not listed, or annotations cannot be read.
        UsageError: If the source is no directory, or the target holds something else.
        UnavailableError: If a file cannot be read or written, e.g. because the disk is full.
    """
    _check_places(source, target)
    with telling_of_disks(target):
        return _import(source, target, names or {split: split for split in SPLITS})


def _import(source: Path, target: Path, names: Mapping[str, str]) -> Manifest:
    _refuse_links(source)
    plan = _plan(source, names)
    expected = Manifest(
        schema=DATASET_SCHEMA,
        files={name: (hash_file(path), path.stat().st_size) for name, path in sorted(plan.items())},
        provenance=_provenance(source, plan),
    )
    if _holds(target, expected):
        return expected

    def write(staging: Path) -> None:
        for name, path in plan.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            if _copy(path, staging / name) != expected.files[name][0]:
                raise IntegrityError("changed while it was copied.", obj=str(path), hint="Import it again.")

    return commit_directory(target, write, schema=DATASET_SCHEMA, provenance=expected.provenance)


def check_file_name(name: str) -> str | None:
    """Say what is wrong with a file name of an annotation file, or None.

    Quotes, spaces and a leading dash are fine: no name ever passes through a shell.
    """
    if not name or name.startswith("/") or "\\" in name or re.match(r"[A-Za-z]:", name):
        return "is empty, absolute, or has a backslash"
    if any(part in ("", ".", "..") for part in name.split("/")):
        return "has an empty part, '.' or '..'"
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        return "has a control character, or one that is not Unicode text"
    return None


def _check_places(source: Path, target: Path) -> None:
    if source.is_symlink() or not source.is_dir():
        raise UsageError(
            "is not a directory.",
            obj=str(source),
            hint="Name the directory that holds annotations/ and images.",
        )
    inner, outer = source.resolve(), target.resolve()
    if inner == outer or inner in outer.parents or outer in inner.parents:
        raise UsageError(f"overlaps the source {source}.", obj=str(target), hint="Name another target.")
    if target.is_symlink() or (target.exists() and not _is_dataset(target)):
        raise UsageError(
            "exists and was not made by an import.",
            obj=str(target),
            hint="Move it away, or name another target.",
        )


def _is_dataset(target: Path) -> bool:
    try:
        return read_manifest(target).schema == DATASET_SCHEMA
    except IntegrityError:
        return False


def _refuse_links(source: Path) -> None:
    """Refuse anything but files and directories: DVC follows links out of the tree, or drops them."""
    found = []
    for folder, folders, files in os.walk(source, onerror=_raise):
        for name in sorted(folders + files):
            mode = Path(folder, name).lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                kind = "link" if stat.S_ISLNK(mode) else "special file"
                found.append(f"{_shown(Path(folder, name).relative_to(source))} ({kind})")
    if found:
        raise IntegrityError(
            f"holds {len(found)} links or special files: {', '.join(sorted(found)[:10])}.",
            obj=str(source),
            hint="Replace each by a regular file: a link can lead anywhere.",
        )


def _raise(error: OSError) -> NoReturn:
    raise error


def _plan(source: Path, names: Mapping[str, str]) -> dict[str, Path]:
    """Choose the files to copy: name in the dataset -> file in the source."""
    plan = {path.name: path for path in sorted(source.iterdir()) if _is_paper(path)}
    for split in SPLITS:
        origin = names.get(split, split)
        annotations = source / annotation_file(origin)
        if not annotations.is_file():
            raise DataError("is missing.", obj=str(annotations), hint=_REIMPORT)
        plan[annotation_file(split)] = annotations
        listed = _listed(annotations)
        _check_listing(source / origin, listed)
        plan |= {f"{split}/{name}": source / origin / name for name in sorted(listed)}
    _refuse_collisions(source, plan)
    return plan


def _is_paper(path: Path) -> bool:
    return path.is_file() and path.name.lower().startswith(_PAPERS)


def _listed(annotations: Path) -> set[str]:
    """Return the file names that an annotation file lists, each checked."""
    document = read_json(annotations)
    try:
        names = [image["file_name"] for image in document["images"]]
    except (KeyError, TypeError) as error:
        message = f"is not a COCO annotation file: {type(error).__name__}: {error}."
        raise DataError(message, obj=str(annotations), hint=_REIMPORT) from error
    for name in names:
        reason = check_file_name(name) if isinstance(name, str) else "is not text"
        if reason is not None:
            raise IntegrityError(f"file_name {name!r} {reason}.", obj=str(annotations), hint=_REIMPORT)
    return set(names)


def _check_listing(folder: Path, listed: set[str]) -> None:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    problems = []
    for label, names in (("missing", listed - found), ("not listed", found - listed)):
        if names:
            first = ", ".join(_shown(Path(name)) for name in sorted(names)[:10])
            problems.append(f"{len(names)} images {label}: {first}")
    if problems:
        raise DataError(f"{'; '.join(problems)}.", obj=str(folder), hint=_REIMPORT)


def _refuse_collisions(source: Path, plan: Mapping[str, Path]) -> None:
    """Refuse names that are one name on a file system without case or with another Unicode form."""
    seen: dict[str, str] = {}
    for name in plan:
        key = unicodedata.normalize("NFC", name).casefold()
        if key in seen:
            raise IntegrityError(
                f"{seen[key]!r} and {name!r} are one file on some systems.", obj=str(source), hint=_REIMPORT
            )
        seen[key] = name


def _provenance(source: Path, plan: Mapping[str, Path]) -> dict[str, Any]:
    """Describe the origin by content alone, so that a copy elsewhere is the same dataset."""
    name, provenance = source.resolve().name, {}
    readmes = [path for name, path in plan.items() if name.lower().startswith("readme")]
    if readmes:
        content = readmes[0].read_bytes()
        lines = content.decode("utf-8", "replace").splitlines()
        name = next((line.strip("# ").split(" - ")[0] for line in lines if line.strip("# ")), name)
        provenance["source_readme_sha256"] = hashlib.sha256(content).hexdigest()
    left_out = _left_out(source, plan)
    return {"name": _slug(name), **provenance} | ({"left_out": left_out} if left_out else {})


def _left_out(source: Path, plan: Mapping[str, Path]) -> list[str]:
    """Name what is in the source and not in the dataset: other splits, other annotation files."""
    copied = {path.relative_to(source) for path in plan.values()}
    copied |= {parent for path in copied for parent in path.parents}
    entries = [*source.iterdir(), *(source / "annotations").iterdir()]
    names = {path.relative_to(source) for path in entries} - copied - {Path(MANIFEST)}
    return sorted(_shown(name) for name in names)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_.]+", "-", text.lower()).strip("-.")[:60] or "dataset"


def _holds(target: Path, expected: Manifest) -> bool:
    try:
        return target.exists() and verify_directory(target) == expected
    except IntegrityError:
        return False


def _copy(source: Path, target: Path) -> str:
    """Copy one regular file and return its sha256; a link that took its place is not followed."""
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    digest = hashlib.sha256()
    with os.fdopen(descriptor, "rb") as reader, target.open("xb") as writer:
        while block := reader.read(1 << 20):
            digest.update(block)
            writer.write(block)
    return digest.hexdigest()


def _shown(path: Path) -> str:
    """Return a path that any terminal can print, although its bytes may not be text."""
    return ascii(path.as_posix())[1:-1]
