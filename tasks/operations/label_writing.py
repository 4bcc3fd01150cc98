"""Fill a directory with label maps: one image after the other, then the records, the classes and a sheet."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from tasks.data.commit import hash_file
from tasks.data.images import Rgb
from tasks.data.importing import check_file_name
from tasks.data.label_directory import CLASSES, RECORDS
from tasks.data.label_maps import PADDING, UNLABELLED, Labels, encode_label_map
from tasks.data.semantic_records import SemanticClasses, SemanticRecord, dump_semantic_records
from tasks.errors import DataError
from tasks.report.weak_sheet import Tile, contact_sheet

_SHEET = 12  # images on the sheet


class LabelWriter:
    """What ``tasks.data.label_directory`` reads.

    Args:
        staging: Folder to fill, from ``commit_directory``.
        classes: What the bytes of the label maps mean.
        split: Name of the split in the records.
    """

    def __init__(self, staging: Path, classes: SemanticClasses, split: str) -> None:
        self._staging, self._classes, self._split = staging, classes, split
        self._records: list[SemanticRecord] = []
        self._tiles: list[Tile] = []
        self._labelled = np.zeros(256, dtype=np.int64)
        self._images_with = np.zeros(256, dtype=np.int64)

    def add(self, image: str, *, sha256: str, pixels: Rgb, labels: Labels) -> None:
        """Write the label map of one image.

        Args:
            image: POSIX path of the image, relative to the folder of the images.
            sha256: Of its file.
            pixels: Of the image.
            labels: Of the same size.
        """
        name = label_name(image)
        path = self._staging / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_label_map(labels))
        found = np.bincount(labels.ravel(), minlength=256)
        self._labelled += found
        self._images_with += found > 0
        if len(self._tiles) < _SHEET:
            self._tiles.append(Tile(pixels=pixels, labels=labels, caption=PurePosixPath(image).stem))
        self._records.append(
            SemanticRecord(
                image=image,
                label=name,
                height=labels.shape[0],
                width=labels.shape[1],
                sha256=sha256,
                label_sha256=hash_file(path),
                split=self._split,
            )
        )

    def finish(self) -> dict[str, Any]:
        """Write what is said of all images; return how many there are and what is labelled."""
        (self._staging / RECORDS).write_bytes(dump_semantic_records(self._records))
        write_json(self._staging / CLASSES, self._classes.to_json())
        (self._staging / "sheet.jpg").write_bytes(contact_sheet(self._tiles))
        pixels = int(self._labelled.sum() - self._labelled[PADDING])
        labelled = pixels - int(self._labelled[UNLABELLED])
        return {
            "images": len(self._records),
            "counts": {"labelled": labelled, "pixels": pixels, "share": round(labelled / max(1, pixels), 6)},
            "classes": [
                {
                    "value": value,
                    "name": name,
                    "labelled": int(self._labelled[value]),
                    "images": int(self._images_with[value]),
                }
                for value, name in zip(self._classes.values, self._classes.names, strict=True)
                if self._labelled[value]
            ],
        }


def label_name(image: str) -> str:
    """Return the POSIX path of an image's label map in the directory."""
    return f"labels/{PurePosixPath(image).with_suffix('.png')}"


def check_images(images: list[str], where: Path) -> None:
    """Refuse names that cannot stand in records, and two images with one label map.

    Raises:
        DataError: With the name.
    """
    seen: dict[str, str] = {}
    for image in images:
        if reason := check_file_name(image):
            raise DataError(f"the name {image!r} {reason}.", obj=str(where), hint="Rename the image.")
        other = seen.setdefault(label_name(image).casefold(), image)
        if other != image:
            raise DataError(
                f"{other!r} and {image!r} would have the same label map.",
                obj=str(where),
                hint="Rename one of them.",
            )


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a document for people and programs."""
    path.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
