"""``groundwork pseudo-label``: masks for boxes, with scores and provenance."""

from pathlib import Path
from typing import Literal

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, repository, table


def pseudo_label(
    source: Path = typer.Argument(
        ..., help="COCO file with boxes, or a folder with annotations/instances_<split>.json."
    ),
    kind: Literal["boxes"] = typer.Option(..., "--from", help="What the labels are made of."),
    out: Path = typer.Option(..., help="Directory to create, or one made by this command to replace."),
    images: Path | None = typer.Option(
        None, help="Folder of the images. Default, for a folder: the one named like the split."
    ),
    model: str = typer.Option(
        "champion", help="A segmenter directory, `champion`, a bundle id, or `none`: colour alone."
    ),
    split: str = typer.Option("train", help="Which split of a folder."),
    workers: int = typer.Option(1, help="Processes; any number gives the same bytes."),
    as_json: bool = JsonOption,
) -> None:
    """Turn boxes into masks: a COCO file and a page that shows it. Killed, the same command goes on.

    Masks in the input are not read. A box that gets no mask keeps its box, with the reason.

    Examples: `groundwork pseudo-label data/sample --from boxes --model none --out artifacts/pseudo` ·
    `groundwork pseudo-label boxes.json --from boxes --images photos --out artifacts/pseudo --workers 8`
    """
    with errors_for_people(as_json=as_json):
        from tasks.operations.pseudo_labelling import LABELS, PAGE, PseudoLabelling, label_boxes

        del kind  # boxes are all there is
        wanted = PseudoLabelling(
            source=source,
            out=out,
            images=images,
            model=None if model == "none" else _locate(model),
            split=split,
            workers=workers,
        )
        document = label_boxes(wanted, say=listen())
        counts = document["counts"]
        rows = [
            ("images", counts["images"]),
            ("boxes", counts["boxes"]),
            ("masks", counts["masks"]),
            *((f"without: {reason}", number) for reason, number in counts["refused"].items()),
            ("mean score", counts["mean_score"]),
            ("sha256", document["manifest_sha256"]),
            ("file", out / LABELS),
            ("look at", out / PAGE),
        ]
        emit(document, as_json=as_json, lines=table("", (document["method"], "value"), rows))


def _locate(model: str) -> Path:
    if (Path(model) / "manifest.json").exists():
        return Path(model).resolve()
    from tasks.errors import UnavailableError
    from tasks.operations.locating import find_model
    from tasks.services.settings import Settings

    try:
        return find_model(model, Settings.load(repository())).folder
    except UnavailableError as error:
        hint = f"{error.hint} Without any model: --model none."
        raise UnavailableError(error.message, obj=error.obj, hint=hint) from error
