"""Import a dataset, version it, push it, and prove that the copy can be had back."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.config import read_yaml
from tasks.data.commit import Manifest, commit_file, verify_directory
from tasks.data.importing import DATASET_SCHEMA, import_coco
from tasks.errors import IntegrityError, UnavailableError
from tasks.operations.layout import DATASET
from tasks.services import dvc
from tasks.services.settings import Settings, private_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class DataVersion:
    """One version of the project's dataset."""

    name: str
    sha256: str
    """Of the dataset's manifest: the identity that metrics and decisions carry."""
    content_hash: str
    """The name DVC gave to the same bytes."""
    files: int
    size: int
    """Bytes in all."""
    remote: str
    """Where the proven copy lies."""
    outcome: str
    """``imported``, or ``reused`` where nothing had to be done."""

    @property
    def label(self) -> str:
        """Return what people see: name and the first 12 hex digits."""
        return f"{self.name}@{self.sha256[:12]}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self) | {"label": self.label}


def version_dataset(
    source: Path, repository: Path, settings: Settings, *, say: Callable[[str], None] = lambda _: None
) -> DataVersion:
    """Make ``source`` the project's dataset, safely stored.

    Args:
        source: Directory with COCO annotations and images.
        repository: Root of the project.
        settings: Where the remote is.
        say: Told what is going on, one sentence a step.

    Raises:
        DataError: If the source cannot be imported as it is.
        IntegrityError: If the copy in the remote is not the data.
        UnavailableError: If the remote cannot be reached.
    """
    target = repository / DATASET
    manifest = import_coco(source, target)
    version = _content_hash(target)
    if version is not None and _read_proof(version, settings) == manifest.sha256:
        return _describe(manifest, version, settings, "reused")
    say(f"versioning {len(manifest.files)} files")
    dvc.add(target, repository)
    return store_and_prove(repository, settings, say=say)


def default_source(repository: Path) -> Path:
    """Return the dataset that params.yaml names."""
    return (repository / str(read_yaml(repository / "params.yaml")["dataset"]["source"])).resolve()


def store_and_prove(
    repository: Path, settings: Settings, *, say: Callable[[str], None] = lambda _: None
) -> DataVersion:
    """Push the current version and pull it back into an empty place, byte for byte.

    Raises:
        IntegrityError: If what comes back differs.
        UnavailableError: If there is no dataset, or the remote cannot be reached.
    """
    target = repository / DATASET
    manifest = _committed(target)
    configure_remote(repository, settings)
    say(f"pushing to {settings.remote_url}")
    dvc.push(target, repository)
    say("pulling the copy back into an empty place")
    proven = dvc.prove_copy(target, repository)
    if proven.sha256 != manifest.sha256:
        raise IntegrityError(
            f"the copy is {proven.sha256[:12]}, the dataset is {manifest.sha256[:12]}.",
            obj=settings.remote_url,
            hint="Remove the damaged object from the remote and run `groundwork data add` again.",
        )
    version = dvc.content_hash(target)
    proof = {"manifest_sha256": manifest.sha256, "remote": _place(settings)}
    commit_file(_proof(version, settings), json.dumps(proof, indent=1).encode())
    return _describe(manifest, version, settings, "imported")


def pull_dataset(repository: Path, settings: Settings) -> DataVersion:
    """Bring back the version that ``data/dataset.dvc`` names and check every byte.

    Raises:
        IntegrityError: If the bytes are not those of the manifest.
        UnavailableError: If the remote lacks them.
    """
    configure_remote(repository, settings)
    target = repository / DATASET
    manifest = dvc.pull(target, repository)
    return _describe(manifest, dvc.content_hash(target), settings, "pulled")


def show_dataset(repository: Path, settings: Settings) -> DataVersion:
    """Describe the current version after checking every byte of it.

    Raises:
        IntegrityError: If a byte changed since the import.
        UnavailableError: If there is no dataset yet.
    """
    target = repository / DATASET
    return _describe(_committed(target), dvc.content_hash(target), settings, "verified")


def configure_remote(repository: Path, settings: Settings) -> None:
    """Point DVC at the remote that the settings name."""
    if not settings.remote_url.startswith("s3://"):
        private_directory(Path(settings.remote_url))
    dvc.configure_remote(settings.remote_url, repository, endpoint=settings.s3_endpoint_url)


def _committed(target: Path) -> Manifest:
    if not target.exists():
        raise UnavailableError(
            "there is no dataset yet.",
            obj=str(target),
            hint="Run `groundwork data add FOLDER` or `groundwork data pull`.",
        )
    return verify_directory(target, schema=DATASET_SCHEMA)


def _content_hash(target: Path) -> str | None:
    return dvc.content_hash(target) if target.with_name(f"{target.name}.dvc").exists() else None


def _proof(version: str, settings: Settings) -> Path:
    return settings.home / "proofs" / f"{version}.json"


def _read_proof(version: str, settings: Settings) -> str | None:
    try:
        document = json.loads(_proof(version, settings).read_bytes())
    except (OSError, ValueError):
        return None
    return document["manifest_sha256"] if document.get("remote") == _place(settings) else None


def _place(settings: Settings) -> list[str | None]:
    """Return what makes a store another one: the same bucket name at another endpoint is."""
    return [settings.remote_url, settings.s3_endpoint_url]


def _describe(manifest: Manifest, version: str, settings: Settings, outcome: str) -> DataVersion:
    return DataVersion(
        name=str(manifest.provenance.get("name", "dataset")),
        sha256=manifest.sha256,
        content_hash=version,
        files=len(manifest.files),
        size=sum(size for _, size in manifest.files.values()),
        remote=settings.remote_url,
        outcome=outcome,
    )
