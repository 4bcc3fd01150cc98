"""Run a benchmark of this checkout in a process of its own, so that nothing else of ours shares its time."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tasks.errors import GroundworkError, UsageError


def run_benchmark(
    name: str, arguments: Sequence[str], repository: Path, *, say: Callable[[str], None]
) -> str:
    """Run ``benchmarks/<name>.py`` and return what it printed.

    Args:
        name: Module in ``benchmarks/``.
        arguments: Its command line; paths must be absolute, for it runs in the repository.
        repository: The checkout.
        say: Gets every line of progress.

    Raises:
        UsageError: If the checkout has no such benchmark, or it refuses its arguments.
        GroundworkError: If it fails.
    """
    script = Path("benchmarks") / f"{name}.py"
    if not (repository / script).is_file():
        raise UsageError(
            f"there is no {script} here: benchmarks are part of a checkout, not of an installation.",
            obj=str(repository),
            hint="Clone the repository, run `make setup` and change to its root.",
        )
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    # Threads of one library that spin while another works would be timed as the other's.
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    last = ""
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as printed,
        subprocess.Popen(
            command, cwd=repository, env=environment, stdout=printed, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        try:
            for line in process.stderr or ():
                last = line.rstrip()
                say(last)
        except KeyboardInterrupt:
            process.terminate()
            raise
        code = process.wait()
        printed.seek(0)
        output = printed.read()
    if code == UsageError.exit_code:
        raise UsageError(last, obj=str(script), hint=f"See `python -m benchmarks.{name} --help`.")
    if code != 0:
        raise GroundworkError(
            f"ended with exit code {code}: {last}", obj=str(script), hint="The lines above say where."
        )
    return output
