"""COCO annotation files <-> records. Boxes are ``xywh`` in the files and ``xyxy`` everywhere else.

``read_split`` hands out the raw tables for the validators; ``to_records`` expects that they found nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tasks.data.importing import annotation_file
from tasks.data.records import ImageRecord, MaskRle, RegionRecord
from tasks.data.rle import from_polygons, from_runs, mask_area, run_lengths
from tasks.data.strict_json import JsonValue, read_json
from tasks.errors import DataError

MARGIN: Final = 1.0
"""Pixels that a box may end outside its image: rounding, not imagination."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoSplit:
    """The three tables of one annotation file, as they were written."""

    name: str
    """``train`` or ``val``."""
    file: str
    """POSIX path relative to the dataset directory."""
    images: tuple[dict[str, Any], ...]
    annotations: tuple[dict[str, Any], ...]
    categories: tuple[dict[str, Any], ...]


def read_split(dataset: Path, name: str) -> CocoSplit:
    """Read the tables of one split without judging their values.

    Raises:
        DataError: If the file is not strict JSON, or a table is absent or not a list of objects.
    """
    path = dataset / annotation_file(name)
    document = read_json(path)
    tables = {}
    for table in ("images", "annotations", "categories"):
        rows = document.get(table) if isinstance(document, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(
                f"{table!r} must be a list of objects.",
                obj=str(path),
                hint="Correct the annotation file, then import it again.",
            )
        tables[table] = tuple(rows)
    return CocoSplit(name=name, file=annotation_file(name), **tables)


def category_names(split: CocoSplit) -> tuple[str, ...]:
    """Return the names in the order of their ids: the place of a name is the label of a model."""
    return tuple(row["name"] for row in sorted(split.categories, key=lambda row: row["id"]))


def read_mask(segmentation: JsonValue, height: int, width: int) -> MaskRle:
    """Read a COCO segmentation: polygons, run lengths as numbers, or compressed run lengths.

    Args:
        segmentation: The raw value.
        height: Of the image, in pixels.
        width: Of the image, in pixels.

    Raises:
        ValueError: If the value is malformed, does not have the size of the image, or leaves it. Nothing
            reaches the C code of pycocotools unchecked.
    """
    if isinstance(segmentation, list):
        if not all(isinstance(polygon, list) for polygon in segmentation):
            raise ValueError("segmentation must be a list of polygons.")
        return from_polygons(segmentation, height, width)
    if not isinstance(segmentation, dict) or segmentation.keys() != {"size", "counts"}:
        raise ValueError('segmentation must be polygons or {"size": [height, width], "counts": ...}.')
    size, counts = segmentation["size"], segmentation["counts"]
    if size != [height, width]:
        raise ValueError(f"mask size is {size}, the image has [{height}, {width}].")
    if isinstance(counts, str):
        rle = MaskRle(height=height, width=width, counts=counts)
        run_lengths(rle)
        return rle
    if not isinstance(counts, list) or any(type(run) is not int for run in counts):
        raise ValueError(f"counts must be text or a list of integers, got {type(counts).__name__}.")
    return from_runs(counts, height, width)


def to_records(split: CocoSplit, sha256: Mapping[str, str], *, masks: bool) -> list[ImageRecord]:
    """Turn validated tables into records, ordered by image id and annotation id.

    Args:
        split: Tables in which the validators found nothing.
        sha256: File of an image, relative to the dataset -> its sha256 in hex.
        masks: False leaves every mask unread: the records cannot depend on them.

    Returns:
        One record per image. A box that a rounding error put up to one pixel outside ends at the border.
    """
    names = {row["id"]: row["name"] for row in split.categories}
    by_image: dict[int, list[dict[str, Any]]] = {row["id"]: [] for row in split.images}
    for row in split.annotations:
        by_image[row["image_id"]].append(row)
    records = []
    for image in sorted(split.images, key=lambda row: row["id"]):
        rows = sorted(by_image[image["id"]], key=lambda row: row["id"])
        file = f"{split.name}/{image['file_name']}"
        records.append(
            ImageRecord(
                image_id=image["id"],
                file=file,
                height=image["height"],
                width=image["width"],
                sha256=sha256[file],
                regions=tuple(_region(row, image, names, masks=masks) for row in rows),
            )
        )
    return records


def _region(
    row: Mapping[str, Any], image: Mapping[str, Any], names: Mapping[int, str], *, masks: bool
) -> RegionRecord:
    height, width = image["height"], image["width"]
    return RegionRecord(
        region_id=row["id"],
        category=names[row["category_id"]],
        box_xyxy=clip_box(row["bbox"], height, width),
        mask=read_mask(row["segmentation"], height, width) if masks else None,
        is_crowd=bool(row.get("iscrowd", 0)),
    )


def clip_box(bbox: Sequence[float], height: int, width: int) -> tuple[float, float, float, float]:
    """Turn ``[x, y, width, height]`` into ``(left, top, right, bottom)`` that ends at the image's border."""
    x, y, box_width, box_height = (float(number) for number in bbox)
    right, bottom = min(x + box_width, width), min(y + box_height, height)
    return max(x, 0.0), max(y, 0.0), right, bottom


def read_box(bbox: JsonValue, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Turn ``[x, y, width, height]`` into ``(left, top, right, bottom)`` that ends at the image's border.

    Args:
        bbox: The raw value, in pixels.
        size: Height and width of the image in pixels.

    Raises:
        ValueError: If it is malformed, has no extent, or leaves the image by more than a pixel.
    """
    height, width = size
    if type(bbox) is not list or len(bbox) != 4 or any(type(side) not in (int, float) for side in bbox):
        raise ValueError(f"bbox must be 4 numbers, got {str(bbox)[:80]}.")
    x, y, box_width, box_height = bbox
    if not (box_width > 0 and box_height > 0):
        raise ValueError(f"bbox must have a positive width and height, got {bbox}.")
    if min(x, y) < -MARGIN or x + box_width > width + MARGIN or y + box_height > height + MARGIN:
        raise ValueError(f"bbox {bbox} lies outside the image of {width}x{height}.")
    return clip_box(bbox, height, width)


def read_flag(row: Mapping[str, Any], key: str) -> bool:
    """Read a flag such as ``iscrowd``; one that is not there is not set.

    Raises:
        ValueError: If it is neither 0, 1, true nor false: what it means would be a guess.
    """
    value = row.get(key, 0)
    if type(value) not in (int, bool) or value not in (0, 1):
        raise ValueError(f"{key} must be 0, 1, true or false, got {str(value)[:40]!r}.")
    return bool(value)


def to_document(records: Iterable[ImageRecord], categories: Sequence[str]) -> dict[str, Any]:
    """Write records as a COCO document; category ids count from 1 in the order of ``categories``."""
    ids = {name: number for number, name in enumerate(categories, start=1)}
    images, annotations = [], []
    for record in records:
        name = record.file.partition("/")[2]
        images.append(
            {"id": record.image_id, "file_name": name, "height": record.height, "width": record.width}
        )
        annotations += [_annotation(region, record.image_id, ids) for region in record.regions]
    tables = [{"id": number, "name": name} for name, number in ids.items()]
    return {"images": images, "annotations": annotations, "categories": tables}


def _annotation(region: RegionRecord, image_id: int, ids: Mapping[str, int]) -> dict[str, Any]:
    left, top, right, bottom = region.box_xyxy
    row: dict[str, Any] = {
        "id": region.region_id,
        "image_id": image_id,
        "category_id": ids[region.category],
        "iscrowd": int(region.is_crowd),
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
    }
    if region.mask is not None:
        row |= {"segmentation": region.mask.to_json(), "area": float(mask_area(region.mask))}
    return row
