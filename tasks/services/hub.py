"""The hub of models: a name becomes a local directory, with the revision that it stands for.

Only the files that somebody asks for are fetched, never code and never a pickle. Without a network the
directory of an earlier time is taken, if it is whole.
"""

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import UnavailableError, UsageError

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}
"""What this machine refuses, whatever the network does."""
_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedModel:
    """Where a model lies, and what it is called elsewhere."""

    folder: Path
    name: str | None = None
    """On the hub; None: a directory that somebody named."""
    revision: str | None = None
    """Commit on the hub."""


def find_model_folder(wanted: str, *, patterns: Sequence[str]) -> FetchedModel:
    """Find a directory, or fetch a model from the hub.

    Args:
        wanted: Path of a directory, or ``name/of-model``, with ``@revision`` if not the newest.
        patterns: Names of the files to fetch.

    Raises:
        UsageError: If it is neither.
        UnavailableError: If it is a name and the hub does not answer or have it, or the disk refuses.
    """
    if wanted and Path(wanted).is_dir():
        return FetchedModel(folder=Path(wanted))
    match = _NAME.fullmatch(wanted)
    if match is None or wanted.startswith((".", "/")):
        raise UsageError(
            "is no directory, and no name of the hub.",
            obj=wanted,
            hint="Name a directory, or a model of the hub as owner/name or owner/name@revision.",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        folder = Path(
            snapshot_download(match["name"], revision=match["revision"], allow_patterns=list(patterns))
        )
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise UnavailableError(
            f"is no directory here, and the hub does not have it, or not for you ({type(error).__name__}).",
            obj=wanted,
            hint="Correct the name, log in with `hf auth login`, or name a directory.",
        ) from error
    except Exception as error:  # whatever its HTTP client raises
        cause = " ".join(str(error).split())[:200]
        if isinstance(error, OSError) and error.errno in _DISK:
            raise UnavailableError(
                f"was found, but cannot be stored here ({cause}).",
                obj=wanted,
                hint="Make room, or name another place for the cache by the variable HF_HOME.",
            ) from error
        raise UnavailableError(
            f"is no directory here, and the hub was not reached ({type(error).__name__}: {cause}).",
            obj=wanted,
            hint=f"Where there is a network: `hf download {match['name']} --local-dir clip`; then name that "
            "directory.",
        ) from error
    return FetchedModel(folder=folder, name=match["name"], revision=folder.name)
