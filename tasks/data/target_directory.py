"""May a command write its result here? It replaces what the same command made, and nothing else."""

from pathlib import Path

from tasks.data.commit import verify_directory
from tasks.errors import IntegrityError, UsageError


def check_target(target: Path, *, schema: str) -> None:
    """Refuse a directory that is not ours to replace.

    Args:
        target: What ``commit_directory`` will be given. It may be absent, empty, or hold a whole result.
        schema: Of the result.

    Raises:
        UsageError: If it is a link or a file, or holds anything that the same command did not write.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(
            f"is a link or a file; only an earlier {schema!r} is replaced.",
            obj=str(target),
            hint="Name a directory that does not exist.",
        )
    if not target.exists() or not any(target.iterdir()):
        return
    try:
        verify_directory(target, schema=schema)
    except IntegrityError as error:
        raise UsageError(
            f"holds files that this command did not write; only an earlier {schema!r} is replaced: "
            f"{error.message}",
            obj=str(target),
            hint="Move it away, or name another directory.",
        ) from error
