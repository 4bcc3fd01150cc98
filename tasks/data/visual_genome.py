"""Visual Genome's region descriptions, as facts: phrases about boxes.

Source: Krishna et al., "Visual Genome" (arXiv 1602.07332): ``region_descriptions.json``, a list of ``{"id",
"regions": [{"region_id", "image_id", "phrase", "x", "y", "width", "height"}]}``; ``image_data.json`` says how
large each image is and, at the end of its ``url``, which file.
"""

from pathlib import Path
from typing import Any

from tasks.data.answer_files import invalid
from tasks.data.coco import read_box
from tasks.data.refcoco import check_types
from tasks.data.region_facts import FactRegion, RegionFacts
from tasks.data.region_records import SampleRegion
from tasks.data.strict_json import JsonValue, read_json

_NUMBER = (int, float)
_Row = dict[str, Any]


def read_visual_genome(
    descriptions: Path, image_data: Path, *, dataset: str, split: str = "", cut: bool = False
) -> list[RegionFacts]:
    """Join phrases and boxes with their images.

    Args:
        descriptions: ``region_descriptions.json``.
        image_data: ``image_data.json``.
        dataset: Stands in the facts.
        split: Stands in the facts.
        cut: Whether boxes are cut at the border of their image. Some of the published ones reach far beyond
            it, and each stops the reader if they are not cut; a box with nothing inside always does.

    Returns:
        One entry an image of the descriptions, in their order, with boxes and no masks.

    Raises:
        DataError: With file and image, if an entry is malformed, the id of an image or a region repeats (with
            both places), an image has no data, a region is of another image, has a blank phrase, or lies
            outside.
    """
    images = _images(image_data)
    facts = []
    seen: dict[int, int] = {}
    regions: dict[int, int] = {}  # id -> its image
    for number, row in enumerate(_list(descriptions), start=1):
        where = f"{descriptions} entry {number}"
        try:
            check_types(row, "an entry", id=int, regions=list)
            where = f"{descriptions} image {row['id']}"
            if row["id"] in seen:
                raise ValueError(f"appears a second time, in entries {seen[row['id']]} and {number}.")
            seen[row["id"]] = number
            if row["id"] not in images:
                raise ValueError(f"is not in {image_data.name}.")
            image = images[row["id"]]
            facts.append(
                RegionFacts(
                    dataset=dataset,
                    split=split,
                    image_id=str(row["id"]),
                    file=image["file"],
                    size=image["size"],
                    regions=_regions(row, image["size"], regions, cut=cut),
                )
            )
        except ValueError as error:
            raise invalid(where, str(error)) from error
    return facts


def _regions(row: _Row, size: tuple[int, int], seen: dict[int, int], *, cut: bool) -> tuple[FactRegion, ...]:
    """Read the regions of an entry; ``seen`` gets their ids."""
    regions = []
    for place, region in enumerate(row["regions"], start=1):
        name = f"region {region.get('region_id', place) if isinstance(region, dict) else place}"
        try:
            check_types(region, "a region", phrase=str, x=_NUMBER, y=_NUMBER, width=_NUMBER, height=_NUMBER)
            if region.get("image_id", row["id"]) != row["id"]:
                raise ValueError(f"is of image {region['image_id']}.")
            _new(region, row["id"], seen)
            bbox = [region["x"], region["y"], region["width"], region["height"]]
            box = read_box(_cut(bbox, size) if cut else bbox, size)
            regions.append(FactRegion(region=SampleRegion(box_xyxy=box), texts=(region["phrase"].strip(),)))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return tuple(regions)


def _new(region: _Row, image_id: int, seen: dict[int, int]) -> None:
    """Refuse an id that another region has; not every file tells ids. Raises ValueError."""
    if "region_id" not in region:
        return
    number = check_types(region, "a region", region_id=int)["region_id"]
    if number in seen:
        raise ValueError(f"its id appears a second time, in images {seen[number]} and {image_id}.")
    seen[number] = image_id


def _cut(bbox: list[float], size: tuple[int, int]) -> list[float]:
    x, y, width, height = bbox
    left, top = max(x, 0), max(y, 0)
    return [left, top, min(x + width, size[1]) - left, min(y + height, size[0]) - top]


def _images(path: Path) -> dict[int, dict[str, Any]]:
    images: dict[int, dict[str, Any]] = {}
    places: dict[int, int] = {}
    for number, row in enumerate(_list(path), start=1):
        try:
            check_types(row, "an image", image_id=int, width=int, height=int, url=str)
            if row["image_id"] in places:
                first = places[row["image_id"]]
                raise ValueError(f"image {row['image_id']} appears a second time, first in entry {first}.")
            places[row["image_id"]] = number
            if min(row["width"], row["height"]) < 1:
                raise ValueError(f"image size must be positive, got {row['width']}x{row['height']}.")
            folder, _, name = row["url"].rpartition("/")
            if not name or not folder:
                raise ValueError(f"url must end in <folder>/<file>, got {row['url'][:80]!r}.")
        except ValueError as error:
            raise invalid(f"{path} entry {number}", str(error)) from error
        images[row["image_id"]] = {
            "file": f"{folder.rpartition('/')[2]}/{name}",
            "size": (row["height"], row["width"]),
        }
    return images


def _list(path: Path) -> list[JsonValue]:
    document = read_json(path)
    if not isinstance(document, list) or not document:
        raise invalid(str(path), "must be a list of objects, and not empty.")
    return document
