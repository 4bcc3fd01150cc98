"""Predictions and truth as COCO files that other tools read: the truth, results, and results of masks alone.

``predictions.json`` has box and mask of each detection. A tool that finds a box takes the area of a detection
from it, also where it compares masks, so metrics by size of mask need ``predictions_masks.json``, which holds
the same detections, in the same order, without boxes.

Ids of images and annotations are those of the data. Ids of categories are those of the source if its
annotation file is at hand, else they count from 1 in the order of the categories.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from tasks.data.commit import hash_file, read_manifest
from tasks.data.importing import annotation_file
from tasks.data.prepared import AboutDataset
from tasks.data.records import DetectionRecord, ImagePrediction, ImageRecord, RegionRecord
from tasks.data.rle import mask_area
from tasks.data.strict_json import read_json
from tasks.errors import IntegrityError

COCO_EXPORT_SCHEMA: Final = "groundwork.coco_export/1"
TRUTH, PREDICTIONS, MASKS = "ground_truth.json", "predictions.json", "predictions_masks.json"
_ORIGIN: Final = ("license", "flickr_url", "coco_url")
"""What a source says of who made an image; it goes where the image goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoNames:
    """What the source says beyond the records."""

    category_ids: Mapping[str, int]
    """Name -> id."""
    categories: tuple[dict[str, Any], ...]
    """Rows of the table, by id."""
    licenses: tuple[dict[str, Any], ...]
    origins: Mapping[int, dict[str, Any]]
    """Id of an image -> its licence and addresses, if the source has any."""
    is_source: bool
    """Whether the ids are those of the source."""


def counted_names(about: AboutDataset) -> CocoNames:
    """Number the categories from 1, in their order."""
    ids = {name: number for number, name in enumerate(about.categories, start=1)}
    return CocoNames(
        category_ids=ids,
        categories=tuple({"id": number, "name": name} for name, number in ids.items()),
        licenses=(),
        origins={},
        is_source=False,
    )


def source_names(dataset: Path, about: AboutDataset, split: str) -> CocoNames:
    """Read the ids of the categories from the annotations that the records were made of.

    Args:
        dataset: Directory of the imported dataset.
        about: What the records say of their dataset.
        split: Of the records.

    Raises:
        IntegrityError: If the directory holds another dataset, or its annotations were changed.
        DataError: If the annotations cannot be read.
    """
    manifest = read_manifest(dataset)
    name = annotation_file(split)
    if manifest.sha256 != about.dataset_sha256 or hash_file(dataset / name) != manifest.files[name][0]:
        raise IntegrityError(
            f"is dataset {manifest.sha256[:12]}, or its annotations were changed; the records are of "
            f"{about.dataset_sha256[:12]}.",
            obj=str(dataset),
            hint="Run `groundwork data pull`, then `groundwork eval`.",
        )
    document = read_json(dataset / name)
    rows = sorted(document["categories"], key=lambda row: int(row["id"]))
    return CocoNames(
        category_ids={row["name"]: row["id"] for row in rows},
        categories=tuple(rows),
        licenses=tuple(document.get("licenses", ())),
        origins={row["id"]: {key: row[key] for key in _ORIGIN if key in row} for row in document["images"]},
        is_source=True,
    )


def write_coco(
    folder: Path,
    records: Sequence[ImageRecord],
    predictions: Sequence[ImagePrediction],
    names: CocoNames,
    *,
    description: str,
) -> None:
    """Write the three files, row by row; equal input gives equal bytes.

    Args:
        folder: Where to write.
        records: Every image with its regions.
        predictions: Checked by their reader, in any order.
        names: Ids of the categories.
        description: Stands in the ``info`` of the truth.
    """
    with (folder / TRUTH).open("x", encoding="utf-8") as stream:
        stream.write(f'{{"info": {_dump({"description": description})}')
        for name, rows in _truth_tables(records, names):
            stream.write(f',\n"{name}": ')
            _write_rows(stream, rows)
        stream.write("}\n")
    for file, with_box in ((PREDICTIONS, True), (MASKS, False)):
        with (folder / file).open("x", encoding="utf-8") as stream:
            _write_rows(stream, _results(predictions, names.category_ids, with_box=with_box))
            stream.write("\n")


def _truth_tables(
    records: Sequence[ImageRecord], names: CocoNames
) -> Iterator[tuple[str, Iterable[dict[str, Any]]]]:
    yield "licenses", names.licenses
    yield "images", (_image(record, names.origins) for record in records)
    yield "categories", names.categories
    yield (
        "annotations",
        (
            _annotation(region, record.image_id, names.category_ids)
            for record in records
            for region in record.regions
        ),
    )


def _image(record: ImageRecord, origins: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": record.image_id,
        "file_name": record.file.partition("/")[2],
        "height": record.height,
        "width": record.width,
        **origins.get(record.image_id, {}),
    }


def _annotation(region: RegionRecord, image_id: int, ids: Mapping[str, int]) -> dict[str, Any]:
    box = _xywh(region.box_xyxy)
    row: dict[str, Any] = {
        "id": region.region_id,
        "image_id": image_id,
        "category_id": ids[region.category],
        "iscrowd": int(region.is_crowd),
        "bbox": box,
        "area": box[2] * box[3],
    }
    if region.mask is not None:
        row |= {"segmentation": region.mask.to_json(), "area": float(mask_area(region.mask))}
    return row


def _results(
    predictions: Iterable[ImagePrediction], ids: Mapping[str, int], *, with_box: bool
) -> Iterator[dict[str, Any]]:
    for prediction in predictions:
        for item in prediction.detections:
            yield _result(item, prediction.image_id, ids, with_box=with_box)


def _result(
    item: DetectionRecord, image_id: int, ids: Mapping[str, int], *, with_box: bool
) -> dict[str, Any]:
    row: dict[str, Any] = {"image_id": image_id, "category_id": ids[item.category], "score": item.score}
    if with_box:
        row["bbox"] = _xywh(item.box_xyxy)
    return row | {"segmentation": item.mask.to_json()}


def _xywh(box_xyxy: tuple[float, float, float, float]) -> list[float]:
    left, top, right, bottom = box_xyxy
    return [left, top, right - left, bottom - top]


def _write_rows(stream: TextIO, rows: Iterable[dict[str, Any]]) -> None:
    stream.write("[")
    for number, row in enumerate(rows):
        stream.write(f"{',' if number else ''}\n{_dump(row)}")
    stream.write("\n]")


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False)
