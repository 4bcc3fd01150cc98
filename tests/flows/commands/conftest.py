"""Commands that need no process of their own run in this one, where the heavy libraries are imported once."""

import json
import logging
import os
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tests.conftest import Project


@pytest.fixture
def said(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command of this process in the project; return what stands on stdout."""
    for name in [name for name in os.environ if name.startswith(("GROUNDWORK_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    for name in ("DVC_NO_ANALYTICS", "DVC_SITE_CACHE_DIR", "GROUNDWORK_WHO"):
        monkeypatch.setenv(name, project.environment[name])
    monkeypatch.chdir(project.root)
    logger = logging.getLogger("groundwork")  # a command directs it to stderr
    for name in ("propagate", "level", "handlers"):
        monkeypatch.setattr(logger, name, getattr(logger, name))
    monkeypatch.setattr(logger, "handlers", [])

    def run(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, list(arguments))
        assert done.exit_code == code, f"exit {done.exit_code}\n{done.output}"
        return done.stdout

    return run


@pytest.fixture
def answer(said: Callable[..., str]) -> Callable[..., dict]:
    """Run a command of this process in the project with --json; return its document."""
    return lambda *arguments, code=0: json.loads(said(*arguments, "--json", code=code))
