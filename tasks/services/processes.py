"""Name a process so that nobody mistakes another one for it: host, process id, and when it started."""

import os
import socket
from pathlib import Path


def this_process() -> str:
    """Return ``host:pid:start``, where start is the kernel's clock tick at which the process began."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def is_dead(name: str) -> bool:
    """Say whether a named process certainly runs no more.

    A process of another host, or a name that cannot be read, may be alive.
    """
    host, _, rest = name.partition(":")
    process, _, started = rest.partition(":")
    if host != socket.gethostname() or not process.isdigit():
        return False
    pid = int(process)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return started != _started(pid)


def _started(pid: int) -> str:
    """Read the start tick from ``/proc``; where there is none, the process id alone must do."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "unknown"
    return status.rpartition(")")[2].split()[19]
