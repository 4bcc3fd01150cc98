"""``groundwork pseudo-label``: masks for boxes, or classes for pixels, with scores and provenance."""

from pathlib import Path
from typing import Any, Literal

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, repository, table

_ONLY = {
    "boxes": {"images": "--images", "model": "--model"},
    "clip": {
        "weights": "--weights",
        "classes": "--classes",
        "side": "--side",
        "denoise": "--denoise",
        "smooth": "--smooth",
        "confidence": "--confidence",
    },
}
"""Options that one kind of labels has and the other has not."""


def pseudo_label(  # noqa: PLR0913, PLR0917 - one line of a shell
    source: Path = typer.Argument(
        ...,
        help="boxes: COCO file, or a folder with annotations/instances_<split>.json. clip: folder of images.",
    ),
    kind: Literal["boxes", "clip"] = typer.Option(..., "--from", help="What the labels are made of."),
    out: Path = typer.Option(..., help="Directory to create, or one made by this command to replace."),
    images: Path | None = typer.Option(
        None, help="boxes: folder of the images. Default, for a folder: the one named like the split."
    ),
    model: str | None = typer.Option(
        None,
        help="boxes: a segmenter directory, `champion`, a bundle id, or `none`: colour alone. "
        "Default: champion.",
    ),
    weights: str | None = typer.Option(
        None, help="clip: directory of a CLIP, or its name on the hub, as owner/name or owner/name@revision."
    ),
    classes: Path | None = typer.Option(
        None, help="clip: one class a line, `name` or `name: word, word`; or classes.json."
    ),
    side: int | None = typer.Option(
        None, help="clip: what the shorter side becomes, in pixels. Default: 512."
    ),
    denoise: float | None = typer.Option(
        None, help="clip: leave out classes that no patch of an image reaches; 0: none. Default: 0.5."
    ),
    smooth: float | None = typer.Option(
        None, help="clip: patches less sure than this ask those with like keys; 0: none. Default: 1."
    ),
    confidence: float | None = typer.Option(
        None, help="clip: pixels less sure than this stay unlabelled. Default: 0."
    ),
    split: str = typer.Option("train", help="Which split of a folder."),
    workers: int = typer.Option(1, help="Processes; any number gives the same bytes."),
    as_json: bool = JsonOption,
) -> None:
    """Labels without a hand: masks for boxes (COCO), or classes for pixels by CLIP (label maps), and a page.

    Killed, the same command goes on. Masks in the input are not read. A box that gets no mask keeps its box,
    with the reason.

    Examples: `groundwork pseudo-label data/sample --from boxes --model none --out artifacts/pseudo` ·
    `groundwork pseudo-label boxes.json --from boxes --images photos --out artifacts/pseudo --workers 8` ·
    `groundwork pseudo-label photos --from clip --weights models/clip --classes classes.txt --out labels`
    """
    with errors_for_people(as_json=as_json):
        given = {
            "images": images, "model": model, "weights": weights, "classes": classes, "side": side,
            "denoise": denoise, "smooth": smooth, "confidence": confidence,
        }  # fmt: skip
        _refuse_others(kind, given)
        place: dict[str, Any] = {"out": out, "split": split, "workers": workers}
        if kind == "boxes":
            document, rows = _from_boxes(source, images, model or "champion", place)
            title = document["method"]
        else:
            document, rows = _from_clip(source, given, place)
            title = "clip"
        emit(document, as_json=as_json, lines=table("", (title, "value"), rows))


def _refuse_others(kind: str, given: dict[str, Any]) -> None:
    from tasks.errors import UsageError

    for other, options in _ONLY.items():
        for name, option in options.items():
            if other != kind and given[name] is not None:
                raise UsageError(
                    f"belongs to --from {other}.",
                    obj=option,
                    hint="Leave it out: the images are in the folder that is named first."
                    if name == "images"
                    else f"Leave it out, or say --from {other}.",
                )


def _from_boxes(
    source: Path, images: Path | None, model: str, place: dict[str, Any]
) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    from tasks.operations.pseudo_labelling import LABELS, PAGE, PseudoLabelling, label_boxes

    where = None if model == "none" else _locate(model)
    wanted = PseudoLabelling(source=source, images=images, model=where, **place)
    document = label_boxes(wanted, say=listen())
    counts = document["counts"]
    return document, [
        ("images", counts["images"]),
        ("boxes", counts["boxes"]),
        ("masks", counts["masks"]),
        *((f"without: {reason}", number) for reason, number in counts["refused"].items()),
        ("mean score", counts["mean_score"]),
        ("sha256", document["manifest_sha256"]),
        ("file", wanted.out / LABELS),
        ("look at", wanted.out / PAGE),
    ]


def _from_clip(
    source: Path, given: dict[str, Any], place: dict[str, Any]
) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    from tasks.errors import UsageError
    from tasks.operations.clip_labelling import PAGE, ClipLabelling, label_images
    from tasks.operations.clip_shards import ClipParameters

    for name, hint in (
        ("weights", "Name the directory of a CLIP, or a name of the hub: --weights owner/name."),
        ("classes", "Name a file with one class a line: --classes classes.txt."),
    ):
        if given[name] is None:
            raise UsageError("is needed by --from clip.", obj=f"--{name}", hint=hint)
    numbers = {name: given[name] for name in ("denoise", "smooth", "confidence") if given[name] is not None}
    if given["side"] is not None:
        numbers |= {"shortest": given["side"], "longest": 4 * given["side"]}
    try:
        parameters = ClipParameters(**numbers)
    except ValueError as error:
        raise UsageError(
            str(error), obj="--side, --denoise, --smooth, --confidence", hint="Correct the number."
        ) from error
    wanted = ClipLabelling(
        images=source, weights=given["weights"], classes=given["classes"], parameters=parameters, **place
    )
    document = label_images(wanted, say=listen())
    counts, found = document["counts"], [row for row in document["classes"] if row["labelled"]]
    return document, [
        ("images", counts["images"]),
        ("labelled pixels", f"{counts['labelled']} of {counts['pixels']} ({counts['share']:.2%})"),
        ("classes found", f"{len(found)} of {len(document['classes'])}"),
        ("mean confidence", counts["mean_confidence"]),
        ("weights", document["weights"]["sha256"]),
        ("sha256", document["manifest_sha256"]),
        ("look at", wanted.out / PAGE),
    ]


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
