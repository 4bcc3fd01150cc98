"""Referring expressions as records: a text, its image, and the regions that it speaks of.

Boxes are ``(left, top, right, bottom)`` in pixels of the original image. Expressions of one split may
share an image, a region, even their words.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pycocotools import mask as coco_mask

from evaluation.ref_boxes import BoxExpression
from evaluation.ref_masks import MaskExpression
from tasks.data.records import MaskRle, check_box

MAX_CHARACTERS = 10_000
"""Of one expression; the longest of RefCOCOg has a few hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferredRegion:
    """One region that an expression speaks of."""

    region_id: int | None
    """The annotation id of the source; None where the file does not tell."""
    box_xyxy: tuple[float, float, float, float]
    mask: MaskRle | None = None

    def __post_init__(self) -> None:
        """Refuse a box that no later code should meet."""
        check_box(self.box_xyxy)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferringRecord:
    """One expression about one image."""

    expression_id: int
    """Place in the file, from 1: stable, and unique even where the ids of the file are not."""
    object_key: str
    """Expressions of one object of the source share it: the references of each other."""
    source: str
    """Dataset and who split it, e.g. ``refcocog/umd``; ``refcocog/google`` has other splits."""
    split: str
    expression: str
    image_id: int
    file: str
    """Name of the image in its source."""
    height: int
    """Of the original image, in pixels."""
    width: int
    """Of the original image, in pixels."""
    regions: tuple[ReferredRegion, ...]
    """Empty where the image has no such thing."""
    crowds: int = 0
    """Groups, marked as crowds in the source, that the expression speaks of beside its regions; no region."""
    distractors: int | None = None
    """Other objects of the same category in the image; None where the source does not tell."""

    def __post_init__(self) -> None:
        """Refuse texts, names and sizes that no later code should meet. Raises ValueError."""
        if not self.expression.strip() or len(self.expression) > MAX_CHARACTERS:
            raise ValueError(
                f"expression must have 1 to {MAX_CHARACTERS} characters, got {len(self.expression)}."
            )
        for name, text in (("expression", self.expression), ("split", self.split), ("file", self.file)):
            if not text or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
                raise ValueError(f"{name} is empty or holds a control character: {text[:80]!r}.")
        if self.file.startswith("/") or ".." in self.file.split("/"):
            raise ValueError(f"file must stay inside the dataset, got {self.file!r}.")
        if self.height < 1 or self.width < 1:
            raise ValueError(f"image size must be positive, got {self.width}x{self.height}.")
        if self.crowds < 0:
            raise ValueError(f"crowds must be at least 0, got {self.crowds}.")
        if self.distractors is not None and self.distractors < 0:
            raise ValueError(f"distractors must be at least 0, got {self.distractors}.")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ReferringRecord":
        """Read one line of a prepared file."""
        return cls(**{**value, "regions": tuple(_region_from_json(item) for item in value["regions"])})

    def to_json(self) -> dict[str, Any]:
        """Write one line of a prepared file; what is not known or not there has no key."""
        value: dict[str, Any] = {
            "expression_id": self.expression_id,
            "object_key": self.object_key,
            "source": self.source,
            "split": self.split,
            "expression": self.expression,
            "image_id": self.image_id,
            "file": self.file,
            "height": self.height,
            "width": self.width,
            "regions": [_region_to_json(region) for region in self.regions],
        }
        if self.crowds:
            value["crowds"] = self.crowds
        return value if self.distractors is None else value | {"distractors": self.distractors}


def _region_from_json(value: dict[str, Any]) -> ReferredRegion:
    left, top, right, bottom = (float(number) for number in value["box_xyxy"])
    mask = value.get("mask")
    return ReferredRegion(
        region_id=value["region_id"],
        box_xyxy=(left, top, right, bottom),
        mask=None if mask is None else MaskRle.from_json(mask),
    )


def _region_to_json(region: ReferredRegion) -> dict[str, Any]:
    value = {"region_id": region.region_id, "box_xyxy": list(region.box_xyxy)}
    return value if region.mask is None else value | {"mask": region.mask.to_json()}


def to_box_expression(record: ReferringRecord) -> BoxExpression:
    """Hand the box of a record to the evaluation.

    Raises:
        ValueError: If the expression does not speak of exactly one region.
    """
    if len(record.regions) != 1:
        raise ValueError(
            f"expression {record.expression_id} of {record.source} speaks of {len(record.regions)} regions; "
            "accuracy of boxes is about exactly 1."
        )
    return BoxExpression(
        expression_id=record.expression_id,
        image_id=record.image_id,
        split=record.split,
        box_xyxy=record.regions[0].box_xyxy,
    )


def to_mask_expression(record: ReferringRecord) -> MaskExpression:
    """Hand the united masks of a record to the evaluation; no region gives an empty mask.

    Raises:
        ValueError: If a region has no mask.
    """
    masks = [region.mask for region in record.regions if region.mask is not None]
    if len(masks) != len(record.regions):
        raise ValueError(
            f"expression {record.expression_id} of {record.source}: "
            f"{len(record.regions) - len(masks)} of {len(record.regions)} regions have no mask."
        )
    return MaskExpression(
        expression_id=record.expression_id,
        image_id=record.image_id,
        split=record.split,
        height=record.height,
        width=record.width,
        target=_united(masks, record.height, record.width),
    )


def _united(masks: Sequence[MaskRle], height: int, width: int) -> dict[str, Any]:
    if not masks:
        empty = [{"size": [height, width], "counts": [height * width]}]
        rle: dict[str, Any] = coco_mask.frPyObjects(empty, height, width)[0]
    else:
        rle = coco_mask.merge([mask.to_json() for mask in masks])
    return rle
