"""The bundle store: what can be promoted, kept under the hash of its content.

A bundle is a committed directory with ``model/``, ``evaluation/`` and ``provenance.json``. Its name is the
first 16 hex digits of its manifest's sha256, so putting the same content twice is one bundle, and a bundle
that was changed no longer answers to its name.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tasks.data.commit import MANIFEST, Manifest, commit_directory, describe, verify_directory
from tasks.errors import IntegrityError, UnavailableError, UsageError
from tasks.services.settings import Settings, private_directory
from tasks.services.storage import Bucket, connect

SCHEMA = "groundwork.bundle/1"
_MODEL, _EVALUATION, _PROVENANCE = "model", "evaluation", "provenance.json"


class BundleStore(Protocol):
    """Where bundles are kept."""

    def put(self, folder: Path) -> str:
        """Store a bundle that `assemble` made and return its id; the same content is stored once."""

    def fetch(self, bundle_id: str) -> Path:
        """Return a verified local directory, to be read only."""


def assemble(*, model: Path, evaluation: Path, provenance: dict[str, Any], into: Path) -> str:
    """Join a model and its evaluation to a bundle.

    Args:
        model: Committed directory of the trained model.
        evaluation: Committed directory with ``metrics.json``.
        provenance: JSON values; without a clock, so that equal content has an equal id.
        into: Directory to commit the bundle to.

    Returns:
        The bundle's id.

    Raises:
        IntegrityError: If a part does not verify, or the evaluation is of another model.
    """
    judged = verify_directory(model).sha256
    verify_directory(evaluation)
    metrics = json.loads((evaluation / "metrics.json").read_bytes())
    if metrics.get("model_sha256") != judged:
        raise IntegrityError(
            f"is the evaluation of model {metrics.get('model_sha256')}, not of {judged}.",
            obj=str(evaluation),
            hint="Evaluate this model: `groundwork eval`.",
        )

    def write(folder: Path) -> None:
        shutil.copytree(model, folder / _MODEL, copy_function=shutil.copyfile)
        shutil.copytree(evaluation, folder / _EVALUATION, copy_function=shutil.copyfile)
        (folder / _PROVENANCE).write_text(
            json.dumps(provenance, indent=1, sort_keys=True, allow_nan=False) + "\n"
        )

    private_directory(into.parent)
    return bundle_id_of(commit_directory(into, write, schema=SCHEMA))


def bundle_id_of(manifest: Manifest) -> str:
    """Return the name under which a bundle with this manifest is kept."""
    return manifest.sha256[:16]


@dataclass(frozen=True, slots=True)
class DirectoryBundles:
    """Bundles in a directory: one sub-directory each."""

    root: Path

    def put(self, folder: Path) -> str:
        """Copy a bundle in by the commit protocol. A damaged copy of the same bundle is replaced.

        Raises:
            IntegrityError: If the folder is not a verified bundle.
        """
        manifest = verify_directory(folder, schema=SCHEMA)
        target = self.root / bundle_id_of(manifest)
        if _is_whole(target, manifest):
            return target.name
        private_directory(self.root)
        _copy_verified(folder, manifest, target)
        return target.name

    def fetch(self, bundle_id: str) -> Path:
        """Return the bundle's directory after checking every byte of it.

        Raises:
            UnavailableError: If there is no such bundle.
            IntegrityError: If it was changed.
        """
        target = self.root / _checked(bundle_id)
        if not target.is_dir():
            raise _missing(bundle_id, str(self.root))
        _check_name(verify_directory(target, schema=SCHEMA), bundle_id, str(target))
        return target


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Bundles:
    """Bundles in S3: the objects first, the manifest last and once. Fetched ones are kept in a directory."""

    bucket: Bucket
    cache: Path

    def put(self, folder: Path) -> str:
        """Copy a bundle to the store, reading every object back.

        Raises:
            IntegrityError: If the folder is not a verified bundle, or the store did not keep it.
            UnavailableError: If the store cannot be reached; nothing is visible then.
        """
        manifest = verify_directory(folder, schema=SCHEMA)
        bundle_id = bundle_id_of(manifest)
        for name, (sha256, _) in manifest.files.items():
            if self.bucket.sha256(_key(bundle_id, name)) != sha256:
                self.bucket.upload(folder / name, _key(bundle_id, name), sha256=sha256)
        marker = _key(bundle_id, MANIFEST)
        if (
            not self.bucket.create(marker, manifest.to_json())
            and self.bucket.read(marker) != manifest.to_json()
        ):
            raise IntegrityError(
                "another manifest is stored under this name.",
                obj=self.bucket.address(marker),
                hint="Do not use it; find out who wrote it.",
            )
        return bundle_id

    def fetch(self, bundle_id: str) -> Path:
        """Return a local copy after checking every byte of it.

        Raises:
            UnavailableError: If there is no such bundle or the store cannot be reached.
            IntegrityError: If it was changed.
        """
        target = self.cache / _checked(bundle_id)
        if target.is_dir():
            try:
                _check_name(verify_directory(target, schema=SCHEMA), bundle_id, str(target))
            except IntegrityError:
                pass  # a damaged copy in the cache is fetched again
            else:
                return target
        names = self.bucket.names(_key(bundle_id, ""))
        marker = _key(bundle_id, MANIFEST)
        if marker not in names:
            raise _missing(bundle_id, self.bucket.url)
        private_directory(self.cache)

        def write(folder: Path) -> None:
            for key in names:
                path = _inside(folder, key.removeprefix(_key(bundle_id, "")), self.bucket.url)
                path.parent.mkdir(parents=True, exist_ok=True)
                self.bucket.download(key, path)
            _check_name(verify_directory(folder, schema=SCHEMA), bundle_id, self.bucket.address(marker))

        _check_name(commit_directory(target, write, schema=SCHEMA), bundle_id, str(target))
        return target


def open_bundles(settings: Settings) -> BundleStore:
    """Open the store that the settings name."""
    if settings.bundles_url.startswith("s3://"):
        bucket = connect(settings.bundles_url, settings.s3_endpoint_url)
        return S3Bundles(bucket=bucket, cache=settings.home / "cache" / "bundles")
    return DirectoryBundles(Path(settings.bundles_url))


def _copy_verified(folder: Path, manifest: Manifest, target: Path) -> None:
    def write(staging: Path) -> None:
        shutil.copytree(folder, staging, copy_function=shutil.copyfile, dirs_exist_ok=True)
        (staging / MANIFEST).unlink()
        if describe(staging, schema=SCHEMA, provenance=manifest.provenance) != manifest:
            raise IntegrityError(
                "changed while it was copied.", obj=str(folder), hint="Run the command again."
            )

    commit_directory(target, write, schema=SCHEMA, provenance=manifest.provenance)


def _is_whole(target: Path, manifest: Manifest) -> bool:
    try:
        return target.is_dir() and verify_directory(target, schema=SCHEMA) == manifest
    except IntegrityError:
        return False


def _check_name(manifest: Manifest, bundle_id: str, where: str) -> None:
    if bundle_id_of(manifest) != bundle_id:
        raise IntegrityError(
            f"holds bundle {bundle_id_of(manifest)}, expected {bundle_id}.",
            obj=where,
            hint="Do not use it. Put the right bundle again.",
        )


def _inside(folder: Path, name: str, where: str) -> Path:
    if name.startswith("/") or ".." in name.split("/"):
        raise IntegrityError(
            f"holds the key {name!r}.", obj=where, hint="Do not use it; find out who wrote it."
        )
    return folder / name


def _checked(bundle_id: str) -> str:
    if len(bundle_id) != 16 or not set(bundle_id) <= set("0123456789abcdef"):
        raise UsageError(
            f"expected 16 hex digits, got {bundle_id!r}.", obj="bundle", hint="See `groundwork history`."
        )
    return bundle_id


def _missing(bundle_id: str, where: str) -> UnavailableError:
    return UnavailableError(
        f"bundle {bundle_id} is missing.",
        obj=where,
        hint="Restore it from a copy, or choose another champion: `groundwork rollback`.",
    )


def _key(bundle_id: str, name: str) -> str:
    return f"bundles/{bundle_id}/{name}"
