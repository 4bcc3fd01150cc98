"""The ``dvc`` command as a child process that never outlives its reason.

A stage goes on when only ``dvc`` is killed, so every command runs in a process group of its own.
"""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from tasks.errors import UnavailableError
from tasks.lifetime import end_with_parent

_CHATTER = re.compile(
    r"(Running stage|> |Generating lock file|Updating lock file|To track the changes|\tgit add"
    r"|To enable auto staging|\tdvc config|Use `dvc push`|WARNING: .* is empty|Data and pipelines"
    r"|Stage '.*' (didn't|is cached)|$)"
)
"""What DVC itself says around a stage."""


def run_quietly(arguments: list[str], repository: Path) -> str:
    """Run a command of DVC and return what it printed.

    Raises:
        UnavailableError: If it fails.
    """
    code, lines = run_dvc(arguments, repository, timeout=24 * 3600.0)
    if code != 0:
        raise UnavailableError(
            f"`dvc {' '.join(arguments)}` failed: {' '.join(lines[-6:]).strip() or f'exit code {code}'}",
            obj="dvc",
            hint="Cure the cause and run the same command again.",
        )
    return "\n".join(lines)


def run_dvc(
    arguments: list[str],
    repository: Path,
    *,
    timeout: float,
    on_line: Callable[[str], None] | None = None,
    extra: dict[str, str] | None = None,
) -> tuple[int, list[str]]:
    """Run ``dvc`` in its own process group and return the exit code and its lines.

    Whatever ends this call early (a timeout, Ctrl-C, a cancelled task) ends the whole group.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "--cd", str(repository), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=_environment(extra or {}),
        start_new_session=True,
        preexec_fn=end_with_parent,  # noqa: PLW1509 - a prctl and nothing else, before exec
    )
    timer = threading.Timer(timeout, _end, [process, signal.SIGKILL])
    timer.start()
    lines: list[str] = []
    try:
        for line in process.stdout or ():
            lines.append(line.rstrip("\n"))
            if on_line is not None and not _CHATTER.match(lines[-1]):
                on_line(lines[-1])
        code = process.wait()
    except BaseException:
        _end(process, signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            _end(process, signal.SIGKILL)
        raise
    finally:
        timer.cancel()
    return code, lines


def _end(process: "subprocess.Popen[str]", how: signal.Signals) -> None:
    try:
        os.killpg(process.pid, how)
    except ProcessLookupError:
        return


def _environment(extra: dict[str, str]) -> dict[str, str]:
    """Return the child's environment: this interpreter first on the path, no telemetry."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1", **extra}
