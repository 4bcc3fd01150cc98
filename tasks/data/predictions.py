"""predictions.jsonl: what a model said about every image of a split, checked before any scorer sees it.

The first line is a header, each further line an image; an image without a detection has a line all the
same. The reader refuses whatever could raise a score: NaN boxes have recall 1.0 in pycocotools, and a file
that covers half the images can score better than one that covers all.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.data.commit import commit_file
from tasks.data.line_files import header_values, read_lines
from tasks.data.records import DetectionRecord, ImagePrediction, ImageRecord
from tasks.data.rle import run_lengths
from tasks.data.strict_json import JsonValue, parse_json
from tasks.errors import DataError, IntegrityError

PREDICTIONS_SCHEMA = "groundwork.predictions/1"
_MARGIN = 1.0  # pixels that a box may end outside its image: rounding, not imagination
_LINE_KEYS = {"image_id", "height", "width", "detections"}
_DETECTION_KEYS = {"category", "score", "box_xyxy", "mask"}
_AGAIN = "Make the predictions again with `dvc repro predict_masks`."


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionsHeader:
    """Which model spoke about which data."""

    dataset_sha256: str
    """Identity of the dataset, ``Manifest.sha256``."""
    split: str
    model_sha256: str
    """Identity of the model directory, ``Manifest.sha256``."""
    images: int
    """Number of lines that follow."""

    def to_json(self) -> dict[str, Any]:
        """Write the first line."""
        return {"schema": PREDICTIONS_SCHEMA, **asdict(self)}


def write_predictions(path: Path, header: PredictionsHeader, predictions: Iterable[ImagePrediction]) -> None:
    """Write one file whole, or not at all; equal predictions give equal bytes.

    Raises:
        ValueError: If an image appears twice or their number is not the header's.
    """
    lines, seen = [_dump(header.to_json())], set()
    for prediction in predictions:
        if prediction.image_id in seen:
            raise ValueError(f"image {prediction.image_id} was predicted twice.")
        seen.add(prediction.image_id)
        lines.append(_dump(prediction.to_json()))
    if len(seen) != header.images:
        raise ValueError(f"{len(seen)} images were predicted, the header says {header.images}.")
    commit_file(path, ("\n".join(lines) + "\n").encode())


def read_predictions(
    path: Path,
    records: Sequence[ImageRecord],
    *,
    dataset_sha256: str,
    split: str,
    categories: Sequence[str],
    model_sha256: str | None = None,
) -> tuple[PredictionsHeader, list[ImagePrediction]]:
    """Read and check a predictions file against the images it must cover.

    Args:
        path: The file.
        records: Every image of the split; defines ids, sizes, coverage and the order of the answer.
        dataset_sha256: Expected in the header.
        split: Expected in the header.
        categories: Every category that may be predicted.
        model_sha256: Expected in the header, if given.

    Returns:
        The header, and one prediction per record, in the order of ``records``.

    Raises:
        IntegrityError: If the predictions were made on other data or by another model; shows both hashes.
        DataError: With line and image, if a line is malformed, a number is not finite, an image is unknown,
            repeated or absent, a mask does not have the size of its image, or a category is unknown.
    """
    lines = read_lines(path, hint=_AGAIN)
    header = _read_header(path, lines[0])
    _check_origin(path, header, dataset_sha256=dataset_sha256, split=split, model_sha256=model_sha256)
    expected, known = {record.image_id: record for record in records}, frozenset(categories)
    found: dict[int, ImagePrediction] = {}
    for number, line in enumerate(lines[1:], start=2):
        where = f"{path} line {number}"
        prediction = _read_line(where, line, expected, known)
        if prediction.image_id in found:
            raise _invalid(where, f"image {prediction.image_id} appears a second time.")
        found[prediction.image_id] = prediction
    if missing := [image_id for image_id in expected if image_id not in found]:
        raise _invalid(
            str(path), f"{len(missing)} of {len(expected)} images have no line, first: {missing[:10]}."
        )
    if header.images != len(found):
        raise _invalid(f"{path} line 1", f"the header says {header.images} images, {len(found)} follow.")
    return header, [found[image_id] for image_id in expected]


def _read_header(path: Path, line: bytes) -> PredictionsHeader:
    values = header_values(line, PredictionsHeader, schema=PREDICTIONS_SCHEMA, path=path, hint=_AGAIN)
    return PredictionsHeader(**values)


def _check_origin(path: Path, header: PredictionsHeader, **expected: str | None) -> None:
    for name, value in expected.items():
        if value is not None and getattr(header, name) != value:
            raise IntegrityError(
                f"{name} is {getattr(header, name)!r}, expected {value!r}.", obj=str(path), hint=_AGAIN
            )


def _read_line(
    where: str, line: bytes, expected: dict[int, ImageRecord], categories: frozenset[str]
) -> ImagePrediction:
    value = parse_json(line, source=where)
    if not isinstance(value, dict) or value.keys() != _LINE_KEYS or not isinstance(value["detections"], list):
        raise _invalid(where, f"must be an object with the keys {sorted(_LINE_KEYS)}.")
    image_id = value["image_id"]
    if type(image_id) is not int or image_id not in expected:
        raise _invalid(where, f"image {image_id!r} is not in the split.")
    record = expected[image_id]
    where = f"{where}, image {image_id}"
    if (value["height"], value["width"]) != (record.height, record.width):
        raise _invalid(
            where,
            f"size is {value['width']}x{value['height']}, the image has {record.width}x{record.height}.",
        )
    detections = tuple(
        _read_detection(f"{where}, detection {index}", item, record, categories)
        for index, item in enumerate(value["detections"], start=1)
    )
    return ImagePrediction(image_id=image_id, height=record.height, width=record.width, detections=detections)


def _read_detection(
    where: str, value: JsonValue, record: ImageRecord, categories: frozenset[str]
) -> DetectionRecord:
    try:
        _check_types(value)
        detection = DetectionRecord.from_json(value)
        check_detection(detection, record, categories)
    except (ValueError, KeyError, TypeError) as error:
        raise _invalid(where, str(error)) from error
    return detection


def check_detection(detection: DetectionRecord, record: ImageRecord, categories: frozenset[str]) -> None:
    """Refuse a detection that does not fit its image.

    Raises:
        ValueError: If the category is unknown, the box ends outside the image, or the mask does not have the
            size of the image.
    """
    if detection.category not in categories:
        raise ValueError(f"category {detection.category!r} is not one of {sorted(categories)}.")
    _, _, right, bottom = detection.box_xyxy
    if right > record.width + _MARGIN or bottom > record.height + _MARGIN:
        raise ValueError(
            f"box_xyxy {detection.box_xyxy} ends outside the image of {record.width}x{record.height}."
        )
    mask = detection.mask
    if (mask.height, mask.width) != (record.height, record.width):
        raise ValueError(f"mask is {mask.width}x{mask.height}, the image has {record.width}x{record.height}.")
    run_lengths(mask)


def _check_types(value: JsonValue) -> None:
    if not isinstance(value, dict) or value.keys() != _DETECTION_KEYS:
        raise ValueError(f"must be an object with the keys {sorted(_DETECTION_KEYS)}.")
    box, mask = value["box_xyxy"], value["mask"]
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"box_xyxy must be 4 numbers, got {box!r}.")
    if any(type(number) not in (int, float) for number in [value["score"], *box]):
        raise ValueError(f"score and box_xyxy must be numbers, got {value['score']!r} and {box!r}.")
    if not isinstance(mask, dict) or mask.keys() != {"size", "counts"} or not isinstance(mask["counts"], str):
        raise ValueError('mask must be {"size": [height, width], "counts": text}.')
    if [type(number) for number in mask["size"]] != [int, int]:
        raise ValueError(f"mask size must be two integers, got {mask['size']!r}.")


def _dump(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _invalid(where: str, message: str) -> DataError:
    return DataError(message, obj=where, hint=_AGAIN)
