"""A folder of fully labelled images in the form of COCO panoptic, one split of it.

::

    train/ID.jpg                          photographs
    semantic_train/ID.png                 label maps: id of the category, one byte per pixel, 0 = void
    panoptic_train/ID.png                 segments: id = R + 256 G + 65536 B; needed for objects alone
    annotations/panoptic_train.json       images, categories, and the segments of each image

When segments are asked for, they and the label map must say the same of every pixel. A crowd is one segment.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tasks.data.full_labels import FullImage, RegionKind, check_names
from tasks.data.images import read_rgb
from tasks.data.importing import check_file_name
from tasks.data.label_maps import PADDING, UNLABELLED, read_label_map
from tasks.data.refcoco import check_types
from tasks.data.regions import Regions, regions_of_labels, regions_of_segments
from tasks.data.semantic_records import SemanticClasses, check_named
from tasks.data.strict_json import JsonValue, read_json
from tasks.errors import DataError

VOID: Final = 0
"""Byte of a pixel without a category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanopticSplit:
    """One split of the folder."""

    folder: Path
    annotations: str
    classes: SemanticClasses
    images: tuple[FullImage, ...]
    kind: RegionKind
    segments: Mapping[int, Mapping[int, int]]
    """Image id -> id of a segment -> id of its category."""

    def regions(self, image: FullImage) -> Regions:
        """Read the regions of one image.

        Raises:
            DataError: If a file is missing or damaged, or label map and segments contradict each other.
        """
        path = self.folder / image.files[0]
        values = (*self.classes.values, *self.classes.void)
        labels = read_label_map(path, values=values, height=image.height, width=image.width)
        if strange := int((labels >= PADDING).sum()):
            raise _invalid(
                path, f"{strange} pixels hold 254 or 255; a full label map has categories and void."
            )
        if self.kind == "parts":
            return regions_of_labels(labels, void=self.classes.void)
        file, known = self.folder / image.files[1], self.segments[image.image_id]
        colours = read_rgb(file, height=image.height, width=image.width).astype(np.int64)
        segments = colours @ np.array([1, 256, 65536])
        if unknown := sorted(set(np.unique(segments).tolist()) - {0, *known}):
            raise _invalid(file, f"holds segment {unknown[0]}, which the annotations do not name.")
        regions = regions_of_segments(segments, known)
        truth = np.where(np.isin(labels, self.classes.void), UNLABELLED, labels)
        if wrong := int((regions.labels() != truth).sum()):
            raise _invalid(path, f"{wrong} pixels have another category than in {image.files[1]}.")
        return regions


def read_panoptic_split(folder: Path, split: str, kind: RegionKind) -> PanopticSplit:
    """Read the annotations of one split; no image is opened.

    Args:
        folder: Holds the files above.
        split: e.g. ``train``.
        kind: What counts as one region: a segment, or a connected part of a class.

    Raises:
        DataError: With the file and the row, if the annotations are absent, malformed, name an image or a
            segment twice or without the other, or a category whose id is not 1 to 253.
    """
    file = annotation_path(split)
    document = read_json(folder / file)
    try:
        check_types(document, "the document", images=list, annotations=list, categories=list)
        classes = _classes(document["categories"])
        rows = _by_image(document["annotations"])
        found = [_image(row, rows, split, kind) for row in document["images"]]
        images = tuple(sorted(found, key=lambda image: image.image_id))
        check_names(images)
        if strange := sorted(rows.keys() - {image.image_id for image in images}):
            raise ValueError(f"annotations name image {strange[0]}, which is not among the images.")
        values = set(classes.values)
        segments = {number: _segments(row, values) for number, row in rows.items()}
    except ValueError as error:
        raise _invalid(folder / file, str(error)) from error
    return PanopticSplit(
        folder=folder, annotations=file, classes=classes, images=images, kind=kind, segments=segments
    )


def annotation_path(split: str) -> str:
    """Return where a folder keeps the annotations of a split."""
    return f"annotations/panoptic_{split}.json"


def _classes(rows: list[JsonValue]) -> SemanticClasses:
    checked = (check_named(row, "a category", id=int, isthing=int) for row in rows)
    table = sorted(checked, key=lambda row: int(row["id"]))
    return SemanticClasses(
        names=tuple(row["name"] for row in table),
        values=tuple(row["id"] for row in table),
        background=tuple(row["id"] for row in table if not row["isthing"]),
        void=(VOID,),
    )


def _by_image(rows: list[JsonValue]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        check_types(row, "an annotation", image_id=int, file_name=str, segments_info=list)
        if row["image_id"] in found:
            raise ValueError(f"image {row['image_id']} is annotated twice.")
        found[row["image_id"]] = row
    return found


def _image(
    row: JsonValue, annotations: Mapping[int, dict[str, Any]], split: str, kind: RegionKind
) -> FullImage:
    check_types(row, "an image", id=int, file_name=str, height=int, width=int)
    name = f"image {row['id']}"
    if row["id"] not in annotations:
        raise ValueError(f"{name} has no annotation.")
    label = annotations[row["id"]]["file_name"]
    for file in (row["file_name"], label):
        if reason := check_file_name(file):
            raise ValueError(f"file_name {file!r} of {name} {reason}.")
    if row["height"] < 1 or row["width"] < 1:
        raise ValueError(f"{name} must have a size, got {row['width']}x{row['height']}.")
    folders = ("semantic", "panoptic") if kind == "objects" else ("semantic",)
    return FullImage(
        image_id=row["id"],
        height=row["height"],
        width=row["width"],
        image=f"{split}/{row['file_name']}",
        name=label,
        files=tuple(f"{folder}_{split}/{label}" for folder in folders),
    )


def _segments(annotation: Mapping[str, Any], values: set[int]) -> dict[int, int]:
    """Read the segments of one image: id -> id of the category."""
    name, segments = f"image {annotation['image_id']}", dict[int, int]()
    for segment in annotation["segments_info"]:
        check_types(segment, f"a segment of {name}", id=int, category_id=int)
        if segment["id"] in segments or not 0 < segment["id"] < 1 << 24:
            raise ValueError(f"segment {segment['id']} of {name} is repeated, or not 1 to {(1 << 24) - 1}.")
        if segment["category_id"] not in values:
            raise ValueError(f"segment {segment['id']} of {name} has no category {segment['category_id']}.")
        segments[segment["id"]] = segment["category_id"]
    return segments


def _invalid(path: Path, message: str) -> DataError:
    return DataError(message, obj=str(path), hint="Correct the files, or fetch them again.")
