"""The champion in force: its entry in the ledger, and its bundle and version that must exist.

A champion that cannot be read is an error, never "no champion, so anything wins".
"""

from dataclasses import dataclass
from pathlib import Path

from tasks.data.commit import read_manifest
from tasks.errors import IntegrityError
from tasks.services.bundles import BundleStore
from tasks.services.ledger import Ledger
from tasks.services.ledger_entry import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """A champion whose bytes were verified."""

    entry: Entry
    bundle: Path
    """Committed directory with ``model/``, ``evaluation/`` and ``provenance.json``; to be read only."""


def standing_champion(model: str, ledger: Ledger, bundles: BundleStore) -> Champion | None:
    """Return the champion with its verified bundle; None only if no model was ever promoted.

    Raises:
        UnavailableError: If the ledger or the bundle cannot be read, or the bundle is gone.
        IntegrityError: If the ledger or the bundle was changed, or they do not belong together.
    """
    entry = ledger.champion(model)
    return None if entry is None else Champion(entry=entry, bundle=_bundle_of(entry, bundles))


def restore(
    model: str, ledger: Ledger, bundles: BundleStore, *, who: str, why: str, to: int | None = None
) -> Entry:
    """Roll back to an earlier champion, after proving that its bundle is still there.

    Args:
        model: Name of the model.
        ledger: Where the rollback is written.
        bundles: Where the earlier bundle must be.
        who: Name for the history.
        why: Reason for the history.
        to: Sequence of the entry to return to; default the champion before the present one.

    Returns:
        The entry now in force.

    Raises:
        Conflict: If another change came first.
        UsageError: If there is nothing to return to, or no reason is given.
        UnavailableError: If the earlier bundle is gone.
    """
    target = ledger.rollback_target(model, to)
    _bundle_of(target, bundles)
    return ledger.rollback(model, who=who, why=why, to=target.sequence)


def _bundle_of(entry: Entry, bundles: BundleStore) -> Path:
    bundle = bundles.fetch(entry.bundle_id)
    found = read_manifest(bundle / "model").sha256
    if found != entry.model_sha256:
        raise IntegrityError(
            f"holds model {found}, the ledger says {entry.model_sha256}.",
            obj=f"bundle {entry.bundle_id}",
            hint="Do not use it. Put the right bundle again.",
        )
    return bundle
