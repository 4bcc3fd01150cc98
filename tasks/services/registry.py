"""The model registry of MLflow: versions that were proved readable, and the alias ``champion``.

The alias is derived from the promotion ledger. MLflow itself keeps no history of it, compares nothing when
it is set, accepts versions whose files do not exist and forgets the alias when a version is deleted.
"""

import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.commit import verify_directory
from tasks.errors import IntegrityError, UnavailableError, UsageError
from tasks.services.ledger_entry import Entry, check_model_name
from tasks.services.runs import MODEL_ID
from tasks.services.settings import private_directory
from tasks.services.tracking import MODEL_SHA256, Tracker, download_model, named_errors

ALIAS = "champion"
BUNDLE_ID, VERIFIED = "groundwork.bundle_id", "groundwork.verified"
SEQUENCE = "groundwork.champion_sequence"
"""Tag of the registered model: the ledger's sequence that the alias was derived from."""
SCHEME = "models:/"
_URI = re.compile(r"models:/(?P<name>[^/@\s]+)(/(?P<version>[0-9]{1,9})|@(?P<alias>[A-Za-z0-9_-]{1,255}))")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUri:
    """A version of a registered model, by number or by alias."""

    name: str
    version: str | None
    alias: str | None

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}" + (f"@{self.alias}" if self.alias else f"/{self.version}")


def parse_uri(uri: str) -> ModelUri:
    """Read ``models:/<name>/<version>`` or ``models:/<name>@<alias>``.

    Raises:
        UsageError: If it is neither.
    """
    match = _URI.fullmatch(uri)
    if match is None:
        raise UsageError(
            "is no version of a registered model.",
            obj=uri,
            hint="Write models:/<name>/<number> or models:/<name>@<alias>, as in `groundwork history`.",
        )
    check_model_name(match["name"])
    return ModelUri(name=match["name"], version=match["version"], alias=match["alias"])


def fetch_version(tracker: Tracker, uri: ModelUri, cache: Path) -> tuple[Path, str]:
    """Bring the model of a registered version here; the registry is only read.

    Args:
        tracker: Connection to MLflow.
        uri: The version.
        cache: Folder of earlier downloads; one that is whole is not downloaded again.

    Returns:
        The model directory, to be read only, and its identity: the hash that was recorded with it.

    Raises:
        UnavailableError: If there is no such version, or MLflow does not answer.
        IntegrityError: If no hash was recorded, or what MLflow returns is another model.
    """
    with named_errors(tracker.uri):
        number, model_id = _version_behind(tracker, uri)
        expected = _recorded_sha256(tracker, uri, model_id)
        target = private_directory(cache) / expected[:16]
        if _is_model(target, expected):
            return target, expected
        with tempfile.TemporaryDirectory(prefix="groundwork-", dir=cache) as folder:
            found = (
                download_model(tracker, f"{SCHEME}{uri.name}/{number}", Path(folder)) / "artifacts" / "model"
            )
            _compare(found, expected, f"{uri.name} version {number}")
            shutil.rmtree(target, ignore_errors=True)
            found.rename(target)
    return target, expected


def _version_behind(tracker: Tracker, uri: ModelUri) -> tuple[str, str | None]:
    """Return the number of a version, and the logged model that it is made of."""
    registered = _registered(tracker, uri.name)
    if registered is None:
        names = [item.name for item in tracker.client.search_registered_models(max_results=100)]
        raise _unknown(
            uri, f"there is no model {uri.name!r}", f"registered are: {', '.join(names) or 'none'}"
        )
    if uri.alias is not None and uri.alias not in registered.aliases:
        aliases = ", ".join(sorted(registered.aliases)) or "none"
        raise _unknown(uri, f"{uri.name} has no alias {uri.alias!r}", f"its aliases are: {aliases}")
    number = str(registered.aliases[uri.alias]) if uri.alias else str(int(uri.version or 0))
    versions = {str(item.version): item for item in _versions(tracker, uri.name)}
    if number not in versions:
        numbers = ", ".join(sorted(versions, key=int)) or "none"
        raise _unknown(uri, f"{uri.name} has no version {number}", f"its versions are: {numbers}")
    source = str(versions[number].source)  # its field model_id stays empty in a database
    return number, source.removeprefix(SCHEME) if source.startswith(f"{SCHEME}m-") else None


def _unknown(uri: ModelUri, what: str, known: str) -> UnavailableError:
    return UnavailableError(
        f"{what}; {known}.",
        obj=str(uri),
        hint="Name one of these, or register the model of this checkout: `groundwork run`.",
    )


def _recorded_sha256(tracker: Tracker, uri: ModelUri, model_id: str | None) -> str:
    recorded = tracker.client.get_logged_model(model_id).tags.get(MODEL_SHA256) if model_id else None
    if not recorded:
        raise IntegrityError(
            "no hash was recorded with it, so its bytes cannot be proved.",
            obj=str(uri),
            hint="Use a version that `groundwork run` registered.",
        )
    return str(recorded)


def _is_model(folder: Path, sha256: str) -> bool:
    try:
        return folder.is_dir() and verify_directory(folder).sha256 == sha256
    except IntegrityError:
        return False


def _compare(folder: Path, expected: str | None, what: str) -> None:
    found = verify_directory(folder).sha256
    if found != expected:
        raise IntegrityError(
            f"holds model {found}, recorded was {expected}.",
            obj=what,
            hint="Do not use it. Delete the version, then record the run again.",
        )


def register(tracker: Tracker, run_id: str, model: str, bundle_id: str) -> str:
    """Register the model of a recorded run, once per bundle, and prove that it can be read back.

    Returns:
        The version. It counts only because its files were downloaded and hashed.

    Raises:
        IntegrityError: If what MLflow returns is not the model that was recorded.
        UnavailableError: If MLflow does not answer, or the run holds no model.
    """
    check_model_name(model)
    with named_errors(tracker.uri):
        tags = tracker.client.get_run(run_id).data.tags
        if MODEL_ID not in tags:
            raise UnavailableError(
                "holds no model.", obj=f"run {run_id}", hint="Record the run again: `groundwork run`."
            )
        version = _version_of_bundle(tracker, model, bundle_id) or _create_version(
            tracker, run_id, model, bundle_id, tags[MODEL_ID]
        )
        if VERIFIED not in version.tags:
            _prove(tracker, model, str(version.version), tags[MODEL_ID])
            tracker.client.set_model_version_tag(model, str(version.version), VERIFIED, "true")
        return str(version.version)


def require_version(tracker: Tracker, entry: Entry) -> str:
    """Return the registry's version of a champion.

    Raises:
        UnavailableError: If it is missing or was never proved readable. A champion that cannot be found is
            never "no champion".
    """
    with named_errors(tracker.uri):
        version = _version_of_bundle(tracker, entry.model, entry.bundle_id)
    if version is None or VERIFIED not in version.tags:
        state = "missing" if version is None else "not proved readable"
        raise UnavailableError(
            f"version {entry.mlflow_version or 'of bundle'} of the champion {entry.bundle_id} is {state}.",
            obj=f"{entry.model} in the model registry",
            hint="Restore it or register it again, or choose another champion: `groundwork rollback`.",
        )
    return str(version.version)


def set_champion_alias(tracker: Tracker, model: str, version: str, sequence: int) -> None:
    """Point the alias at a version and note which entry of the ledger says so."""
    with named_errors(tracker.uri):
        tracker.client.set_registered_model_alias(model, ALIAS, version)
        tracker.client.set_registered_model_tag(model, SEQUENCE, str(sequence))


def champion_alias(tracker: Tracker, model: str) -> str | None:
    """Return the version that the alias points at, or None. For display: the ledger decides."""
    with named_errors(tracker.uri):
        registered = _registered(tracker, model)
        alias = registered.aliases.get(ALIAS) if registered else None
        return None if alias is None else str(alias)


def reconcile(tracker: Tracker, model: str, champion: Callable[[str], Entry | None]) -> Entry | None:
    """Make the alias say what the ledger says.

    Args:
        tracker: Connection to MLflow.
        model: Name of the registered model.
        champion: The ledger's ``champion``. Asked again after the alias is written, because another
            promotion may have happened in between.

    Returns:
        The entry that the alias now follows; None if there never was a champion, and then an alias that
        somebody set by hand is left alone.

    Raises:
        IntegrityError: If the registry has seen a newer entry than the ledger holds.
        UnavailableError: If MLflow does not answer or the champion's version is missing.
    """
    seen = _noted_sequence(tracker, model)  # before the ledger, which can only be newer
    entry = champion(model)
    held = entry.sequence if entry else 0
    if seen > held:
        raise IntegrityError(
            f"ends at entry {held} of {model}, but the registry has seen entry {seen}: "
            "the ledger was restored from an old copy.",
            obj="promotion ledger",
            hint=f"Restore the newest copy. If the loss is accepted, delete the tag {SEQUENCE} of {model}.",
        )
    while entry is not None:
        version = require_version(tracker, entry)
        if champion_alias(tracker, model) != version or _noted_sequence(tracker, model) != entry.sequence:
            set_champion_alias(tracker, model, version, entry.sequence)
        newest = champion(model)
        if newest is None or newest.sequence == entry.sequence:
            break
        entry = newest
    return entry


def _noted_sequence(tracker: Tracker, model: str) -> int:
    with named_errors(tracker.uri):
        registered = _registered(tracker, model)
        return int(registered.tags.get(SEQUENCE, "0")) if registered else 0


def _registered(tracker: Tracker, model: str) -> Any | None:  # noqa: ANN401 - a registered model of MLflow
    check_model_name(model)
    found = tracker.client.search_registered_models(f"name = '{model}'")
    return found[0] if found else None


def _version_of_bundle(tracker: Tracker, model: str, bundle_id: str) -> Any | None:  # noqa: ANN401
    """Find the oldest version with the bundle's tag; a younger twin of a race is never used."""
    check_model_name(model)
    same = [version for version in _versions(tracker, model) if version.tags.get(BUNDLE_ID) == bundle_id]
    return min(same, key=lambda version: int(version.version), default=None)


def _versions(tracker: Tracker, model: str) -> list[Any]:
    check_model_name(model)
    return list(tracker.client.search_model_versions(f"name = '{model}'", max_results=10_000))


def _create_version(tracker: Tracker, run_id: str, model: str, bundle_id: str, model_id: str) -> Any:  # noqa: ANN401
    if _registered(tracker, model) is None:
        try:
            tracker.client.create_registered_model(model)
        except Exception:
            if _registered(tracker, model) is None:  # else another process was faster
                raise
    mine = tracker.client.create_model_version(
        model,
        source=f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        tags={BUNDLE_ID: bundle_id},
        await_creation_for=0,
    )
    first = _version_of_bundle(tracker, model, bundle_id) or mine
    if int(first.version) != int(mine.version):
        tracker.client.delete_model_version(model, str(mine.version))
    return first


def _prove(tracker: Tracker, model: str, version: str, model_id: str) -> None:
    """Download a version and compare the model in it, byte by byte, with what was recorded."""
    expected = tracker.client.get_logged_model(model_id).tags.get(MODEL_SHA256)
    with tempfile.TemporaryDirectory(prefix="groundwork-") as folder:
        downloaded = download_model(tracker, f"{SCHEME}{model}/{version}", Path(folder))
        _compare(downloaded / "artifacts" / "model", expected, f"{model} version {version}")
