"""One run at a time in a workspace: DVC's graph is not made for two."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.errors import UnavailableError
from tasks.services.settings import Settings, private_directory


@contextmanager
def exclusive(settings: Settings) -> Iterator[None]:
    """Hold the workspace; the kernel lets go of it however this process ends.

    Raises:
        UnavailableError: If another process holds it.
    """
    path = private_directory(settings.home) / "workspace.lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UnavailableError(
                f"another run is going on here (process {lock.read().strip() or 'unknown'}).",
                obj=str(settings.home.parent),
                hint="Wait for it, or work in another git worktree.",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
