"""Referring expressions in two JSON forms, as records. Boxes are ``xywh`` in the files.

``read_expression_lines``: one JSON object per expression of RefCOCO, RefCOCO+ or RefCOCOg, the form in which
the val and test splits are handed around for evaluation: no masks, and no annotation ids but for RefCOCOg.
``read_expression_document``: images and expressions in one document, as the authors of RefCOCO-S write them,
with expressions that have no target.
"""

import re
from pathlib import Path
from typing import Any, Final

from tasks.data.refcoco import check_types, read_region
from tasks.data.referring import ReferredRegion, ReferringRecord
from tasks.data.strict_json import JsonValue, parse_json, read_json
from tasks.errors import DataError

_LINE_KEYS: Final = {"img_id", "image_id", "sent", "bbox", "width", "height"}
_IMG_ID = re.compile(r"(COCO_(?:train|val)2014_([0-9]{12}))_([0-9]{1,18})")
_NUMBERED_BY_ANNOTATION = "refcocog/"
"""Sources whose ``img_id`` ends in the annotation id; elsewhere it is the place in a list of the authors."""


def read_expression_lines(path: Path, *, source: str, split: str) -> list[ReferringRecord]:
    """Read ``{"img_id", "image_id", "sent", "bbox", "width", "height"}``, one object per line.

    Args:
        path: A file of one split.
        source: Dataset and who split it, e.g. ``refcocog/umd``; stands in every record.
        split: Name of the split, e.g. ``testA``; the lines do not tell.

    Returns:
        One record per line, in order; ``expression_id`` is the number of the line, so two files have equal
        ids, and evaluation refuses them in one call.

    Raises:
        DataError: With file and line, if a line is malformed, or its box does not fit its image.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _invalid(str(path), f"cannot be read: {error.strerror}.") from error
    if not content.endswith(b"\n"):
        raise _invalid(str(path), "is empty or was cut off: the last line does not end.")
    records = []
    for number, line in enumerate(content[:-1].split(b"\n"), start=1):
        where = f"{path} line {number}"
        row = parse_json(line, source=where)
        try:
            records.append(_line(row, number, source=source, split=split))
        except ValueError as error:
            raise _invalid(where, str(error)) from error
    return records


def _line(row: JsonValue, number: int, *, source: str, split: str) -> ReferringRecord:
    check_types(row, "a line", img_id=str, image_id=int, sent=str, bbox=list, width=int, height=int)
    if row.keys() != _LINE_KEYS:
        raise ValueError(f"a line must have the keys {sorted(_LINE_KEYS)}, got {sorted(row)}.")
    match = _IMG_ID.fullmatch(row["img_id"])
    if match is None or int(match[2]) != row["image_id"]:
        raise ValueError(
            f"img_id must be COCO_train2014_<image>_<number> of image {row['image_id']}, "
            f"got {row['img_id'][:80]!r}."
        )
    region_id = int(match[3]) if source.startswith(_NUMBERED_BY_ANNOTATION) else None
    return ReferringRecord(
        expression_id=number,
        object_key=row["img_id"],
        source=source,
        split=split,
        expression=row["sent"],
        image_id=row["image_id"],
        file=f"{match[1]}.jpg",
        height=row["height"],
        width=row["width"],
        regions=(read_region(row, row, region_id=region_id, masks=False),),
    )


def read_expression_document(path: Path, *, source: str, masks: bool = True) -> list[ReferringRecord]:
    """Read ``{"images": [...], "refs": [...]}``, in which a reference has one sentence and at most one box.

    Args:
        path: The document.
        source: Dataset, e.g. ``refcocos``; stands in every record.
        masks: False leaves every mask unread. Not every reference has one.

    Returns:
        One record per reference, in order; ``expression_id`` is its place, from 1. A reference with
        ``no_target`` has no region.

    Raises:
        DataError: With file and reference, if the document is malformed, a size is not that of the image, an
            image is absent or repeated, or ``no_target`` and ``bbox`` contradict each other.
    """
    document = read_json(path)
    if not isinstance(document, dict) or not all(
        isinstance(document.get(name), list) for name in ("images", "refs")
    ):
        raise _invalid(str(path), "must have the lists 'images' and 'refs'.")
    images: dict[int, dict[str, Any]] = {}
    records = []
    try:
        where = str(path)
        for image in document["images"]:
            check_types(image, "an image", id=int, file_name=str, height=int, width=int)
            if image["id"] in images:
                raise ValueError(f"image {image['id']} appears twice.")
            images[image["id"]] = image
        for number, row in enumerate(document["refs"], start=1):
            where = f"{path} reference {number}"
            records.append(_entry(row, number, images, source=source, masks=masks))
    except ValueError as error:
        raise _invalid(where, str(error)) from error
    return records


def _entry(
    row: JsonValue, number: int, images: dict[int, dict[str, Any]], *, source: str, masks: bool
) -> ReferringRecord:
    check_types(row, "a reference", ref_id=int, image_id=int, sent=str, split=str, no_target=bool)
    check_types(row, "a reference", bbox=(list, type(None)), ann_id=(int, type(None)))
    check_types(row, "a reference", distractors=(str, type(None)))
    image = images.get(row["image_id"])
    if image is None:
        raise ValueError(f"image {row['image_id']} is not among the images.")
    width, height = image["width"], image["height"]
    if (row.get("width"), row.get("height")) != (width, height):
        raise ValueError(f"size is {row.get('width')}x{row.get('height')}, the image has {width}x{height}.")
    if row["no_target"] != (row.get("bbox") is None):
        raise ValueError(f"no_target is {row['no_target']}, but bbox is {row.get('bbox')}.")
    regions: tuple[ReferredRegion, ...] = ()
    if not row["no_target"]:
        regions = (read_region(row, image, region_id=row.get("ann_id"), masks=masks),)
    return ReferringRecord(
        expression_id=number,
        object_key=str(row["ref_id"]),
        source=source,
        split=row["split"],
        expression=row["sent"],
        image_id=image["id"],
        file=image["file_name"],
        height=height,
        width=width,
        regions=regions,
        distractors=_distractors(row.get("distractors")),
    )


def _distractors(written: str | None) -> int | None:
    """Read the count, which the authors write as text."""
    if written is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", written):
        raise ValueError(f"distractors must be digits, got {written[:40]!r}.")
    return int(written)


def _invalid(where: str, message: str) -> DataError:
    return DataError(message, obj=where, hint="Correct the file, or fetch it again.")
