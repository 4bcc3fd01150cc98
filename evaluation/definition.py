"""The definition of every detection metric as data, so that a decision can name the one it used.

Source of the numbers: the COCO detection evaluation (Lin et al., "Microsoft COCO", arXiv 1405.0312, and
https://cocodataset.org/#detection-eval). Difference: average precision counts every detection, where COCO
keeps the best 100 of an image; an image of nuclei holds up to 369 of them.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

Kind = Literal["box", "mask"]
KINDS: Final[tuple[Kind, ...]] = ("box", "mask")

AREAS: Final = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""Closed ranges of area in square pixels of the original image, in the order of COCO."""

IOU_PERCENT: Final = (50, 55, 60, 65, 70, 75, 80, 85, 90, 95)
"""The thresholds of IoU; as names of columns, ``mask_matched_50`` to ``mask_matched_95``."""

RECALL_POINTS: Final = 101
CAPS: Final = (1, 10, 100)
"""Detections an image and category may have in ``ar_1``, ``ar_10`` and ``ar_100``; best scores first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """What a value of this name may be and which way is better."""

    name: str
    meaning: str
    unit: str = "fraction"
    higher_is_better: bool = True
    highest: float | None = 1.0
    """None: unbounded. The lowest value of every metric is 0."""

    def accepts(self, value: float) -> bool:
        """Say whether the value lies in the range; written so that NaN says no."""
        return 0.0 <= value <= (1e9 if self.highest is None else self.highest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """Everything that changes a number, in words and values."""

    name: str
    iou_percent: tuple[int, ...]
    recall_points: int
    caps: tuple[int, ...]
    areas: tuple[tuple[str, float, float], ...]
    conventions: tuple[str, ...]
    metrics: tuple[MetricSpec, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document that ``metrics.json`` carries."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return document

    @property
    def sha256(self) -> str:
        """Identity: the hash of the canonical JSON."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def spec(self, name: str) -> MetricSpec:
        """Return what is known about a metric.

        Raises:
            ValueError: If the definition has no such metric.
        """
        for spec in self.metrics:
            if spec.name == name:
                return spec
        raise ValueError(f"unknown metric {name!r}; the definition has {[s.name for s in self.metrics]}.")


def _of_kind(kind: Kind) -> tuple[MetricSpec, ...]:
    quantities = {
        "ap": "mean average precision over the thresholds of IoU",
        "ap50": "average precision at IoU 0.50",
        "ap75": "average precision at IoU 0.75",
        "ap_small": "ap over regions below 32**2 px",
        "ap_medium": "ap over regions from 32**2 to 96**2 px",
        "ap_large": "ap over regions from 96**2 px",
        "ar_1": "mean recall over the thresholds of IoU, 1 detection an image",
        "ar_10": "mean recall over the thresholds of IoU, 10 detections an image",
        "ar_100": "mean recall over the thresholds of IoU, 100 detections an image",
        "ar_all": "mean recall over the thresholds of IoU, all detections",
        "recall50": "recall at IoU 0.50, all detections",
    }
    return tuple(
        MetricSpec(name=f"{kind}.{quantity}", meaning=meaning) for quantity, meaning in quantities.items()
    )


DETECTION: Final = Definition(
    name="coco-instances/1",
    iou_percent=IOU_PERCENT,
    recall_points=RECALL_POINTS,
    caps=CAPS,
    areas=tuple((name, low, high) for name, (low, high) in AREAS.items()),
    conventions=(
        "ap, ap50, ap75, ap_small, ap_medium, ap_large, recall50 and ar_all count all detections of an image",
        "matching is greedy by score, within image and category; ties keep the order of the predictions",
        "precision is interpolated at 101 points of recall",
        "metrics are means over the categories that have regions",
        "a detection matched to a crowd region is neither right nor wrong",
        "the area of a region is that of its mask; of a detection, that of its box or mask as compared",
        "no detection at all, or no match at all, scores 0; no region at all leaves a metric undefined",
    ),
    metrics=(
        *_of_kind("box"),
        *_of_kind("mask"),
        MetricSpec(name="mask.precision50", meaning="share of detections that match at mask IoU 0.50"),
        MetricSpec(name="mask.matched_iou", meaning="mean mask IoU of pairs matched at mask IoU 0.50"),
        MetricSpec(name="mask.iou_at_box_match", meaning="mean mask IoU of pairs matched at box IoU 0.50"),
        MetricSpec(
            name="detections_per_image",
            meaning="mean number of detections",
            unit="detections per image",
            higher_is_better=False,
            highest=None,
        ),
    ),
)
