"""Predictions and truth as a data set on disk that FiftyOne imports (``fiftyone.types.FiftyOneDataset``).

``metadata.json`` describes the fields, ``samples.json`` holds a sample for each image, ``data/`` the images;
paths are relative. FiftyOne fits a mask into the box of its label and takes the size of the image from both,
so a label with a mask has the box of whole pixels around that mask, and no pixel of it is lost or moved.
The boxes that model and data state stand in fields of their own:

* ``ground_truth`` and ``predictions``: masks, compared by masks;
* ``ground_truth_boxes`` and ``predicted_boxes``: boxes as stated, compared by boxes.

Boxes are ``[left, top, width, height]`` as fractions of the image. ``eval`` of a prediction is ``tp``, ``fp``
or ``ignored`` (on a crowd), of a region ``tp``, ``fn`` or ``crowd``, at IoU 0.5, as the evaluation says; each
image has ``mask_tp``, ``mask_fp``, ``mask_fn``, ``mask_f1`` and the same of boxes. Ids are hashes of dataset,
image and place: another model on the same data has the same ids of samples.

Sources: FiftyOne's page on this format, and exports of its releases 1.0 and 1.22. Masks are NumPy's file
format, compressed by zlib, as BSON binary in MongoDB's extended JSON.
"""

import base64
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.data.fiftyone_fields import dataset_metadata
from tasks.data.image_outcomes import DetectionOutcome, ImageOutcome, KindOutcome
from tasks.data.records import DetectionRecord, ImagePrediction, ImageRecord, MaskRle, RegionRecord
from tasks.data.rle import decode_mask, mask_box
from tasks.errors import IntegrityError

FIFTYONE_EXPORT_SCHEMA: Final = "groundwork.fiftyone_export/1"
_MIME: Final = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".jpe": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
}
_BLOCK: Final = 1 << 20

_Json = dict[str, Any]
_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FiftyOneSource:
    """What the samples are made of."""

    dataset: Path
    """Directory that the files of the records are relative to."""
    dataset_sha256: str
    split: str
    name: str
    """Of the data set, unless the importer gives another one."""
    info: Mapping[str, Any]
    """Where everything comes from; JSON values."""
    categories: tuple[str, ...]


def write_fiftyone(
    folder: Path,
    source: FiftyOneSource,
    records: Sequence[ImageRecord],
    predictions: Mapping[int, ImagePrediction],
    outcomes: Mapping[int, ImageOutcome],
) -> None:
    """Copy the images and write the samples one by one; equal input gives equal bytes.

    Args:
        folder: Where to write.
        source: Where the images are and what they are called.
        records: Every image with its regions and their masks.
        predictions: Id of an image -> what the model says of it, for every image.
        outcomes: Id of an image -> what became of it, for every image.

    Raises:
        IntegrityError: If an image is not the one of its record, or outcomes and predictions are of different
            runs.
    """
    metadata = dataset_metadata(source.name, source.info, source.categories)
    (folder / "metadata.json").write_text(f"{_dump(metadata)}\n", encoding="utf-8")
    with (folder / "samples.json").open("x", encoding="utf-8") as stream:
        stream.write('{"samples": [')
        for number, record in enumerate(records):
            size = _copy_image(source.dataset / record.file, folder / _data_path(record), record.sha256)
            sample = _sample(source, record, predictions[record.image_id], outcomes[record.image_id], size)
            stream.write(f"{',' if number else ''}\n{_dump(sample)}")
        stream.write("\n]}\n")


def encode_array(mask: NDArray[np.bool_]) -> _Json:
    """Write a mask of shape (height, width) as FiftyOne stores it."""
    with io.BytesIO() as stream:
        np.save(stream, np.ascontiguousarray(mask), allow_pickle=False)
        content = zlib.compress(stream.getvalue())
    return {"$binary": {"base64": base64.b64encode(content).decode("ascii"), "subType": "00"}}


def _sample(
    source: FiftyOneSource,
    record: ImageRecord,
    prediction: ImagePrediction,
    outcome: ImageOutcome,
    size_bytes: int,
) -> _Json:
    key = f"{source.dataset_sha256}/{source.split}/{record.image_id}"
    for by in outcome.values():
        if len(by.detections) != len(prediction.detections):
            raise IntegrityError(
                f"image {record.image_id} has {len(prediction.detections)} detections, its evaluation "
                f"{len(by.detections)}.",
                obj=source.name,
                hint="Run `groundwork eval`.",
            )
    sample: _Json = {
        "_id": _object_id(key),
        "filepath": _data_path(record).as_posix(),
        "tags": [source.split],
        "metadata": {
            "_cls": "ImageMetadata",
            "size_bytes": size_bytes,
            "mime_type": _MIME.get(Path(record.file).suffix.lower(), "application/octet-stream"),
            "width": record.width,
            "height": record.height,
            "num_channels": None,
        },
        "_media_type": "image",
        "_rand": int(_object_id(f"{key}/rand")["$oid"][:12], 16) / 2**48,
        "image_id": record.image_id,
    }
    for kind, counts in outcome.items():
        values = {"tp": counts.tp, "fp": counts.fp, "fn": counts.fn, "f1": counts.f1}
        sample |= {f"{kind}_{name}": value for name, value in values.items()}
    for field, by in (("ground_truth", outcome["mask"]), ("ground_truth_boxes", outcome["box"])):
        labels = _regions(f"{key}/{field}", record, by, with_mask=field == "ground_truth")
        sample[field] = {"_cls": "Detections", "detections": list(labels)}
    for field, by in (("predictions", outcome["mask"]), ("predicted_boxes", outcome["box"])):
        labels = _detections(f"{key}/{field}", prediction, by, with_mask=field == "predictions")
        sample[field] = {"_cls": "Detections", "detections": list(labels)}
    return sample


def _regions(key: str, record: ImageRecord, kind: KindOutcome, *, with_mask: bool) -> Iterator[_Json]:
    for region in record.regions:
        label = _label(f"{key}/{region.region_id}", region, record.height, record.width, with_mask=with_mask)
        verdict = "crowd" if region.is_crowd else "tp" if region.region_id in kind.found else "fn"
        yield label | {"region_id": region.region_id, "iscrowd": region.is_crowd, "eval": verdict}


def _detections(
    key: str, prediction: ImagePrediction, kind: KindOutcome, *, with_mask: bool
) -> Iterator[_Json]:
    size = prediction.height, prediction.width
    for place, (item, outcome) in enumerate(zip(prediction.detections, kind.detections, strict=True)):
        label = _label(f"{key}/{place}", item, *size, with_mask=with_mask)
        yield label | {"confidence": item.score, "index": place, **_verdict(outcome)}


def _verdict(outcome: DetectionOutcome) -> _Json:
    """Say what became of a detection; one without a match has no region and no IoU."""
    value: _Json = {"eval": outcome.verdict}
    if outcome.region_id is not None:
        value |= {"eval_region_id": outcome.region_id, "eval_iou": outcome.iou}
    return value


def _label(
    key: str, item: RegionRecord | DetectionRecord, height: int, width: int, *, with_mask: bool
) -> _Json:
    label: _Json = {
        "_id": _object_id(key),
        "_cls": "Detection",
        "attributes": {},
        "tags": [],
        "label": item.category,
        "bounding_box": _relative(item.box_xyxy, height, width),
    }
    if with_mask and item.mask is not None:
        label |= _placed(item.mask)
    return label


def _placed(mask: MaskRle) -> _Json:
    """Return the pixels of a mask and the box around them; nothing for an empty mask."""
    box = mask_box(mask)
    if box is None:
        return {}
    left, top, right, bottom = (int(side) for side in box)
    pixels = decode_mask(mask)[top:bottom, left:right]
    return {"bounding_box": _relative(box, mask.height, mask.width), "mask": encode_array(pixels)}


def _relative(box_xyxy: _Box, height: int, width: int) -> list[float]:
    left, top, right, bottom = box_xyxy
    return [left / width, top / height, (right - left) / width, (bottom - top) / height]


def _object_id(key: str) -> _Json:
    return {"$oid": hashlib.sha256(key.encode()).hexdigest()[:24]}


def _data_path(record: ImageRecord) -> Path:
    return Path("data", record.file.partition("/")[2])


def _copy_image(source: Path, target: Path, sha256: str) -> int:
    """Copy a file, block by block, and check it on the way; returns its size in bytes."""
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("xb") as writer:
        while block := reader.read(_BLOCK):
            digest.update(block)
            size += writer.write(block)
    if digest.hexdigest() != sha256:
        raise IntegrityError(
            "is not the image of its record.", obj=str(source), hint="Run `groundwork data pull`."
        )
    return size


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, allow_nan=False)
