"""From the name that a person gives a model to a verified directory of it."""

import re
from dataclasses import dataclass
from pathlib import Path

from tasks.data.commit import verify_directory
from tasks.errors import UnavailableError, UsageError
from tasks.operations import layout
from tasks.services import registry, tracking
from tasks.services.bundles import open_bundles
from tasks.services.champion import standing_champion
from tasks.services.ledger import open_ledger
from tasks.services.settings import Settings

CHAMPION = "champion"
_BUNDLE_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedModel:
    """A model whose bytes were checked."""

    name: str
    """As it was asked for."""
    folder: Path
    """Its directory, to be read only."""
    sha256: str
    """Identity of the directory, in hex."""
    bundle_id: str | None = None
    """The bundle that it is part of, where it was found through one."""
    sequence: int | None = None
    """Entry of the ledger that made it champion, where it was asked for as the champion."""


def find_model(model: str, settings: Settings) -> LocatedModel:
    """Find a model and check every byte of it.

    Args:
        model: A segmenter directory, ``champion``, a bundle id, or a version of the model registry:
            ``models:/<name>/<version>`` or ``models:/<name>@<alias>``.
        settings: Where things are kept.

    Raises:
        UnavailableError: If there is no such model, or its store does not answer.
        IntegrityError: If it was changed.
        UsageError: If the name is none of these.
    """
    if model.startswith(registry.SCHEME):
        version = registry.parse_uri(model)
        folder, sha256 = registry.fetch_version(
            tracking.look(settings), version, settings.home / "registered"
        )
        return LocatedModel(name=model, folder=folder, sha256=sha256)
    if model == CHAMPION:
        return _champion(settings)
    if (Path(model) / "manifest.json").exists():
        folder = Path(model).resolve()
        return LocatedModel(name=model, folder=folder, sha256=verify_directory(folder).sha256)
    if "/" in model or model.startswith("."):
        raise UnavailableError(
            "is no directory with a committed model.",
            obj=model,
            hint="Make the model of this checkout with `groundwork train`: it is artifacts/segmenter.",
        )
    if not _BUNDLE_ID.fullmatch(model):
        raise UsageError(
            "is neither a model directory, `champion`, a bundle id, nor a models:/<name>/<version>.",
            obj=model,
            hint="See `groundwork history`; the model of this checkout is artifacts/segmenter.",
        )
    folder = open_bundles(settings).fetch(model) / "model"
    return LocatedModel(name=model, folder=folder, sha256=verify_directory(folder).sha256, bundle_id=model)


def _champion(settings: Settings) -> LocatedModel:
    found = standing_champion(layout.MODEL_NAME, open_ledger(settings), open_bundles(settings))
    if found is None:
        raise UnavailableError(
            "there is no champion yet.", obj=layout.MODEL_NAME, hint="Run `groundwork run --first`."
        )
    return LocatedModel(
        name=CHAMPION,
        folder=found.bundle / "model",
        sha256=found.entry.model_sha256,
        bundle_id=found.entry.bundle_id,
        sequence=found.entry.sequence,
    )
