"""``groundwork compare``: two models side by side, on the same images."""

from pathlib import Path
from typing import Any

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, repository, table


def compare(
    candidate: str = typer.Argument(
        ..., help="Model A: a directory, `champion`, a bundle id, or `models:/<name>/<version>`."
    ),
    other: str = typer.Argument(..., help="Model B, the same. Every difference is A minus B."),
    data: str | None = typer.Option(
        None,
        help="Version of the data: digits of its sha256, or a git revision. Default: that of the checkout.",
    ),
    out: Path | None = typer.Option(
        None, help="Directory of the page; an earlier comparison is replaced. Default: among the reports."
    ),
    open_page: bool = typer.Option(False, "--open", help="Open the page in the browser."),
    as_json: bool = JsonOption,
) -> None:
    """Measure two models on the same images and render a page of their differences. Nothing is judged.

    Examples: `groundwork compare artifacts/segmenter champion --open` ·
    `groundwork compare models:/segmenter/3 champion --data 325adb2f --out comparison --json`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.comparing import compare_models
        from tasks.services.settings import Settings

        say = listen()
        root = repository()
        target = None if out is None else out.absolute()
        found = compare_models(candidate, other, root, Settings.load(root), data=data, out=target, say=say)
        document = {"comparison": str(found.page), **found.numbers}
        emit(document, as_json=as_json, lines=[*_lines(found.numbers), str(found.page)])
        if open_page:
            typer.launch(found.page.as_uri())


def _lines(numbers: dict[str, Any]) -> list[str]:
    rows = [
        (
            item["name"],
            _number(item["candidate"]),
            _number(item["champion"]),
            _number(item["difference"], sign="+"),
            "" if item["interval"] is None else "[{:+.4f}, {:+.4f}]".format(*item["interval"]),
        )
        for item in numbers["metrics"]
    ]
    level = f"{100 * (1 - numbers['intervals']['alpha']):g} % interval"
    sides = [f"{letter}: {numbers[side]['name']}" for letter, side in (("A", "candidate"), ("B", "champion"))]
    return [*sides, *table("", ("metric", "A", "B", "A - B", level), rows)]


def _number(value: float | None, *, sign: str = "") -> str:
    return "undefined" if value is None else f"{value:{sign}.4f}"
