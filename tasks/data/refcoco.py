"""RefCOCO, RefCOCO+, RefCOCOg and gRefCOCO as their authors write them, as records.

``refs(unc).p``, ``refs(google).p``, ``refs(umd).p`` (pickles of Python 2, read without running anything) and
``grefs(unc).json`` name annotations of an ``instances.json`` in COCO form; there lie boxes and masks. In
gRefCOCO an expression may speak of several annotations, or of none: then its ids are ``[-1]`` or ``[]``.

Source: the tools of RefCOCO (Yu et al., arXiv 1608.00272) and gRefCOCO (Liu et al., arXiv 2306.00968).
Regions marked as a crowd are left out and counted; polygons of fewer than three points are left out beside
others. Both is as in the code released with gRefCOCO. Boxes are ``xywh`` in the files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.coco import read_box, read_flag, read_mask
from tasks.data.plain_pickle import read_plain_pickle
from tasks.data.referring import ReferredRegion, ReferringRecord
from tasks.data.strict_json import JsonValue, read_json
from tasks.errors import DataError

NO_TARGET = -1
"""The annotation id that gRefCOCO writes where the image has no such thing."""

_Row = dict[str, Any]


def read_references(
    references: Path, instances: Path, *, source: str, masks: bool = True
) -> list[ReferringRecord]:
    """Join the expressions of a dataset with the annotations that they speak of.

    Args:
        references: ``refs(...).p``, or ``grefs(...).json``; the ending decides.
        instances: ``instances.json`` of the same dataset.
        source: Dataset and who split it, e.g. ``refcoco/unc``; stands in every record.
        masks: False leaves every mask unread.

    Returns:
        One record per sentence, in the order of the file, all splits; ``expression_id`` counts from 1.

    Raises:
        DataError: With the file and the reference, if a file is malformed or holds code, a reference names an
            image or annotation that is not there or lies on another image, repeats a sentence id, or has
            nothing but crowds, or a box or mask does not lie in its image.
    """
    if references.suffix == ".p":
        rows = read_plain_pickle(references)
    elif references.suffix == ".json":
        rows = read_json(references)
    else:
        raise _invalid(str(references), "must end in .p or .json.")
    if not isinstance(rows, list) or not rows:
        raise _invalid(str(references), "must be a list of references, and not empty.")
    tables = _Tables.read(instances, masks=masks)
    records: list[ReferringRecord] = []
    seen: set[tuple[int, int]] = set()
    for number, row in enumerate(rows, start=1):
        where = f"{references} reference {number}"
        try:
            reference = _reference(row)
            where = f"{references} ref_id {reference['ref_id']}"
            image = tables.image(reference["image_id"])
            spoken_of = tables.spoken_of(_ids(reference["ann_id"]), image)
            for sentence in reference["sentences"]:
                key = reference["ref_id"], sentence["sent_id"]
                if key in seen:
                    raise ValueError(f"sent_id {key[1]} appears a second time.")
                seen.add(key)
                records.append(
                    _record(len(records) + 1, reference, sentence["sent"], image, source=source, **spoken_of)
                )
        except ValueError as error:
            raise _invalid(where, str(error)) from error
    return records


def _record(
    number: int,
    reference: _Row,
    expression: str,
    image: _Row,
    *,
    source: str,
    regions: tuple[ReferredRegion, ...],
    crowds: int,
    distractors: int | None,
) -> ReferringRecord:
    return ReferringRecord(
        expression_id=number,
        object_key=str(reference["ref_id"]),
        source=source,
        split=reference["split"],
        expression=expression,
        image_id=image["id"],
        file=image["file_name"],
        height=image["height"],
        width=image["width"],
        regions=regions,
        crowds=crowds,
        distractors=distractors,
    )


def _reference(row: JsonValue) -> _Row:
    """Check the parts of a reference that are used."""
    reference = check_types(row, "a reference", ref_id=int, image_id=int, split=str, sentences=list)
    if "ann_id" not in reference:
        raise ValueError("a reference must have 'ann_id'.")
    if not reference["sentences"]:
        raise ValueError("a reference must have a sentence.")
    for sentence in reference["sentences"]:
        check_types(sentence, "a sentence", sent_id=int, sent=str)
    return reference


def check_types(row: JsonValue, name: str, **types: type | tuple[type, ...]) -> _Row:
    """Return the row if it is an object whose named parts have exactly these types.

    Raises:
        ValueError: Naming the first part that is absent or of another type.
    """
    if type(row) is not dict:
        raise ValueError(f"{name} must be an object, got {type(row).__name__}.")
    for key, kinds in types.items():
        expected = kinds if isinstance(kinds, tuple) else (kinds,)
        if type(row.get(key)) not in expected:
            names = " or ".join(kind.__name__ for kind in expected)
            raise ValueError(f"{name} must have {key!r} of type {names}, got {_shown(row.get(key))}.")
    return row


def _shown(value: JsonValue) -> str:
    return repr(value)[:80] if isinstance(value, int | float | str | None) else type(value).__name__


def _ids(ann_id: JsonValue) -> tuple[int, ...]:
    ids = ann_id if type(ann_id) is list else [ann_id]
    if any(type(number) is not int for number in ids):
        raise ValueError(f"ann_id must be integers, got {[_shown(number) for number in ids]}.")
    if ids == [NO_TARGET]:
        return ()
    if len(set(ids)) != len(ids):
        raise ValueError(f"ann_id repeats: {ids}.")
    return tuple(ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """Images and annotations by id, and the regions already read."""

    images: Mapping[int, _Row]
    annotations: Mapping[int, _Row]
    on_image: Mapping[object, list[_Row]]
    """Annotations by their image."""
    read_before: dict[int, ReferredRegion]
    masks: bool

    @classmethod
    def read(cls, path: Path, *, masks: bool) -> "_Tables":
        document = read_json(path)
        tables: dict[str, dict[int, _Row]] = {}
        for name in ("images", "annotations"):
            rows = document.get(name) if isinstance(document, dict) else None
            if not isinstance(rows, list):
                raise _invalid(str(path), f"must have a list {name!r}.")
            tables[name] = {}
            places: dict[int, int] = {}
            for place, row in enumerate(rows, start=1):
                if not isinstance(row, dict) or type(row.get("id")) is not int:
                    raise _invalid(str(path), f"each of {name!r} must be an object with an integer 'id'.")
                if row["id"] in places:
                    raise _invalid(
                        str(path),
                        f"id {row['id']} appears twice in {name!r}: entries {places[row['id']]} and {place}.",
                    )
                tables[name][row["id"]], places[row["id"]] = row, place
        on_image: dict[object, list[_Row]] = {}
        for row in tables["annotations"].values():
            if type(row.get("image_id")) is int:
                on_image.setdefault(row["image_id"], []).append(row)
        return cls(**tables, on_image=on_image, read_before={}, masks=masks)

    def image(self, image_id: int) -> _Row:
        """Return a checked image. Raises ValueError."""
        if image_id not in self.images:
            raise ValueError(f"image {image_id} is not in the instances.")
        return check_types(self.images[image_id], f"image {image_id}", file_name=str, height=int, width=int)

    def spoken_of(self, ids: tuple[int, ...], image: _Row) -> _Row:
        """Return the fields of a record about the regions of a reference. Raises ValueError."""
        kept = self._without_crowds(ids, image)
        return {
            "regions": tuple(self._region(number, image) for number in kept),
            "crowds": len(ids) - len(kept),
            "distractors": self._distractors(ids, image),
        }

    def _without_crowds(self, ids: tuple[int, ...], image: _Row) -> list[int]:
        if unknown := [number for number in ids if number not in self.annotations]:
            raise ValueError(f"annotation {unknown[0]} is not in the instances.")
        for number in ids:
            if self.annotations[number].get("image_id") != image["id"]:
                raise ValueError(
                    f"annotation {number} lies on image {self.annotations[number].get('image_id')}, "
                    f"the reference on {image['id']}."
                )
        kept = [number for number in ids if not _is_crowd(self.annotations[number])]
        if ids and not kept:
            raise ValueError(f"annotations {list(ids)} are crowds; no region is left.")
        return kept

    def _distractors(self, ids: tuple[int, ...], image: _Row) -> int | None:
        """Count what is of the category of what is meant, but not meant; crowds are not counted.

        None if nothing is meant, or a category is not told.
        """
        meant = [self.annotations[number].get("category_id") for number in ids]
        if not meant or any(type(category) is not int for category in meant):
            return None
        others = (row for row in self.on_image[image["id"]] if row["id"] not in ids)
        return sum(row.get("category_id") in meant and not _is_crowd(row) for row in others)

    def _region(self, number: int, image: _Row) -> ReferredRegion:
        if number not in self.read_before:
            row = self.annotations[number]
            try:
                self.read_before[number] = read_region(row, image, region_id=number, masks=self.masks)
            except ValueError as error:
                raise ValueError(f"annotation {number}: {error}") from error
        return self.read_before[number]


def _is_crowd(row: _Row) -> bool:
    try:
        return read_flag(row, "iscrowd")
    except ValueError as error:
        raise ValueError(f"annotation {row['id']}: {error}") from error


def read_region(row: _Row, image: _Row, *, region_id: int | None, masks: bool) -> ReferredRegion:
    """Read box and mask of one object in COCO form.

    Args:
        row: With ``bbox`` as ``xywh`` and, for a mask, ``segmentation``.
        image: With ``height`` and ``width`` in pixels.
        region_id: Of the region, if known.
        masks: False leaves the mask unread.

    Raises:
        ValueError: If the box or the mask is malformed or leaves the image by more than a pixel.
    """
    height, width = image["height"], image["width"]
    shape = row.get("segmentation") if masks else None
    if type(shape) is list:
        shape = [part for part in shape if type(part) is not list or len(part) >= 6] or shape
    return ReferredRegion(
        region_id=region_id,
        box_xyxy=read_box(row.get("bbox"), (height, width)),
        mask=None if shape is None else read_mask(shape, height, width),
    )


def _invalid(where: str, message: str) -> DataError:
    return DataError(
        message, obj=where, hint="Check that both files are of one dataset, or fetch them again."
    )
