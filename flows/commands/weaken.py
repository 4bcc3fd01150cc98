"""``groundwork data weaken``: points, scribbles or blocks out of full labels."""

from pathlib import Path
from typing import Literal

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, table


def weaken(
    folder: Path = typer.Argument(
        ..., help="Folder with annotations/instances_<split>.json or panoptic_<split>.json."
    ),
    kind: Literal["points", "scribbles", "blocks", "full"] = typer.Option(..., help="What to draw."),
    seed: int = typer.Option(..., help="Decides every place; the same seed draws the same labels."),
    out: Path = typer.Option(..., help="Directory to create, or one made by this command to replace."),
    split: str = typer.Option("train", help="Which split of the folder."),
    share: float | None = typer.Option(None, help="Blocks: share of the pixels to label. Default: 0.1."),
    regions: Literal["objects", "parts"] = typer.Option(
        "objects", help="What to draw on: things with a mask, or connected parts of a class."
    ),
    as_json: bool = JsonOption,
) -> None:
    """Draw weak labels out of full ones, and a sheet that shows them.

    Example: `groundwork data weaken data/sample --kind scribbles --seed 1 --out artifacts/scribbles`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.weakening import Weakening, weaken_folder

        wanted = Weakening(
            source=folder, out=out, kind=kind, seed=seed, split=split, regions=regions, share=share
        )
        document = weaken_folder(wanted, say=listen())
        counts = document["counts"]
        rows = [
            ("images", document["images"]),
            (
                "labelled pixels",
                f"{counts['labelled']} of {counts['with_class']} ({counts['share']:.4%})",
            ),
            ("marked regions", f"{counts['regions_marked']} of {counts['regions']}"),
            ("sha256", document["manifest_sha256"]),
            ("look at", out / "sheet.jpg"),
        ]
        emit(document, as_json=as_json, lines=table("", (kind, "value"), rows))
