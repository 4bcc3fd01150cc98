"""LVIS annotation and result files -> what ``evaluation.lvis`` compares.

Annotations are COCO's with three more facts: ``frequency`` of a category, and ``neg_category_ids`` and
``not_exhaustive_category_ids`` of an image. Results are a list of ``{"image_id", "category_id", "score"}``
with ``bbox`` (``xywh``), ``segmentation``, or both. Categories are numbered by rising id.

Nothing is repaired: an unknown or repeated id, a number that is not finite, a box without extent or more than
one pixel outside its image, a mask that does not fit, a score outside [0, 1] each stop the reader with the
row, and a repeated id with both. An image without a result has no detection; that is how the format says so,
and it scores 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from evaluation.definition import KINDS, Kind
from evaluation.instances import ImageDetections, ImageTruth
from evaluation.lvis_truth import LvisCategory, LvisImage, check_lists
from tasks.data.coco import read_box, read_mask
from tasks.data.records import MaskRle, check_box
from tasks.data.refcoco import check_types
from tasks.data.rle import mask_box
from tasks.data.strict_json import JsonValue, read_json
from tasks.errors import DataError

_NUMBER: Final = (int, float)
_LISTS: Final = ("neg_category_ids", "not_exhaustive_category_ids")
_Row = Mapping[str, Any]
_Box = tuple[float, float, float, float]
_Found = tuple[int, float, _Box, MaskRle | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LvisSplit:
    """One annotation file."""

    categories: tuple[LvisCategory, ...]
    """By rising id; the place is the number that everything else uses."""
    category_ids: tuple[int, ...]
    """Ids in the file, in the same order."""
    images: tuple[LvisImage, ...]
    """By rising id, also those without a region."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LvisResults:
    """One result file."""

    detections: tuple[ImageDetections, ...]
    """One entry per image of the split, in its order."""
    kinds: tuple[Kind, ...]
    """What the file can be scored by: without ``segmentation`` there are no masks; without ``bbox`` the boxes
    are those of the masks."""


def read_lvis(path: Path) -> LvisSplit:
    """Read an annotation file.

    Raises:
        DataError: With the file and the row, if a rule of this module is broken, or the lists of an image
            contradict each other.
    """
    tables = _tables(path)
    categories = _categories(path, tables["categories"])
    place = {number: index for index, number in enumerate(categories)}
    sizes = _images(path, tables["images"], place)
    rows: dict[int, list[_Row]] = {number: [] for number in sizes}
    seen: dict[int, int] = {}
    for index, row in enumerate(tables["annotations"], start=1):
        where = f"{path} annotation {index}"
        try:
            checked = _annotation(row, sizes, place)
            _new(row, "annotation", index, seen)
            rows[checked["image_id"]].append(row)
        except ValueError as error:
            raise _invalid(where, str(error)) from error
    images = []
    for number in sorted(sizes):
        try:
            images.append(_image(sizes[number], rows[number], place))
        except ValueError as error:
            raise _invalid(f"{path} image {number}", str(error)) from error
    try:
        check_lists(images, tuple(categories.values()))
    except ValueError as error:
        raise _invalid(str(path), str(error)) from error
    return LvisSplit(
        categories=tuple(categories.values()), category_ids=tuple(categories), images=tuple(images)
    )


def read_lvis_results(path: Path, split: LvisSplit) -> LvisResults:
    """Read a result file about a split.

    Args:
        path: A JSON list, in any order; equal scores keep it.
        split: Defines images, sizes, categories and the order of the answer.

    Raises:
        DataError: With the file and the row, if a rule of this module is broken, or not all rows have the
            same of ``bbox`` and ``segmentation``.
    """
    document = read_json(path)
    if not isinstance(document, list):
        raise _invalid(str(path), f"must be a list of detections, got {type(document).__name__}.")
    place = {number: index for index, number in enumerate(split.category_ids)}
    truths = {image.truth.image_id: image.truth for image in split.images}
    found: dict[int, list[_Found]] = {number: [] for number in truths}
    shapes: tuple[str, ...] = ()
    for index, row in enumerate(document, start=1):
        try:
            given = _shapes(row)
            if given != (shapes := shapes or given):
                raise ValueError(f"has {' and '.join(given)}, the rows before have {' and '.join(shapes)}.")
            image_id = _known(row, "image_id", truths)
            found[image_id].append(_detection(row, truths[image_id], place))
        except ValueError as error:
            raise _invalid(f"{path} detection {index}", str(error)) from error
    return LvisResults(
        detections=tuple(_detections(truths[number], items) for number, items in found.items()),
        kinds=("box",) if shapes == ("bbox",) else KINDS,
    )


def _tables(path: Path) -> dict[str, list[JsonValue]]:
    document = read_json(path)
    tables = {}
    for name in ("categories", "images", "annotations"):
        rows = document.get(name) if isinstance(document, dict) else None
        if not isinstance(rows, list):
            raise _invalid(str(path), f"{name!r} must be a list of objects.")
        tables[name] = rows
    return tables


def _categories(path: Path, rows: Sequence[JsonValue]) -> dict[int, LvisCategory]:
    categories: dict[int, LvisCategory] = {}
    seen: dict[int, int] = {}
    for index, row in enumerate(rows, start=1):
        try:
            check_types(row, "a category", id=int, frequency=str)
            if type(row.get("name")) is not str:
                raise ValueError(f"a category must have 'name' of type str, got {row.get('name')!r}.")
            _new(row, "category", index, seen)
            categories[row["id"]] = LvisCategory(name=row["name"], frequency=row["frequency"])
        except ValueError as error:
            raise _invalid(f"{path} category {index}", str(error)) from error
    return dict(sorted(categories.items()))


def _images(path: Path, rows: Sequence[JsonValue], place: Mapping[int, int]) -> dict[int, _Row]:
    images: dict[int, _Row] = {}
    seen: dict[int, int] = {}
    for index, row in enumerate(rows, start=1):
        try:
            check_types(row, "an image", id=int, height=int, width=int, **dict.fromkeys(_LISTS, list))
            _new(row, "image", index, seen)
            if min(row["height"], row["width"]) < 1:
                raise ValueError(f"image size must be positive, got {row['width']}x{row['height']}.")
            for name in _LISTS:
                numbers = row[name]
                wrong = [number for number in numbers if type(number) is not int or number not in place]
                if wrong or len(set(numbers)) != len(numbers):
                    reason = f"category {wrong[0]!r} is unknown" if wrong else "a category appears twice"
                    raise ValueError(f"{name}: {reason}.")
        except ValueError as error:
            raise _invalid(f"{path} image {index}", str(error)) from error
        images[row["id"]] = row
    return images


def _annotation(row: JsonValue, sizes: Mapping[int, _Row], place: Mapping[int, int]) -> _Row:
    check_types(row, "an annotation", id=int, area=_NUMBER)
    _known(row, "category_id", place)
    image = sizes[_known(row, "image_id", sizes)]
    if row.get("iscrowd", 0) != 0:
        raise ValueError("iscrowd must be 0: LVIS has no crowds.")
    _box(row, image["height"], image["width"])
    return dict(row)


def _image(image: _Row, rows: Sequence[_Row], place: Mapping[int, int]) -> LvisImage:
    height, width = image["height"], image["width"]
    boxes, masks = [], []
    for row in rows:
        try:
            boxes.append(_box(row, height, width))
            masks.append(read_mask(row.get("segmentation"), height, width).to_json())
        except ValueError as error:
            raise ValueError(f"annotation id {row['id']}: {error}") from error
    truth = ImageTruth(
        image_id=image["id"],
        height=height,
        width=width,
        region_ids=np.array([row["id"] for row in rows], dtype=np.int64),
        categories=np.array([place[row["category_id"]] for row in rows], dtype=np.int64),
        boxes_xyxy=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        masks=tuple(masks),
        is_crowd=np.zeros(len(rows), dtype=bool),
    )
    negative, not_exhaustive = (frozenset(place[number] for number in image[name]) for name in _LISTS)
    return LvisImage(
        truth=truth,
        areas=np.array([row["area"] for row in rows], dtype=np.float64),
        negative=negative,
        not_exhaustive=not_exhaustive,
    )


def _shapes(row: JsonValue) -> tuple[str, ...]:
    check_types(row, "a detection", image_id=int, category_id=int, score=_NUMBER)
    given = tuple(name for name in ("bbox", "segmentation") if name in row)
    if not given:
        raise ValueError("a detection must have bbox, segmentation, or both.")
    return given


def _detection(row: _Row, truth: ImageTruth, place: Mapping[int, int]) -> _Found:
    category = place[_known(row, "category_id", place)]
    if not 0.0 <= row["score"] <= 1.0:
        raise ValueError(f"score must be finite and in [0, 1], got {row['score']}.")
    height, width = truth.height, truth.width
    mask = read_mask(row["segmentation"], height, width) if "segmentation" in row else None
    if mask is None or "bbox" in row:
        box: _Box | None = _box(row, height, width)
    else:
        box = mask_box(mask)
    if box is None:
        raise ValueError("the mask has no pixel, and there is no bbox.")
    return category, float(row["score"]), box, mask


def _detections(truth: ImageTruth, items: Sequence[_Found]) -> ImageDetections:
    return ImageDetections(
        image_id=truth.image_id,
        height=truth.height,
        width=truth.width,
        categories=np.array([item[0] for item in items], dtype=np.int64),
        boxes_xyxy=np.array([item[2] for item in items], dtype=np.float64).reshape(-1, 4),
        masks=tuple(item[3].to_json() for item in items if item[3] is not None),
        scores=np.array([item[1] for item in items], dtype=np.float64),
    )


def _box(row: _Row, height: int, width: int) -> _Box:
    box = read_box(row.get("bbox"), (height, width))
    check_box(box)
    return box


def _known(row: _Row, key: str, known: Mapping[int, Any]) -> int:
    number = row.get(key)
    if type(number) is not int or number not in known:
        raise ValueError(f"{key} {number!r} is unknown.")
    return number


def _new(row: _Row, name: str, index: int, seen: dict[int, int]) -> None:
    """Refuse an id that an earlier row has; ``seen`` gets the place of this one. Raises ValueError."""
    if row["id"] in seen:
        raise ValueError(f"id {row['id']} appears a second time, first in {name} {seen[row['id']]}.")
    seen[row["id"]] = index


def _invalid(where: str, message: str) -> DataError:
    return DataError(message, obj=where, hint="Correct the file, or fetch it again.")
