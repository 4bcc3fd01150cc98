"""The shape of a record: frozen, validated, independent of any file format.

Boxes are ``(left, top, right, bottom)`` in pixels of the original image. ``xywh`` exists only inside the
readers and writers of COCO files.
"""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRle:
    """A mask as COCO compressed run lengths."""

    height: int
    width: int
    counts: str

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "MaskRle":
        """Read ``{"size": [height, width], "counts": "..."}``."""
        height, width = value["size"]
        return cls(height=int(height), width=int(width), counts=value["counts"])

    def to_json(self) -> dict[str, Any]:
        """Write the form that COCO files and pycocotools use."""
        return {"size": [self.height, self.width], "counts": self.counts}


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRecord:
    """One annotated region of one image."""

    region_id: int
    """The annotation id of the source; unique in the dataset, at least 1."""
    category: str
    box_xyxy: tuple[float, float, float, float]
    """Corners in pixels of the original image, ``left < right``, ``top < bottom``."""
    mask: MaskRle | None = None
    """Absent where supervision is by boxes."""
    is_crowd: bool = False

    def __post_init__(self) -> None:
        """Refuse boxes and ids that no later code should meet."""
        check_box(self.box_xyxy)
        if self.region_id < 1:
            raise ValueError(f"region_id must be at least 1, got {self.region_id}.")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "RegionRecord":
        """Read one region of a prepared record."""
        mask = value.get("mask")
        return cls(
            region_id=value["region_id"],
            category=value["category"],
            box_xyxy=_box(value["box_xyxy"]),
            mask=None if mask is None else MaskRle.from_json(mask),
            is_crowd=value["is_crowd"],
        )

    def to_json(self) -> dict[str, Any]:
        """Write one region; a region without a mask has no key ``mask``."""
        value: dict[str, Any] = {
            "region_id": self.region_id,
            "category": self.category,
            "box_xyxy": list(self.box_xyxy),
            "is_crowd": self.is_crowd,
        }
        return value if self.mask is None else value | {"mask": self.mask.to_json()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One image and its regions."""

    image_id: int
    file: str
    """POSIX path relative to the dataset directory."""
    height: int
    width: int
    sha256: str
    """Of the image file, in hex."""
    regions: tuple[RegionRecord, ...] = ()

    def __post_init__(self) -> None:
        """Refuse sizes and paths that no later code should meet."""
        if self.height < 1 or self.width < 1:
            raise ValueError(f"image size must be positive, got {self.width}x{self.height}.")
        if self.file.startswith("/") or ".." in self.file.split("/"):
            raise ValueError(f"file must stay inside the dataset, got {self.file!r}.")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ImageRecord":
        """Read one line of a prepared file."""
        regions = tuple(RegionRecord.from_json(region) for region in value["regions"])
        return cls(**{**value, "regions": regions})

    def to_json(self) -> dict[str, Any]:
        """Write one line of a prepared file."""
        return {
            "image_id": self.image_id,
            "file": self.file,
            "height": self.height,
            "width": self.width,
            "sha256": self.sha256,
            "regions": [region.to_json() for region in self.regions],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRecord:
    """One predicted region."""

    category: str
    score: float
    """Confidence, a fraction in [0, 1]."""
    box_xyxy: tuple[float, float, float, float]
    mask: MaskRle

    def __post_init__(self) -> None:
        """Refuse what a scorer must never see: NaN boxes get recall 1.0 from pycocotools."""
        check_box(self.box_xyxy)
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score must be finite and in [0, 1], got {self.score}.")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "DetectionRecord":
        """Read one detection of a prediction line."""
        return cls(
            category=value["category"],
            score=value["score"],
            box_xyxy=_box(value["box_xyxy"]),
            mask=MaskRle.from_json(value["mask"]),
        )

    def to_json(self) -> dict[str, Any]:
        """Write one detection of a prediction line."""
        return {
            "category": self.category,
            "score": self.score,
            "box_xyxy": list(self.box_xyxy),
            "mask": self.mask.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePrediction:
    """Everything a model says about one image; an image without a detection has a line all the same."""

    image_id: int
    height: int
    width: int
    detections: tuple[DetectionRecord, ...] = ()

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ImagePrediction":
        """Read one line of a prediction file."""
        detections = tuple(DetectionRecord.from_json(item) for item in value["detections"])
        return cls(**{**value, "detections": detections})

    def to_json(self) -> dict[str, Any]:
        """Write one line of a prediction file."""
        return {
            "image_id": self.image_id,
            "height": self.height,
            "width": self.width,
            "detections": [item.to_json() for item in self.detections],
        }


def check_box(box_xyxy: tuple[float, float, float, float]) -> None:
    """Refuse a box that is not finite, not ordered, or starts before the image.

    Raises:
        ValueError: With the box.
    """
    left, top, right, bottom = box_xyxy
    if not (0.0 <= left < right < math.inf and 0.0 <= top < bottom < math.inf):
        raise ValueError(f"box_xyxy must be finite with left < right and top < bottom, got {box_xyxy}.")


def _box(value: list[float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = value
    return float(left), float(top), float(right), float(bottom)
