"""Files of region samples: JSON lines, strict in both directions."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tasks.data.line_files import read_lines
from tasks.data.records import MaskRle
from tasks.data.region_records import Box, Part, RegionMark, RegionSample, RegionTurn, SampleRegion
from tasks.data.strict_json import JsonValue, parse_json
from tasks.errors import DataError


def dump_samples(samples: Iterable[RegionSample]) -> bytes:
    """Write samples as JSON lines; the same samples give the same bytes."""
    lines = (json.dumps(sample_to_json(sample), sort_keys=True, separators=(",", ":")) for sample in samples)
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def read_samples(path: Path) -> list[RegionSample]:
    """Read JSON lines of samples.

    Raises:
        DataError: With file and line, if the file was cut off, a line is malformed, or an id repeats.
    """
    hint = "Make the file again from its source."
    samples: list[RegionSample] = []
    seen: set[tuple[str, str, str]] = set()
    for number, line in enumerate(read_lines(path, hint=hint), start=1):
        where = f"{path} line {number}"
        try:
            sample = sample_from_json(parse_json(line, source=where))
            key = sample.dataset, sample.split, sample.sample_id
            if key in seen:
                raise ValueError(f"sample {'/'.join(key)} appears a second time.")
        except ValueError as error:
            raise DataError(str(error), obj=where, hint=hint) from error
        seen.add(key)
        samples.append(sample)
    return samples


def sample_to_json(sample: RegionSample) -> dict[str, Any]:
    """Write one line of a file of samples."""
    return {
        "dataset": sample.dataset,
        "split": sample.split,
        "sample_id": sample.sample_id,
        "file": sample.file,
        "size": None if sample.size is None else list(sample.size),
        "regions": [_region_json(region) for region in sample.regions],
        "turns": [_turn_json(turn) for turn in sample.turns],
    }


def sample_from_json(value: JsonValue) -> RegionSample:
    """Read one line of a file of samples.

    Raises:
        ValueError: Naming what is absent, unknown, of another type, or refused by the record.
    """
    names = ("dataset", "split", "sample_id")
    row = _only(value, "a sample", (*names, "file", "size", "regions", "turns"))
    size = row["size"]
    return RegionSample(
        **{name: _typed(row, name, str) for name in names},
        file=_typed(row, "file", str, type(None)),
        size=None if size is None else _size(size),
        regions=tuple(_region(item) for item in _typed(row, "regions", list)),
        turns=tuple(_turn(item) for item in _typed(row, "turns", list)),
    )


def _size(value: JsonValue) -> tuple[int, int]:
    if type(value) is not list or [type(side) for side in value] != [int, int]:
        raise ValueError(f"'size' must be [height, width], got {str(value)[:80]}.")
    return value[0], value[1]


def _turn_json(turn: RegionTurn) -> dict[str, Any]:
    parts = [part if isinstance(part, str) else {"region": part.index} for part in turn.parts]
    return {"role": turn.role, "parts": parts}


def _region_json(region: SampleRegion) -> dict[str, Any]:
    value: dict[str, Any] = {"source": region.source}
    if region.box_xyxy is not None:
        value["box_xyxy"] = list(region.box_xyxy)
    if region.mask is not None:
        value["mask"] = region.mask.to_json()
    return value if region.label is None else value | {"label": region.label}


def _region(value: JsonValue) -> SampleRegion:
    row = _only(value, "a region", ("source",), ("box_xyxy", "mask", "label"))
    return SampleRegion(
        box_xyxy=_box(row["box_xyxy"]) if "box_xyxy" in row else None,
        mask=_mask(row["mask"]) if "mask" in row else None,
        label=_typed(row, "label", str) if "label" in row else None,
        source=_typed(row, "source", str),
    )


def _box(value: JsonValue) -> Box:
    if type(value) is not list or [type(side) for side in value] != [float] * 4:
        raise ValueError(f"'box_xyxy' must be 4 numbers with a point, got {str(value)[:80]}.")
    left, top, right, bottom = value
    return left, top, right, bottom


def _mask(value: JsonValue) -> MaskRle:
    row = _only(value, "a mask", ("size", "counts"))
    height, width = _size(row["size"])
    return MaskRle(height=height, width=width, counts=_typed(row, "counts", str))


def _turn(value: JsonValue) -> RegionTurn:
    row = _only(value, "a turn", ("role", "parts"))
    parts: list[Part] = []
    for part in _typed(row, "parts", list):
        if isinstance(part, str):
            parts.append(part)
        else:
            parts.append(RegionMark(_typed(_only(part, "a part", ("region",)), "region", int)))
    return RegionTurn(role=_typed(row, "role", str), parts=tuple(parts))


def _only(value: JsonValue, name: str, keys: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    if type(value) is not dict or not set(keys) <= value.keys() <= {*keys, *optional}:
        found = sorted(value) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"{name} must have the keys {[*keys]} and may have {[*optional]}, got {found}.")
    return value


def _typed(row: dict[str, Any], name: str, *types: type) -> Any:  # noqa: ANN401 - of one of the types
    if type(row[name]) not in types:
        raise ValueError(f"{name!r} must be of type {' or '.join(kind.__name__ for kind in types)}.")
    return row[name]
