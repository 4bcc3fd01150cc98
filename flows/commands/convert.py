"""``groundwork convert``: a published checkpoint becomes a directory of ours, no name left out."""

from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, repository


class PublishedSystem(StrEnum):
    """Whose names a checkpoint has."""

    OSPREY = "osprey"
    TOKENPACKER = "tokenpacker"
    LLAVA = "llava"


def convert(  # noqa: PLR0913, PLR0917 - one line of a shell
    folder: Path = typer.Argument(..., help="As published: config.json, weights, tokenizer."),
    system: PublishedSystem = typer.Option(..., "--from", help="Whose names its weights have."),
    out: Path | None = typer.Option(
        None, help="Directory to write. Without it, names of both sides are compared and nothing is written."
    ),
    recipe: str | None = typer.Option(
        None,
        help="Name of a file in configs/region_lm, or a path; the one called like the system by default.",
    ),
    changes: list[str] = typer.Option(
        [], "--set", help="key=value of the recipe, e.g. model.projector.scale=3. Repeatable."
    ),
    vision: Path | None = typer.Option(
        None, help="Folder or file with the encoder's weights, where the checkpoint leaves them out."
    ),
    tokenizer: Path | None = typer.Option(None, help="Folder of the tokenizer; the checkpoint's by default."),
    dtype: str | None = typer.Option(
        None, help="float32, bfloat16 or float16, for every weight; that of the embeddings by default."
    ),
    sandbox: bool = typer.Option(
        False,
        "--sandbox",
        help="Look into pickles, by a process that runs nothing of them; else they are refused.",
    ),
    as_json: bool = JsonOption,
) -> None:
    """Convert a published checkpoint of LLaVA, TokenPacker or Osprey.

    Examples: `groundwork convert --from osprey Osprey-7b --vision open_clip_pytorch_model.bin --sandbox
    --out models/osprey` · `groundwork convert --from tokenpacker TokenPacker-7b --recipe tokenpacker_hd`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.converting import ConvertRequest, convert_checkpoint

        request = ConvertRequest(
            system=system.value,
            folder=folder,
            out=out,
            recipe=recipe,
            changes=tuple(changes),
            vision=vision,
            tokenizer=tokenizer,
            dtype=dtype,
            sandbox=sandbox,
        )
        document = convert_checkpoint(request, repository(), say=listen())
        emit(document, as_json=as_json, lines=_lines(document))


def _lines(document: dict[str, Any]) -> list[str]:
    lines = [f"{document['matched']} weights have a place in {document['recipe']}"]
    for origin, names in document["unmatched"].items():
        lines += [f"no place here: {name} ({origin})" for name in names]
    for origin, names in document["computed"].items():
        if names:
            lines.append(f"computed, not a weight: {len(names)} of {origin}, such as {names[0]}")
    lines += [f"no value there: {name}" for name in document["missing"]]
    if document["added"]:
        lines.append(f"new rows, the mean of the known ones: {', '.join(document['added'])}")
    if document["out"] is None:
        return [*lines, "nothing was written: add --out"]
    cast = f"; {document['cast']} were of another type" if document["cast"] else ""
    return [*lines, f"{document['out']}: {document['dtype']}{cast}", f"sha256 {document['sha256']}"]
