"""``groundwork export``: predictions and truth for other tools."""

from pathlib import Path
from typing import cast

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, repository, table

FORMATS = ("coco", "fiftyone")


def export(
    out: Path = typer.Option(..., help="Directory to write. An export of the same format is replaced."),
    form: str = typer.Option("coco", "--format", help="coco (JSON files) or fiftyone (with the images)."),
    model: str | None = typer.Option(
        None, help="As for `groundwork eval`: a directory, `champion`, ... Default: the current candidate."
    ),
    data: str | None = typer.Option(None, help="Dataset version. Default: the data of the checkout."),
    as_json: bool = JsonOption,
) -> None:
    """Write what a model said about val, and the truth beside it.

    Examples: `groundwork export --out exports/coco` · `groundwork export --format fiftyone --out exports/fo`
    """
    with errors_for_people(as_json=as_json):
        from tasks.errors import UsageError
        from tasks.operations.exporting import Format, export_predictions
        from tasks.services.settings import Settings

        if form not in FORMATS:
            raise UsageError(
                f"must be {' or '.join(FORMATS)}, got {form!r}.",
                obj="--format",
                hint="See `groundwork export --help`.",
            )
        say = listen()
        root = repository()
        result = export_predictions(
            cast(Format, form), out.absolute(), root, Settings.load(root), model=model, data=data, say=say
        )
        names = ("format", "out", "split", "images", "regions", "detections", "files", "size", "model_sha256")
        rows = [(name, result[name]) for name in names]
        emit(result, as_json=as_json, lines=table("", ("export", "value"), rows))
