"""A child process ends with its parent, however the parent ended."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies; where it cannot be asked, nothing changes.

    After ``kill -9`` of a run its stages would otherwise go on, and the command that resumes would meet them.
    """
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel was asked
        os.kill(os.getpid(), signal.SIGTERM)
