"""Two files in COCO form that Osprey trains on, as facts: captions stand where COCO has none.

* Visual Genome with masks drawn from its boxes: ``annotations[].caption``; what has ``"ignore": true`` is
  left out, as the file says.
* RefCOCO with masks: each expression has an entry in ``images``, with ``caption`` and the id of the picture
  in ``original_id``; its annotation is what the expression means, with its own ``original_id``.

Source: the loaders of https://github.com/CircleRadon/Osprey.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.data.refcoco import check_types
from tasks.data.region_facts import FactRegion, RegionFacts, read_place
from tasks.data.region_records import SampleRegion
from tasks.data.strict_json import JsonValue, read_json
from tasks.errors import DataError

_Row = dict[str, Any]


def read_captioned_regions(path: Path, *, dataset: str, split: str = "train") -> list[RegionFacts]:
    """Read a file whose annotations have captions.

    Args:
        path: In COCO form.
        dataset: Stands in the facts.
        split: Stands in the facts.

    Returns:
        One entry an image, in order of the file, one text a region; images without a region have an entry.

    Raises:
        DataError: With the file and the annotation, if it is malformed, names an image that is not there, has
            no caption, an empty mask, or a place outside its image.
    """

    def text(row: _Row, _: _Row) -> str | None:
        if row.get("ignore", False) not in (False, 0):
            return None
        return str(check_types(row, "an annotation", caption=str)["caption"])

    return _read(path, dataset, split, text)


def read_captioned_images(path: Path, *, dataset: str, split: str = "train") -> list[RegionFacts]:
    """Read a file whose images are expressions about their one annotation.

    Args:
        path: In COCO form.
        dataset: Stands in the facts.
        split: Stands in the facts.

    Returns:
        One entry an expression, in order of the file.

    Raises:
        DataError: As ``read_captioned_regions``, or if an expression has not exactly one annotation.
    """

    def text(_: _Row, image: _Row) -> str | None:
        return str(check_types(image, "an image", caption=str, original_id=int)["caption"])

    facts = _read(path, dataset, split, text)
    for image in facts:
        if len(image.regions) != 1:
            raise _invalid(
                f"{path} image {image.image_id}",
                f"an expression must have exactly one annotation, got {len(image.regions)}.",
            )
    return facts


def _read(
    path: Path, dataset: str, split: str, text: Callable[[_Row, _Row], str | None]
) -> list[RegionFacts]:
    images = {row["id"]: row for row in _rows(path, "images")}
    names = {row["id"]: row.get("name") for row in _rows(path, "categories", optional=True)}
    found: dict[int, list[FactRegion]] = {number: [] for number in images}
    for row in _rows(path, "annotations"):
        try:
            if check_types(row, "an annotation", image_id=int)["image_id"] not in images:
                raise ValueError(f"image {row['image_id']} is not in the file.")
            image = check_types(images[row["image_id"]], "its image", file_name=str, height=int, width=int)
            said = text(row, image)
            if said is not None:
                kind = row.get("category_id")
                label = names.get(kind) if type(kind) is int else None
                region = _region(row, (image["height"], image["width"]), label)
                found[image["id"]].append(FactRegion(region=region, texts=(said,)))
        except ValueError as error:
            raise _invalid(f"{path} annotation {row['id']}", str(error)) from error
    facts = []
    for number, image in images.items():
        try:
            check_types(image, "an image", file_name=str, height=int, width=int)
            facts.append(
                RegionFacts(
                    dataset=dataset,
                    split=split,
                    image_id=str(number),
                    file=image["file_name"],
                    size=(image["height"], image["width"]),
                    regions=tuple(found[number]),
                )
            )
        except ValueError as error:
            raise _invalid(f"{path} image {number}", str(error)) from error
    return facts


def _region(row: _Row, size: tuple[int, int], name: JsonValue) -> SampleRegion:
    if "segmentation" not in row:
        raise ValueError("an annotation must have 'segmentation'.")
    box, mask = read_place(row, size)
    return SampleRegion(box_xyxy=box, mask=mask, label=name if isinstance(name, str) else None)


def _rows(path: Path, table: str, *, optional: bool = False) -> list[_Row]:
    document = read_json(path)
    rows = document.get(table) if isinstance(document, dict) else None
    if rows is None and optional:
        return []
    if not isinstance(rows, list):
        raise _invalid(str(path), f"{table!r} must be a list of objects.")
    seen: set[int] = set()
    for place, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or type(row.get("id")) is not int:
            raise _invalid(f"{path} {table} {place}", "must be an object with an integer 'id'.")
        if row["id"] in seen:
            raise _invalid(f"{path} {table} {place}", f"id {row['id']} appears a second time.")
        seen.add(row["id"])
    return rows


def _invalid(where: str, message: str) -> DataError:
    return DataError(message, obj=where, hint="Correct the file, or fetch it again.")
