"""A folder of images with masks of objects, in the form of COCO instances, as a fully labelled one.

``<split>/*.jpg`` and ``annotations/instances_<split>.json``. The classes are the background, value 0, and the
categories in the order of their ids, values from 1. A pixel under the masks of two objects, or of a crowd,
has no class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tasks.data.coco import read_mask, read_split
from tasks.data.full_labels import FullImage, RegionKind, check_names
from tasks.data.importing import check_file_name
from tasks.data.label_maps import PADDING
from tasks.data.refcoco import check_types
from tasks.data.regions import Regions, regions_of_labels, regions_of_masks
from tasks.data.rle import decode_mask
from tasks.data.semantic_records import SemanticClasses, check_named
from tasks.errors import DataError

BACKGROUND = 0
"""Value of what no object covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSplit:
    """One split of the folder."""

    folder: Path
    annotations: str
    classes: SemanticClasses
    images: tuple[FullImage, ...]
    kind: RegionKind
    objects: Mapping[int, tuple[dict[str, Any], ...]]
    """Image id -> its annotations."""
    values: Mapping[int, int]
    """Category id -> value in a label map."""

    def regions(self, image: FullImage) -> Regions:
        """Read the regions of one image.

        Raises:
            DataError: With the annotation, if a mask is malformed or leaves the image.
        """
        masks, values = [], []
        void = np.zeros((image.height, image.width), dtype=np.bool_)
        for row in self.objects.get(image.image_id, ()):
            try:
                mask = decode_mask(read_mask(row.get("segmentation"), image.height, image.width))
            except ValueError as error:
                where = self.folder / self.annotations
                raise _invalid(where, f"annotation {row['id']} of image {image.image_id}: {error}") from error
            if row.get("iscrowd", 0):
                void |= mask
            else:
                masks.append(mask)
                values.append(self.values[row["category_id"]])
        regions = regions_of_masks(masks, values, void, background=BACKGROUND)
        return regions if self.kind == "objects" else regions_of_labels(regions.labels())


def read_instance_split(folder: Path, split: str, kind: RegionKind) -> InstanceSplit:
    """Read the annotations of one split; no image is opened and no mask is decoded.

    Args:
        folder: Holds the files above.
        split: e.g. ``train``.
        kind: What counts as one region.

    Raises:
        DataError: With file and row, if the annotations are absent, malformed, refer to an image or category
            that is not there, or have more than 252 categories.
    """
    tables = read_split(folder, split)
    try:
        categories = sorted(
            (check_named(row, "a category", id=int) for row in tables.categories),
            key=lambda row: int(row["id"]),
        )
        if len(categories) > PADDING - 2:
            raise ValueError(f"{len(categories)} categories do not fit into one byte a pixel.")
        values = {int(row["id"]): place for place, row in enumerate(categories, start=1)}
        classes = SemanticClasses(
            names=("background", *(row["name"] for row in categories)),
            values=(BACKGROUND, *values.values()),
            background=(BACKGROUND,),
        )
        images = tuple(
            sorted((_image(row, split) for row in tables.images), key=lambda image: image.image_id)
        )
        check_names(images)
        objects = _by_image(tables.annotations, {image.image_id for image in images}, values)
    except ValueError as error:
        raise _invalid(folder / tables.file, str(error)) from error
    return InstanceSplit(
        folder=folder,
        annotations=tables.file,
        classes=classes,
        images=images,
        kind=kind,
        objects=objects,
        values=values,
    )


def _image(row: dict[str, Any], split: str) -> FullImage:
    check_types(row, "an image", id=int, file_name=str, height=int, width=int)
    if reason := check_file_name(row["file_name"]):
        raise ValueError(f"file_name {row['file_name']!r} of image {row['id']} {reason}.")
    if row["height"] < 1 or row["width"] < 1:
        raise ValueError(f"image {row['id']} must have a size, got {row['width']}x{row['height']}.")
    return FullImage(
        image_id=row["id"],
        height=row["height"],
        width=row["width"],
        image=f"{split}/{row['file_name']}",
        name=str(PurePosixPath(row["file_name"]).with_suffix(".png")),
        files=(),
    )


def _by_image(
    rows: tuple[dict[str, Any], ...], images: set[int], values: Mapping[int, int]
) -> dict[int, tuple[dict[str, Any], ...]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in sorted(
        (check_types(row, "an annotation", id=int) for row in rows), key=lambda row: int(row["id"])
    ):
        name = f"annotation {row['id']}"
        check_types(row, name, image_id=int, category_id=int)
        if row["image_id"] not in images:
            raise ValueError(f"{name} lies on image {row['image_id']}, which is not there.")
        if row["category_id"] not in values:
            raise ValueError(f"{name} has category {row['category_id']}, which is not there.")
        if row.get("iscrowd", 0) not in (0, 1):
            raise ValueError(f"{name} must have iscrowd 0 or 1, got {str(row['iscrowd'])[:40]!r}.")
        found.setdefault(row["image_id"], []).append(row)
    return {image_id: tuple(rows) for image_id, rows in found.items()}


def _invalid(path: Path, message: str) -> DataError:
    return DataError(message, obj=str(path), hint="Run `groundwork data check` for the whole list.")
