"""Git: which code made a model."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

_GENERATED = ("dvc.lock", "data/dataset.dvc")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeVersion:
    """The commit of the working tree."""

    commit: str
    """Full hash, or ``none`` outside a repository or before the first commit."""
    dirty: bool
    """Whether a tracked or untracked file differs from the commit; what DVC generates does not count."""

    @property
    def label(self) -> str:
        """Return the short form for people."""
        return f"{self.commit[:12]}{' + uncommitted changes' if self.dirty else ''}"


def code_version(repository: Path) -> CodeVersion:
    """Read the commit and whether the tree differs from it."""
    head = _git(repository, "rev-parse", "--verify", "--quiet", "HEAD")
    if head is None:
        return CodeVersion(commit="none", dirty=True)
    status = _git(repository, "status", "--porcelain", "--untracked-files=all") or ""
    changed = [line[3:] for line in status.splitlines() if line[3:] not in _GENERATED]
    return CodeVersion(commit=head.strip(), dirty=bool(changed))


def identity(repository: Path) -> str | None:
    """Return ``name <email>`` of the committer, if one is configured."""
    line = _git(repository, "var", "GIT_COMMITTER_IDENT")
    return line.rsplit(" ", 2)[0].strip() if line else None


def _git(repository: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
