"""COCO documents as what detectron2 calls dataset dicts: images and boxes, never a mask.

Everything is checked before a trainer meets it: detectron2 itself leaves annotations out that it does not
like. Nothing of detectron2 is imported and no file is opened.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeGuard

_OUTSIDE = 1.0
"""A box may leave its image by so many pixels: exports round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxRecords:
    """Images with their boxes, and what the categories are called."""

    records: tuple[dict[str, Any], ...]
    """One an image: ``file_name``, ``height``, ``width``, ``image_id`` and ``annotations``; each of these has
    ``bbox`` (left, top, right, bottom in pixels), ``bbox_mode``, ``category_id`` (place of the category) and
    ``iscrowd``."""
    category_names: tuple[str, ...]
    """By place, which follows the ids."""
    category_ids: tuple[int, ...]
    """Ids in the document, by place."""


def box_records(document: object, image_root: str, *, mode: int = 0) -> BoxRecords:
    """Read the boxes of a COCO document; ``segmentation`` is not looked at.

    Args:
        document: What the JSON file holds.
        image_root: Directory of the images.
        mode: What detectron2 calls corners in pixels, ``BoxMode.XYXY_ABS``.

    Returns:
        Images in the order of their ids, boxes in the order of the document.

    Raises:
        ValueError: If something is missing, doubled, of another type or outside its image; with its id.
    """
    images, annotations, categories = (
        _table(document, key) for key in ("images", "annotations", "categories")
    )
    names = _names(categories)
    place = {identity: number for number, identity in enumerate(names)}
    records = _images(images, image_root)
    seen: set[int] = set()
    for row in annotations:
        identity, image, category = row.get("id"), row.get("image_id"), row.get("category_id")
        name = f"annotation {identity!r}"
        if not _integer(identity) or identity in seen:
            raise ValueError(f"{name} needs an integer id of its own.")
        seen.add(identity)
        if not _integer(image) or image not in records:
            raise ValueError(f"{name} is of image {image!r}, which does not exist.")
        if not _integer(category) or category not in place:
            raise ValueError(f"{name} is of category {category!r}, there are {sorted(place)}.")
        records[image]["annotations"].append(
            {
                "bbox": _corners(row.get("bbox"), records[image], name),
                "bbox_mode": mode,
                "category_id": place[category],
                "iscrowd": _crowd(row.get("iscrowd", 0), name),
            }
        )
    return BoxRecords(
        records=tuple(records[identity] for identity in sorted(records)),
        category_names=tuple(names.values()),
        category_ids=tuple(names),
    )


def _table(document: object, key: str) -> Sequence[Mapping[str, Any]]:
    rows = document.get(key) if isinstance(document, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError(f"{key!r} must be a list of objects, as in a COCO instances file.")
    if key != "annotations" and not rows:
        raise ValueError(f"{key!r} is empty; there is nothing to learn from.")
    return rows


def _names(categories: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    names: dict[int, str] = {}
    for row in categories:
        identity, name = row.get("id"), row.get("name")
        if not _integer(identity) or not isinstance(name, str) or not name:
            raise ValueError(f"a category needs an integer id and a name, got {identity!r} and {name!r}.")
        if identity in names or name in names.values():
            raise ValueError(f"category {identity} ({name!r}) occurs twice.")
        names[identity] = name
    return dict(sorted(names.items()))


def _images(images: Sequence[Mapping[str, Any]], image_root: str) -> dict[int, dict[str, Any]]:
    records: dict[int, dict[str, Any]] = {}
    for row in images:
        identity, file_name = row.get("id"), row.get("file_name")
        height, width = row.get("height"), row.get("width")
        if not _integer(identity) or identity in records:
            raise ValueError(f"image {identity!r} needs an integer id of its own.")
        if not (_integer(height) and _integer(width) and min(height, width) > 0):
            raise ValueError(
                f"image {identity} needs a height and a width in pixels, got {height!r}, {width!r}."
            )
        if not isinstance(file_name, str) or not _inside(file_name):
            raise ValueError(f"image {identity} needs a file_name below the image root, got {file_name!r}.")
        records[identity] = {
            "file_name": f"{image_root}/{file_name}",
            "height": height,
            "width": width,
            "image_id": identity,
            "annotations": [],
        }
    return records


def _inside(file_name: str) -> bool:
    path = PurePosixPath(file_name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _corners(box: object, record: Mapping[str, Any], name: str) -> list[float]:
    numbers = isinstance(box, list) and all(_integer(value) or isinstance(value, float) for value in box)
    if not isinstance(box, list) or not numbers or len(box) != 4 or not all(map(math.isfinite, box)):
        raise ValueError(f"{name}: bbox must be 4 finite numbers [left, top, width, height], got {box!r}.")
    left, top, width, height = map(float, box)
    if width <= 0.0 or height <= 0.0:
        raise ValueError(f"{name}: bbox has no area, got {box!r}; correct it or leave it out of the file.")
    right, bottom = left + width, top + height
    over = max(-left, -top, right - record["width"], bottom - record["height"])
    if over > _OUTSIDE:
        raise ValueError(
            f"{name}: bbox {box!r} leaves image {record['image_id']} of {record['height']} x "
            f"{record['width']} pixels (height x width) by {over:g}."
        )
    return [left, top, right, bottom]


def _crowd(value: object, name: str) -> int:
    if value not in (0, 1):
        raise ValueError(f"{name}: iscrowd must be 0 or 1, got {value!r}.")
    return int(bool(value))


def _integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
