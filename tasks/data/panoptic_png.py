"""COCO panoptic annotations: a JSON document, and one PNG an image whose colours are the ids of segments.

Source: the format page of COCO panoptic (https://cocodataset.org/#format-data): the id of a pixel is
R + 256 G + 256^2 B, and 0 is void; ``segments_info`` gives each id its category, and in truth its area and
whether it is a crowd. Predictions have the same form; there ``images``, ``categories`` and areas may be
missing, the categories are those of the truth, and ``iscrowd`` says nothing: a model has no crowds, and the
published tool does not look at it either.

Maps are read one at a time. Nothing is repaired: an id without a segment, a segment without a pixel, an area
that is not the number of pixels, each stops the reader with the image and the id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from evaluation.panoptic import VOID, PanopticCategory, PanopticMap, Segment
from tasks.data.importing import check_file_name
from tasks.data.label_png import read_label_png
from tasks.data.refcoco import check_types
from tasks.data.strict_json import JsonValue, read_json
from tasks.errors import DataError

MAX_ID: Final = 256**3 - 1
"""Largest id that three bytes hold."""

_Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticFiles:
    """A checked document; maps stay on disk until they are asked for."""

    document: Path
    folder: Path
    """Where the PNG files are."""
    categories: tuple[PanopticCategory, ...]
    """By rising id."""
    category_ids: tuple[int, ...]
    """In the same order."""
    sizes: Mapping[int, tuple[int, int]]
    """Id of an image -> (height, width) in pixels, for each image of the document, by rising id."""
    annotations: Mapping[int, _Row]
    """Id of an image -> its entry; in predictions some may be missing."""
    is_truth: bool
    """Predictions have no crowds."""

    def read_map(self, image_id: int) -> PanopticMap | None:
        """Read the map of one image.

        Returns:
            The map, or None where predictions have no entry for the image.

        Raises:
            DataError: With image and file, if the PNG is not what the entry says.
        """
        entry = self.annotations.get(image_id)
        if entry is None:
            return None
        height, width = self.sizes[image_id]
        path = self.folder / entry["file_name"]
        colours = read_label_png(path, "colour", height=height, width=width)
        ids = colours[:, :, 0] + 256 * colours[:, :, 1] + 65536 * colours[:, :, 2]
        where = f"{self.document} image {image_id}"
        try:
            _check_pixels(ids, entry["segments_info"])
            return PanopticMap(image_id=image_id, ids_HW=ids, segments=self._segments(entry))
        except ValueError as error:
            raise _invalid(where, f"{error} ({path})") from error

    def _segments(self, entry: _Row) -> tuple[Segment, ...]:
        place = {number: index for index, number in enumerate(self.category_ids)}
        return tuple(
            Segment(
                id=row["id"],
                category=place[row["category_id"]],
                is_crowd=self.is_truth and bool(row.get("iscrowd", 0)),
            )
            for row in entry["segments_info"]
        )


def read_panoptic(document: Path, folder: Path, *, truth: PanopticFiles | None = None) -> PanopticFiles:
    """Read and check a panoptic document; no PNG is opened yet.

    Args:
        document: The JSON file.
        folder: Where its PNG files are.
        truth: Given for predictions: its images and categories are the only ones there are. An image that
            the predictions leave out is one in which nothing was found.

    Raises:
        DataError: With image and segment, if the document is malformed, an id repeats or is unknown, or an
            image of the truth has no annotation.
    """
    value = read_json(document)
    try:
        check_types(value, "the document", annotations=list)
        tables = _Tables.of_truth(value) if truth is None else _Tables.of_predictions(value, truth)
        annotations: dict[int, _Row] = {}
        for entry in value["annotations"]:
            image_id = _check_entry(entry, tables, is_truth=truth is None)
            if image_id in annotations:
                raise ValueError(f"image {image_id} has two annotations.")
            annotations[image_id] = entry
        missing = sorted(tables.sizes.keys() - annotations.keys())
        if missing and truth is None:
            raise ValueError(f"{len(missing)} images have no annotation, first: {missing[:10]}.")
    except ValueError as error:
        raise _invalid(str(document), str(error)) from error
    return PanopticFiles(
        document=document,
        folder=folder,
        categories=tuple(category for _, category in sorted(tables.categories.items())),
        category_ids=tuple(sorted(tables.categories)),
        sizes=dict(sorted(tables.sizes.items())),
        annotations=annotations,
        is_truth=truth is None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """Images and categories by id."""

    sizes: Mapping[int, tuple[int, int]]
    categories: Mapping[int, PanopticCategory]

    @classmethod
    def of_truth(cls, value: _Row) -> "_Tables":
        check_types(value, "the document", images=list, categories=list)
        sizes: dict[int, tuple[int, int]] = {}
        for row in value["images"]:
            check_types(row, "an image", id=int, height=int, width=int)
            if row["id"] in sizes:
                raise ValueError(f"image {row['id']} appears twice.")
            if row["height"] < 1 or row["width"] < 1:
                raise ValueError(f"image {row['id']} has the size {row['width']}x{row['height']}.")
            sizes[row["id"]] = row["height"], row["width"]
        categories: dict[int, PanopticCategory] = {}
        for row in value["categories"]:
            _check_named(row)
            check_types(row, "a category", isthing=(int, bool))
            if row["id"] in categories or row["name"] in {item.name for item in categories.values()}:
                raise ValueError(
                    f"category {row['id']} ({row['name'][:80]!r}) has the id or name of another."
                )
            if row["isthing"] not in (0, 1):
                raise ValueError(f"isthing of category {row['id']} must be 0 or 1, got {row['isthing']}.")
            categories[row["id"]] = PanopticCategory(name=row["name"], is_thing=bool(row["isthing"]))
        if not sizes or not categories:
            raise ValueError("must have images and categories.")
        return cls(sizes=sizes, categories=categories)

    @classmethod
    def of_predictions(cls, value: _Row, truth: PanopticFiles) -> "_Tables":
        known = dict(zip(truth.category_ids, truth.categories, strict=True))
        for row in check_types(value, "the document", categories=(list, type(None))).get("categories") or ():
            _check_named(row)
            if row["id"] in known and known[row["id"]].name != row["name"]:
                raise ValueError(
                    f"category {row['id']} is {row['name'][:80]!r}, in the truth {known[row['id']].name!r}."
                )
        return cls(sizes=truth.sizes, categories=known)


def _check_named(row: JsonValue) -> None:
    check_types(row, "a category", id=int)
    if not isinstance(row.get("name"), str):
        raise ValueError(f"category {row['id']} must have a name, a text.")


def _check_entry(entry: JsonValue, tables: _Tables, *, is_truth: bool) -> int:
    """Check the annotation of one image and return the image's id."""
    check_types(entry, "an annotation", image_id=int, file_name=str, segments_info=list)
    image_id: int = entry["image_id"]
    if image_id not in tables.sizes:
        raise ValueError(f"annotation of image {image_id}, which is not one of {len(tables.sizes)} images.")
    if reason := check_file_name(entry["file_name"]):
        raise ValueError(f"file_name {entry['file_name']!r} of image {image_id} {reason}.")
    seen: set[int] = set()
    for row in entry["segments_info"]:
        name = f"a segment of image {image_id}"
        check_types(row, name, id=int, category_id=int, iscrowd=(int, bool, type(None)))
        check_types(row, name, area=int if is_truth else (int, type(None)))
        where = f"image {image_id} segment {row['id']}"
        if not VOID < row["id"] <= MAX_ID:
            raise ValueError(f"{where}: the id must be from 1 to {MAX_ID}.")
        if row["id"] in seen:
            raise ValueError(f"{where} appears twice.")
        if row["category_id"] not in tables.categories:
            raise ValueError(f"{where}: category {row['category_id']} is not among the categories.")
        if is_truth and row.get("iscrowd", 0) not in (0, 1):
            raise ValueError(f"{where}: iscrowd must be 0 or 1, got {row['iscrowd']}.")
        seen.add(row["id"])
    return image_id


def _check_pixels(ids: NDArray[np.int32], segments: list[_Row]) -> None:
    """Compare the map with its list. Raises ValueError."""
    found, counts = np.unique(ids, return_counts=True)
    pixels = dict(zip(found.tolist(), counts.tolist(), strict=True))
    unknown = sorted(pixels.keys() - {row["id"] for row in segments} - {VOID})
    if unknown:
        raise ValueError(f"{len(unknown)} ids of pixels belong to no segment, first: {unknown[:10]}.")
    for row in segments:
        if row["id"] not in pixels:
            raise ValueError(f"segment {row['id']} has no pixel.")
        if row.get("area") is not None and row["area"] != pixels[row["id"]]:
            raise ValueError(
                f"segment {row['id']} has {pixels[row['id']]} pixels, its area says {row['area']}."
            )


def _invalid(where: str, message: str) -> DataError:
    return DataError(message, obj=where, hint="Check that document and PNG files belong together.")
