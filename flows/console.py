"""What a person or a script sees: progress on stderr, results on stdout, errors with a next command."""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from tasks.errors import GroundworkError, InterruptedRun

JsonOption = typer.Option(False, "--json", help="Print one JSON document on stdout and nothing else.")
_COUNTING = re.compile(r"\w+ \d+/\d+, ")
"""How a stage says how far it is: ``training 120/800, 213 s left, loss 2.3``."""
_CONTROL = {code: f"\\x{code:02x}" for code in [*range(32), *range(127, 160)] if code not in (9, 10)}


def repository() -> Path:
    """Find the project: the directory with dvc.yaml, here or above.

    Raises:
        UsageError: If there is none.
    """
    from tasks.errors import UsageError

    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").exists() and (folder / "params.yaml").exists():
            return folder
    raise UsageError(
        "no dvc.yaml here or in a folder above.",
        obj=str(here),
        hint="Change to the root of the project.",
    )


def emit(document: dict[str, Any], *, as_json: bool, lines: Iterable[str] = ()) -> None:
    """Print a result: the document as JSON, or the lines for people."""
    if as_json:
        typer.echo(json.dumps(document, indent=2, default=str, allow_nan=False))
    else:
        for line in lines:
            typer.echo(visible(line))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lay out a table: aligned columns, nothing cut off, plain when piped."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(columns), *cells]) for column in range(len(columns))]
    rule = "-" * min(100, sum(widths) + 2 * (len(widths) - 1))

    def row(line: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()

    return [*([title] if title else []), row(list(columns)), rule, *map(row, cells)]


def visible(text: str) -> str:
    """Show control characters of untrusted text instead of obeying them."""
    return text.translate(_CONTROL)


@contextmanager
def errors_for_people(*, as_json: bool) -> Iterator[None]:
    """Turn a foreseen failure into code, object, cause and next command, and its exit code.

    An unforeseen one is a bug: it ends with exit code 1 and a file that holds the traceback.
    """
    try:
        yield
    except KeyboardInterrupt:
        error = InterruptedRun("stopped by Ctrl-C.", obj="groundwork", hint="The same command resumes.")
        _fail(error, as_json=as_json)
    except GroundworkError as error:
        _fail(error, as_json=as_json)
    except typer.Exit:
        raise
    except Exception as error:
        _fail(_internal(error), as_json=as_json)


def _internal(error: Exception) -> GroundworkError:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile(
        "w", prefix="groundwork-", suffix=".log", delete=False, encoding="utf-8"
    ) as stream:
        stream.write("".join(traceback.format_exception(error)))
    message = f"{type(error).__name__}: {error}. This is a bug of Groundwork."
    return GroundworkError(message, obj="groundwork", hint=f"Report it with {stream.name}.")


def _fail(error: GroundworkError, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"error": error.as_dict()}, indent=2))
    else:
        red = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        head = f"error[{error.code}]"
        typer.echo(f"\x1b[31m{head}\x1b[0m" if red else head, err=True, nl=False)
        typer.echo(f" {visible(error.obj)}", err=True)
        typer.echo(f"  {visible(error.message)}", err=True)
        typer.echo(f"  next: {visible(error.hint)}", err=True)
    raise typer.Exit(error.exit_code)


def listen() -> Callable[[str], None]:
    """Send what the steps say to stderr, and return a function that says something.

    On a terminal, progress lines overwrite each other; piped, every line stands.
    """
    from tasks.steps import LOGGER

    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    if not any(isinstance(handler, _Narrator) for handler in logger.handlers):
        logger.addHandler(_Narrator())
    return logger.info


class _Narrator(logging.Handler):
    """Writes to stderr; on a terminal a line that counts replaces the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = False

    def emit(self, record: logging.LogRecord) -> None:
        line = visible(record.getMessage())
        terminal = sys.stderr.isatty()
        if self.pending:
            sys.stderr.write("\r\x1b[2K")
            self.pending = False
        if terminal and _COUNTING.match(line):
            sys.stderr.write(line)
            self.pending = True
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
