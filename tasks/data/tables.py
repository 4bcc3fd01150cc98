"""Annotation tables as data frames, both splits together, one row per image, annotation and category."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tasks.data.coco import CocoSplit

if TYPE_CHECKING:
    import pandas as pd


def annotation_tables(splits: Iterable[CocoSplit]) -> "dict[str, pd.DataFrame]":
    """Lay out the tables for a data contract.

    Values are what the files say; one that is absent, or not of a kind that a column can hold, is missing.

    Returns:
        ``images``, ``annotations`` and ``categories``; columns are those of
        ``configs/expectations/coco_instances.yaml``. Lengths are in pixels, ``share_of_image`` is the area of
        the box as a fraction of the image.
    """
    import pandas as pd

    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _COLUMNS}
    for split in splits:
        sizes = {repr(row.get("id")): (row.get("width"), row.get("height")) for row in split.images}
        regions = Counter(repr(row.get("image_id")) for row in split.annotations)
        rows["images"] += [_image(row, split.name, regions) for row in split.images]
        rows["annotations"] += [_annotation(row, split.name, sizes) for row in split.annotations]
        rows["categories"] += [_category(row, split.name) for row in split.categories]
    return {name: pd.DataFrame(rows[name], columns=list(columns)) for name, columns in _COLUMNS.items()}


_COLUMNS = {
    "images": ("split", "image_id", "file", "width", "height", "regions"),
    "annotations": (
        *("split", "region_id", "image_id", "category_id", "iscrowd"),
        *("left", "top", "width", "height", "share_of_image"),
    ),
    "categories": ("split", "category_id", "name", "label"),
}


def _image(row: Mapping[str, Any], split: str, regions: Mapping[str, int]) -> dict[str, Any]:
    name = _text(row.get("file_name"))
    return {
        "split": split,
        "image_id": _number(row.get("id")),
        "file": None if name is None else f"{split}/{name}",
        "width": _number(row.get("width")),
        "height": _number(row.get("height")),
        "regions": regions[repr(row.get("id"))],
    }


def _annotation(row: Mapping[str, Any], split: str, sizes: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    bbox = row.get("bbox")
    numbers = [_number(value) for value in bbox] if isinstance(bbox, list) and len(bbox) == 4 else [None] * 4
    left, top, width, height = numbers
    return {
        "split": split,
        "region_id": _number(row.get("id")),
        "image_id": _number(row.get("image_id")),
        "category_id": _number(row.get("category_id")),
        "left": left,
        "top": top,
        "width": width,
        "height": height,
        "share_of_image": _share(width, height, *sizes.get(repr(row.get("image_id")), (None, None))),
        "iscrowd": _number(row.get("iscrowd", 0)),
    }


def _share(
    width: float | None, height: float | None, image_width: object, image_height: object
) -> float | None:
    """Return the area of a box as a fraction of its image, or None if a side is not known."""
    image_area = (_number(image_width) or 0) * (_number(image_height) or 0)
    return width * height / image_area if width is not None and height is not None and image_area else None


def _category(row: Mapping[str, Any], split: str) -> dict[str, Any]:
    name = _text(row.get("name"))
    return {
        "split": split,
        "category_id": _number(row.get("id")),
        "name": name,
        "label": None if name is None else f"{split}/{name}",
    }


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
