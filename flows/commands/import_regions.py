"""``groundwork data import-regions``: conversations and facts about regions that others published."""

from pathlib import Path
from typing import Any, Literal, TypeAlias

import typer

from flows.console import JsonOption, emit, errors_for_people, listen, table

Form: TypeAlias = Literal["osprey", "llava", "visual-genome", "vcr", "coco", "lvis", "refcoco"]
Kind: TypeAlias = Literal[
    "conversation", "part", "short_form", "lvis", "description", "categories", "captioned", "expressions"
]
_ASK = (
    "describe, name, exists or choose, of files without questions; repeatable. Default: describe where "
    "they have phrases, else name."
)
_SPLIT = "Name in the records, `train` by default. refcoco: the split to take, all by default."
_DRAWS = "How often questions are drawn: an epoch of training shows each image as often, and asks anew."
_NEGATIVE = "exists: a region is not what is nearest to it, or not something drawn at random."


def import_regions(  # noqa: PLR0913, PLR0917 - one line of a shell
    files: list[Path] = typer.Argument(..., metavar="FILE...", help="As published; see below."),
    form: Form = typer.Option(..., "--from", help="Whose form the files have."),
    out: Path = typer.Option(..., help="Directory to create, or one made by this command to replace."),
    ask: list[str] = typer.Option([], help=_ASK),
    kind: Kind | None = typer.Option(None, help="osprey: of the files. Default: as each file says."),
    dataset: str | None = typer.Option(None, help="Name in the records. Default: the form."),
    split: str | None = typer.Option(None, help=_SPLIT),
    images: Path | None = typer.Option(None, help="vcr: the folder vcr1images."),
    negative: Literal["nearest", "random"] = typer.Option("nearest", help=_NEGATIVE),
    seed: int = typer.Option(0, help="Of what is drawn: order, phrases, wording."),
    most: int = typer.Option(20, help="Regions of an image that are asked about."),
    draws: int = typer.Option(1, help=_DRAWS),
    limit: int | None = typer.Option(None, help="Take the first images or conversations alone."),
    cut: bool = typer.Option(False, "--cut", help="visual-genome: cut boxes at the border of their image."),
    coco_2017: bool = typer.Option(False, "--coco-2017", help="osprey: names of COCO 2014 become 2017's."),
    as_json: bool = JsonOption,
) -> None:
    """Turn files about regions into a directory that `groundwork tune`, `answer` and `score regions` read.

    osprey: files of Osprey-724K, evaluation lists, Visual Genome and RefCOCO with masks. visual-genome:
    region_descriptions.json and image_data.json. refcoco: refs(...).p and instances.json, one document, or
    lines. llava, vcr, coco, lvis: one file.

    Examples: `groundwork data import-regions instances_train.json --from coco --ask name --ask exists
    --out artifacts/coco-regions` · `groundwork data import-regions "refs(unc).p" instances.json
    --from refcoco --split val --out artifacts/refcoco-val`
    """
    with errors_for_people(as_json=as_json):
        place = {"images": images, "dataset": dataset, "split": split}
        source = {
            "form": form,
            "files": tuple(files),
            "kind": kind,
            "cut": cut,
            "coco_2017": coco_2017,
            **place,
        }
        drawn = {"negative": negative, "seed": seed, "most": most, "draws": draws, "limit": limit}
        document = _import(source, {"out": out, "ask": tuple(ask), **drawn})
        emit(document, as_json=as_json, lines=table("", (form, "value"), _rows(document, out)))


def _import(source: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    from tasks.operations.importing_regions import RegionImport, import_regions
    from tasks.operations.region_sources import RegionSource

    return import_regions(RegionImport(source=RegionSource(**source), **wanted), say=listen())


def _rows(document: dict[str, Any], out: Path) -> list[tuple[str, Any]]:
    counts = document["counts"]
    return [
        *((name, counts[name]) for name in ("samples", "images", "regions", "masks", "questions")),
        *((f"questions: {name}", number) for name, number in counts["kinds"].items()),
        ("sha256", document["manifest_sha256"]),
        ("file", out / "samples.jsonl"),
    ]
