"""A stage's ``run`` function -> its command line. Paths come from dvc.yaml, numbers from params.yaml."""

import argparse
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tasks.config import load_section
from tasks.errors import GroundworkError, UsageError
from tasks.lifetime import end_with_parent


def run_stage(run: Callable[..., None], *, section: str | None = None, config: type | None = None) -> None:
    """Parse the command line, load the stage's section of params.yaml, run, and exit.

    Args:
        run: ``run(config, *, flag: Path, ...)``, or without ``config`` when the stage has no parameters.
            Every keyword-only parameter becomes a required ``--flag``.
        section: Name of the section in params.yaml.
        config: Frozen dataclass of that section.

    A foreseen failure prints one line to stderr and ends with the exit code of its class. With
    ``STAGE_ERROR_FILE`` set, the error is also written there as JSON, for the process that started us.
    """
    parser = argparse.ArgumentParser(description=inspect.getdoc(run), prog=f"python -m {_module(run)}")
    names = [
        name
        for name, parameter in inspect.signature(run).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for name in names:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True)
    if config is not None:
        parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    arguments = parser.parse_args()
    end_with_parent()
    paths = {name: getattr(arguments, name) for name in names}
    try:
        if config is None:
            run(**paths)
        else:
            loaded: object = load_section(arguments.params, section or "", config)
            run(loaded, **paths)
            _refuse_edit(arguments.params, section or "", config, loaded)
    except GroundworkError as error:
        _report(error)
        sys.exit(error.exit_code)


def _refuse_edit(params: Path, section: str, config: type, loaded: object) -> None:
    """DVC hashes parameters after the stage: an edit meanwhile would be taken for what made the output."""
    if load_section(params, section, config) != loaded:
        raise UsageError(
            "the section was edited while the stage ran; its result belongs to the numbers of before.",
            obj=f"{params}:{section}",
            hint="Run the command again.",
        )


def _module(run: Callable[..., None]) -> str:
    specification = sys.modules["__main__"].__spec__
    return specification.name if specification else run.__module__


def _report(error: GroundworkError) -> None:
    sys.stderr.write(f"error[{error.code}] {error}\n")
    if target := os.environ.get("STAGE_ERROR_FILE"):
        document = {**error.as_dict(), "exit_code": error.exit_code}
        Path(target).write_text(json.dumps(document), encoding="utf-8")
