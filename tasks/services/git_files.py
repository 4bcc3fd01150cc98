"""Git: what a file was at a revision. Reads only; paths are relative to the root of the project."""

import re
import subprocess
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40,64}")


def find_commit(repository: Path, revision: str) -> str | None:
    """Return the full hash of the commit that a tag, branch or abbreviation names; None if none does."""
    if not revision or any(letter.isspace() or letter == "\0" for letter in revision):
        return None
    answer = _git(
        repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
    )
    found = "" if answer is None else answer.decode("ascii", "replace").strip()
    return found if _COMMIT.fullmatch(found) else None


def file_at(repository: Path, commit: str, path: Path) -> bytes | None:
    """Return the bytes of a file at a commit; None if it was not there."""
    return _git(repository, "cat-file", "blob", f"{commit}:./{path.as_posix()}")


def files_at(repository: Path, commit: str, folder: Path) -> list[Path]:
    """List the files that lay directly in a folder at a commit, by name; none if there was no folder."""
    answer = _git(repository, "ls-tree", "-z", "--name-only", commit, f"./{folder.as_posix()}/")
    names = [] if answer is None else answer.decode("utf-8", "surrogateescape").split("\0")
    return sorted(folder / Path(name).name for name in names if name)


def commits_of(repository: Path, path: Path) -> list[str]:
    """List the commits of all branches and tags that changed a file, the newest first."""
    answer = _git(repository, "log", "--all", "--format=%H", "--", f"./{path.as_posix()}")
    return [] if answer is None else answer.decode("ascii").split()


def _git(repository: Path, *arguments: str) -> bytes | None:
    try:
        done = subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
