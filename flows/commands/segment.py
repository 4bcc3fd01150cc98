"""``groundwork segment``: the class of every pixel of a folder of images."""

from pathlib import Path

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, table


def segment(
    model: Path = typer.Argument(..., help="Model that `groundwork fit` made from a semantic recipe."),
    images: Path = typer.Argument(..., help="Folder of images and of nothing else."),
    out: Path = typer.Option(..., help="Directory to create, or one made by this command to replace."),
    split: str = typer.Option("train", help="Name of the split in the records, for another training."),
    as_json: bool = JsonOption,
) -> None:
    """Write a label map for every image, and a sheet that shows them.

    Example: `groundwork segment artifacts/semantic data/sample/val --out artifacts/found`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.segmenting import Segmenting, segment_folder

        wanted = Segmenting(model=model, images=images, out=out, split=split)
        document = segment_folder(wanted, say=listen())
        pixels = document["counts"]["pixels"]
        rows = [
            ("images", document["images"]),
            *((row["name"], f"{row['labelled'] / pixels:.2%}") for row in document["classes"]),
            ("sha256", document["manifest_sha256"]),
            ("label maps", out / "labels"),
            ("look at", out / "sheet.jpg"),
        ]
        emit(document, as_json=as_json, lines=table("", ("segment", "value"), rows))
