"""``groundwork data import-weak``: scribbles, points and blocks that others wrote."""

from pathlib import Path
from typing import Literal

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, table


def import_weak(  # noqa: PLR0913, PLR0917 - one line of a shell
    form: Literal["scribbles", "points", "blocks"] = typer.Argument(
        ..., help="scribbles: ScribbleSup XML. points: What's the Point JSON. blocks: PNG label maps."
    ),
    labels: list[Path] = typer.Option(..., help="Folder of the files; points: a JSON file, repeatable."),
    images: Path = typer.Option(..., help="Folder of the images."),
    listing: Path = typer.Option(
        ..., "--list", help="One image name a line, without its ending: the images of the split."
    ),
    out: Path = typer.Option(..., help="Directory to create, or one made by this command to replace."),
    classes: Path | None = typer.Option(
        None, help="classes.json: which byte is which class. Default: the 21 classes of PASCAL VOC."
    ),
    split: str = typer.Option("train", help="Name of the split in the records."),
    image_name: str = typer.Option("{}.jpg", help="File of an image from its name in the list."),
    label_name: str | None = typer.Option(None, help="The same of its labels. Default: {}.xml or {}.png."),
    outside: Literal["refuse", "clip"] = typer.Option(
        "refuse", help="Points outside their image, as some published ones are."
    ),
    as_json: bool = JsonOption,
) -> None:
    """Turn labels as others published them into a directory that `groundwork fit` reads.

    Examples: `groundwork data import-weak scribbles --labels scribbles/pascal_2012 --images VOC/JPEGImages
    --list train_aug.txt --outside clip --out artifacts/voc` · `groundwork data import-weak blocks
    --labels blocks --classes classes.json --images leftImg8bit/train --image-name '{}_leftImg8bit.png'
    --list train.txt --out artifacts/city`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.importing_weak import WeakImport
        from tasks.operations.importing_weak import import_weak as read

        wanted = WeakImport(
            form=form,
            labels=tuple(labels),
            images=images,
            listing=listing,
            out=out,
            classes=classes,
            split=split,
            image_name=image_name,
            label_name=label_name,
            outside=outside,
        )
        document = read(wanted, say=listen())
        counts = document["counts"]
        rows = [
            ("images", document["images"]),
            ("labelled pixels", f"{counts['labelled']} of {counts['pixels']} ({counts['share']:.4%})"),
            ("contested pixels", document["contested"]),
            ("points outside", document["outside"]),
            ("sha256", document["manifest_sha256"]),
            ("look at", out / "sheet.jpg"),
        ]
        emit(document, as_json=as_json, lines=table("", (form, "value"), rows))
