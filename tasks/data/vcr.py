"""VCR: questions about people and things of a film scene, each with its answer and the reason for it.

Source: Zellers et al., "From Recognition to Cognition" (arXiv 1811.10830) and the readme of its version
1.0. A line of ``train.jsonl`` or ``val.jsonl`` has ``objects``, ``img_fn``, ``metadata_fn``, and texts as
tokens, in which ``[0, 2]`` stands for the first and the third object. The metadata has ``width``,
``height``, and for each object ``boxes`` (corners and a score) and ``segms`` (polygons of points, from
OpenCV).

The tokens are read, not the ``*_orig`` texts: these count objects from 1 and do not tell them from other
numbers. A sample has the objects that its texts cite, in the order of the file; the rest of the scene is
left out. Polygons are filled as OpenCV fills them; an object without a polygon is its box.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tasks.data.answer_files import invalid, read_json_lines
from tasks.data.coco import MARGIN, read_box
from tasks.data.polygon_fill import fill_polygon
from tasks.data.refcoco import check_types
from tasks.data.region_records import Part, RegionMark, RegionSample, RegionTurn, Role, SampleRegion
from tasks.data.rle import check_size, encode_mask
from tasks.data.strict_json import JsonValue, read_json

WHY: Final = "Why do you think so?"
"""What the user asks after the answer."""
_CLOSES: Final = frozenset(".,!?;:)]}%'\"")
_OPENS: Final = frozenset("([{$")
_Row = dict[str, Any]


def read_vcr(path: Path, images: Path, *, dataset: str, split: str) -> list[RegionSample]:
    """Read questions with their right answers and reasons.

    Args:
        path: ``train.jsonl`` or ``val.jsonl``; the test file has no answers.
        images: The folder ``vcr1images``, with metadata beside the images.
        dataset: Stands in the samples.
        split: Stands in the samples.

    Returns:
        One sample a line: question, answer, ``WHY``, reason.

    Raises:
        DataError: With file and line, if a line or its metadata is malformed, a label is not among the
            choices, an object is cited that is not there, one lies outside its image, or the image is larger
            than any mask may be.
    """
    samples = []
    for number, (where, row) in enumerate(read_json_lines(path), start=1):
        try:
            samples.append(_sample(row, number, images, names=(dataset, split)))
        except ValueError as error:
            raise invalid(where, str(error)) from error
    return samples


def _sample(row: JsonValue, number: int, images: Path, *, names: tuple[str, str]) -> RegionSample:
    check_types(row, "a line", objects=list, img_fn=str, metadata_fn=str, question=list)
    if ".." in row["metadata_fn"].split("/") or row["metadata_fn"].startswith("/"):
        raise ValueError(f"metadata_fn must stay inside the dataset, got {row['metadata_fn'][:200]!r}.")
    texts = [row["question"], _right(row, "answer"), _right(row, "rationale")]
    cited = sorted({index for text in texts for index in _cited(text, len(row["objects"]))})
    metadata = check_types(
        read_json(images / row["metadata_fn"]), "metadata", width=int, height=int, boxes=list, segms=list
    )
    if not len(metadata["boxes"]) == len(metadata["segms"]) == len(row["objects"]):
        raise ValueError(
            f"metadata has {len(metadata['boxes'])} boxes and {len(metadata['segms'])} outlines of "
            f"{len(row['objects'])} objects."
        )
    try:
        check_size(metadata["height"], metadata["width"])
    except ValueError as error:
        raise ValueError(f"{row['metadata_fn']}: {error}") from error
    places = {index: place for place, index in enumerate(cited)}
    question, answer, reason = (_joined(text, places) for text in texts)
    turns: list[tuple[Role, tuple[Part, ...]]] = [
        ("user", question),
        ("assistant", answer),
        ("user", (WHY,)),
        ("assistant", reason),
    ]
    return RegionSample(
        dataset=names[0],
        split=names[1],
        sample_id=str(row.get("annot_id", number)),
        file=row["img_fn"],
        size=(metadata["height"], metadata["width"]),
        regions=tuple(_object(index, row["objects"], metadata) for index in cited),
        turns=tuple(RegionTurn(role=role, parts=parts) for role, parts in turns),
    )


def _right(row: _Row, name: str) -> list[JsonValue]:
    """Return the right one of the choices."""
    check_types(row, "a line", **{f"{name}_choices": list, f"{name}_label": int})
    choices, label = row[f"{name}_choices"], row[f"{name}_label"]
    if not 0 <= label < len(choices) or not isinstance(choices[label], list):
        raise ValueError(f"{name}_label {label} is not among {len(choices)} choices.")
    right: list[JsonValue] = choices[label]
    return right


def _cited(tokens: Sequence[JsonValue], num_objects: int) -> list[int]:
    """Return the objects that a text cites, from 0."""
    found: list[int] = []
    for token in tokens:
        if isinstance(token, list):
            wrong = [index for index in token if type(index) is not int or not 0 <= index < num_objects]
            if wrong or not token:
                raise ValueError(f"cites object {wrong[:1]}; there are {num_objects}, counted from 0.")
            found += token
        elif not isinstance(token, str):
            raise ValueError(f"a token must be text or a list of objects, got {str(token)[:40]!r}.")
    return found


def _joined(tokens: Sequence[JsonValue], places: Mapping[int, int]) -> tuple[Part, ...]:
    """Write tokens as a sentence; objects that are cited together are joined by "and"."""
    parts: list[Part] = []
    glued = True
    for token in tokens:
        is_text = isinstance(token, str)
        if not (glued or (is_text and (token[:1] in _CLOSES or token == "n't"))):
            parts.append(" ")
        if is_text:
            parts.append(token)
        else:
            for number, index in enumerate(token):
                parts += [" and "] * (number > 0) + [RegionMark(places[index])]
        glued = is_text and token in _OPENS
    return _merged(parts)


def _merged(parts: Sequence[Part]) -> tuple[Part, ...]:
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(part for part in merged if part != "")


def _object(index: int, names: Sequence[JsonValue], metadata: _Row) -> SampleRegion:
    """Read where one object lies. Raises ValueError, counting from 0 as the file does."""
    height, width = metadata["height"], metadata["width"]
    try:
        if not isinstance(names[index], str):
            raise ValueError(f"its name must be text, got {str(names[index])[:40]!r}.")
        box = metadata["boxes"][index]
        if type(box) is not list or len(box) < 4 or any(type(side) not in (int, float) for side in box):
            raise ValueError(f"its box must be 4 corners and a score, got {str(box)[:80]}.")
        left, top, right, bottom = box[:4]
        mask = np.zeros((height, width), dtype=np.bool_)
        for polygon in metadata["segms"][index]:
            points = [(float(x), float(y)) for x, y in polygon]
            x, y = np.array(points).T if points else (np.zeros(1), np.zeros(1))
            if min(x.min(), y.min()) < -MARGIN or x.max() > width + MARGIN or y.max() > height + MARGIN:
                raise ValueError(f"its outline leaves the image of {width}x{height}.")
            mask |= fill_polygon(points, height, width)
        return SampleRegion(
            box_xyxy=read_box([left, top, right - left, bottom - top], (height, width)),
            mask=encode_mask(mask) if mask.any() else None,
            label=names[index],
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"object {index}: {error}") from error
