"""``groundwork answer``: what a model says about regions, for ``groundwork score regions``."""

from pathlib import Path
from typing import Literal

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, table


def answer(  # noqa: PLR0913, PLR0917 - one line of a shell
    model: Path = typer.Argument(..., help="Model that `groundwork convert` or `groundwork tune` made."),
    data: Path = typer.Option(..., help="Directory that `groundwork data import-regions` made."),
    images: Path = typer.Option(..., help="Folder that the image files of the samples start from."),
    out: Path = typer.Option(..., help="Directory to create, or one made by this command to replace."),
    limit: int | None = typer.Option(None, help="Ask the first questions alone."),
    max_new_tokens: int = typer.Option(64, help="Longest answer, in tokens."),
    shown: Literal["mask", "box"] = typer.Option(
        "mask", help="What stands for a region: its mask, or its box where it has none; or always the box."
    ),
    history: Literal["told", "none"] = typer.Option(
        "told", help="told: behind the earlier turns with their true answers. none: each question alone."
    ),
    batch: int = typer.Option(16, help="Questions that are answered in one batch."),
    workers: int = typer.Option(1, help="Processes; any number gives the same bytes."),
    as_json: bool = JsonOption,
) -> None:
    """Ask a model every question about regions, greedily. Killed, the same command goes on.

    Example: `groundwork answer models/osprey --data artifacts/refcoco-val --images coco/train2014
    --out artifacts/answers`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.answering import Answering, answer_questions

        wanted = Answering(
            model=model,
            data=data,
            images=images,
            out=out,
            limit=limit,
            max_new_tokens=max_new_tokens,
            shown=shown,
            history=history,
            at_once=batch,
            workers=workers,
        )
        document = answer_questions(wanted, say=listen())
        rows = [
            ("questions", document["questions"]),
            ("asked", document["asked"]),
            ("without a word", document["empty"]),
            ("model", document["model_sha256"]),
            ("sha256", document["manifest_sha256"]),
            ("file", out / "answers.jsonl"),
        ]
        emit(document, as_json=as_json, lines=table("", ("answers", "value"), rows))
