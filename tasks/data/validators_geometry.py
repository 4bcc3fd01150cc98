"""Rules for boxes, polygons, run lengths and areas. All of it is Python and NumPy until it is known good."""

import math
from collections.abc import Iterator
from typing import Any, TypeGuard

from tasks.data.coco import CocoSplit, clip_box, read_mask
from tasks.data.findings import Finding
from tasks.data.rle import mask_area, mask_box
from tasks.data.strict_json import JsonValue
from tasks.data.validators_tables import describe_row, is_id

_MARGIN = 1.0  # pixels a box may lie outside its image: rounding
_SMALLEST_OVERLAP = 0.5  # of a box with the box of its mask

Box = tuple[float, float, float, float]


def check_geometry(split: CocoSplit) -> Iterator[Finding]:
    """Check every annotation whose image is known and has a possible size.

    A mask may be absent in ``train``: boxes are enough to learn from. ``val`` needs one for every region.
    """
    sizes = {
        row["id"]: (row["height"], row["width"])
        for row in split.images
        if is_id(row.get("id")) and is_id(row.get("height")) and is_id(row.get("width"))
    }
    for row in split.annotations:
        image_id = row.get("image_id")
        if is_id(image_id) and image_id in sizes:
            obj = f"{describe_row(split, 'annotations', row)} of image {image_id}"
            for rule, sentence in _check_annotation(row, *sizes[image_id], needs_mask=split.name != "train"):
                yield Finding(rule=rule, obj=obj, sentence=sentence)


def _check_annotation(
    row: dict[str, Any], height: int, width: int, *, needs_mask: bool
) -> Iterator[tuple[str, str]]:
    box: Box | None = None
    if "bbox" in row:
        problem = check_bbox(row["bbox"], height, width)
        if problem is None:
            box = clip_box(row["bbox"], height, width)
        else:
            yield problem
    if "area" in row and not (_is_number(row["area"]) and row["area"] > 0):
        yield "area-invalid", f"area must be a positive number, got {row['area']!r}."
    if "segmentation" in row:
        yield from _check_mask(row, height, width, box)
    elif needs_mask:
        yield "mask-missing", "has no segmentation, and masks are scored in this split."


def check_bbox(bbox: JsonValue, height: int, width: int) -> tuple[str, str] | None:
    """Return rule and sentence for a COCO ``[x, y, width, height]`` that breaks one, or None."""
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(_is_number(number) for number in bbox):
        return "box-invalid", f"bbox must be 4 finite numbers, got {str(bbox)[:80]}."
    x, y, box_width, box_height = bbox
    if box_width <= 0 or box_height <= 0:
        return "box-invalid", f"bbox must have a positive width and height, got {bbox}."
    outside = min(x, y) < -_MARGIN or x + box_width > width + _MARGIN or y + box_height > height + _MARGIN
    left, top, right, bottom = clip_box(bbox, height, width)
    if outside or left >= right or top >= bottom:
        return "box-outside", f"bbox {bbox} leaves the image of {width}x{height}."
    return None


def _check_mask(row: dict[str, Any], height: int, width: int, box: Box | None) -> Iterator[tuple[str, str]]:
    is_polygon = isinstance(row["segmentation"], list)
    try:
        mask = read_mask(row["segmentation"], height, width)
    except ValueError as error:
        yield "polygon-invalid" if is_polygon else "rle-invalid", str(error)
        return
    area, tight = mask_area(mask), mask_box(mask)
    if tight is None:
        yield "mask-empty", "the mask has no pixel."
        return
    left, top, right, bottom = tight
    # Polygons have an exact area and cover whole pixels: along their outline the two differ.
    slack = (right - left) + (bottom - top) + 2 if is_polygon else 1 + area / 100
    stated = row.get("area")
    if _is_number(stated) and stated > 0 and abs(stated - area) > slack:
        yield "area-mismatch", f"area is {stated:g}, the mask has {area} pixels."
    if box is not None and _overlap(box, tight) < _SMALLEST_OVERLAP:
        yield "box-mask-mismatch", f"the box {box} and the box of the mask {tight} overlap less than half."


def _overlap(first: Box, second: Box) -> float:
    """Return intersection over union of two boxes with positive area."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return both / (sum(areas) - both)


def _is_number(value: JsonValue) -> TypeGuard[float]:
    return type(value) in (int, float) and math.isfinite(value)
