"""How a process ends: with its parent, and not before its work is safe."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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


@contextmanager
def stop_signals() -> Iterator[list[str]]:
    """Collect the names of the signals that ask to stop, instead of dying of them.

    Outside the main thread, where no signal arrives, the list stays empty.
    """
    received: list[str] = []

    def remember(number: int, _: FrameType | None) -> None:
        received.append(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    previous = {number: signal.signal(number, remember) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
