"""The objects of a file in COCO form, as facts: regions with their categories. Crowds are no regions.

A file is enough, wherever it lies: no dataset of its layout is needed, and an image's file is its name alone.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.data.coco import read_flag
from tasks.data.refcoco import check_types
from tasks.data.region_facts import FactRegion, RegionFacts, read_place
from tasks.data.region_records import SampleRegion
from tasks.data.strict_json import read_json
from tasks.errors import DataError

Row = dict[str, Any]


def read_coco_facts(path: Path, *, dataset: str, split: str) -> list[RegionFacts]:
    """Read ``images``, ``annotations`` and ``categories``.

    Args:
        path: In COCO form.
        dataset: Stands in the facts.
        split: Stands in the facts.

    Returns:
        One entry an image, in order of the file; images without an object have an entry.

    Raises:
        DataError: With the file and the annotation, if it is malformed, an id repeats, its image or category
            is not there, ``iscrowd`` is no flag, its mask is empty, or it lies outside its image.
    """
    names = {row["id"]: row.get("name") for row in read_table(path, "categories")}

    def region(row: Row, image: Row) -> FactRegion | None:
        check_types(row, "an annotation", category_id=int)
        name = names.get(row["category_id"])
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"category {row['category_id']} has no name in the file.")
        if read_flag(row, "iscrowd"):
            return None
        box, mask = read_place(row, (image["height"], image["width"]))
        return FactRegion(region=SampleRegion(box_xyxy=box, mask=mask, label=name))

    return read_annotations(path, region, dataset=dataset, split=split)


def read_annotations(
    path: Path, region: Callable[[Row, Row], FactRegion | None], *, dataset: str, split: str
) -> list[RegionFacts]:
    """Read ``images`` and what ``annotations`` say of them.

    Args:
        path: In COCO form.
        region: An annotation and its image -> the fact, or None if it is none; a ``ValueError`` is its fault.
        dataset: Stands in the facts.
        split: Stands in the facts.

    Returns:
        One entry an image, in order of the file.

    Raises:
        DataError: With the file and the annotation.
    """
    images = {row["id"]: row for row in read_table(path, "images")}
    found: dict[int, list[FactRegion]] = {number: [] for number in images}
    for row in read_table(path, "annotations"):
        try:
            if check_types(row, "an annotation", image_id=int)["image_id"] not in images:
                raise ValueError(f"image {row['image_id']} is not in the file.")
            image = check_types(images[row["image_id"]], "its image", file_name=str, height=int, width=int)
            fact = region(row, image)
            if fact is not None:
                found[image["id"]].append(fact)
        except ValueError as error:
            raise malformed(f"{path} annotation {row['id']}", str(error)) from error
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
            raise malformed(f"{path} image {number}", str(error)) from error
    return facts


def read_table(path: Path, table: str, *, optional: bool = False) -> list[Row]:
    """Return a list of a file: objects with an id each.

    Raises:
        DataError: If it is missing, unless that is allowed, or not such a list, or an id repeats: with both
            places, from 1.
    """
    document = read_json(path)
    rows = document.get(table) if isinstance(document, dict) else None
    if rows is None and optional:
        return []
    if not isinstance(rows, list):
        raise malformed(str(path), f"{table!r} must be a list of objects.")
    seen: dict[int, int] = {}
    for place, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or type(row.get("id")) is not int:
            raise malformed(f"{path} {table} {place}", "must be an object with an integer 'id'.")
        if row["id"] in seen:
            raise malformed(
                f"{path} {table} {place}",
                f"id {row['id']} appears a second time, first in {table} {seen[row['id']]}.",
            )
        seen[row["id"]] = place
    return rows


def malformed(where: str, message: str) -> DataError:
    """Return the error of a file in COCO form."""
    return DataError(message, obj=where, hint="Correct the file, or fetch it again.")
