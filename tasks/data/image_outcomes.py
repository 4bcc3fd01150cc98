"""What became of each detection and region at IoU 0.5, read back from the tables of an evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from evaluation.definition import KINDS, Kind
from evaluation.tables import Tables
from tasks.errors import IntegrityError

Verdict = Literal["tp", "fp", "ignored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionOutcome:
    """One detection, in the order of the predictions."""

    verdict: Verdict
    """``ignored``: it lies on a crowd, and is neither right nor wrong."""
    region_id: int | None
    """The region that it was matched with."""
    iou: float | None
    """With that region, a fraction in [0.5, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindOutcome:
    """One image, compared by boxes or by masks."""

    tp: int
    fp: int
    fn: int
    f1: float
    detections: tuple[DetectionOutcome, ...]

    @property
    def found(self) -> frozenset[int]:
        """Return the ids of the regions that were found."""
        return frozenset(item.region_id for item in self.detections if item.region_id is not None)


ImageOutcome = Mapping[Kind, KindOutcome]


def read_outcomes(evaluation: Path) -> dict[int, ImageOutcome]:
    """Read the outcome of every image.

    Args:
        evaluation: A committed evaluation, already verified.

    Raises:
        IntegrityError: If a table cannot be read or lacks a column.
    """
    try:
        tables = Tables(
            per_image=pd.read_parquet(evaluation / "per_image.parquet"),
            matches=pd.read_parquet(evaluation / "matches.parquet"),
        )
        problems = tables.problems()
    except (OSError, ValueError) as error:
        problems = [str(error)]
    if problems:
        raise IntegrityError(
            f"has tables that cannot be used: {'; '.join(problems[:5])}.",
            obj=str(evaluation),
            hint="Run `groundwork eval`.",
        )
    rows = {int(str(image_id)): rows for image_id, rows in tables.matches.groupby("image_id")}
    none = tables.matches.iloc[:0]
    images = tables.per_image
    return {
        image_id: {kind: _outcome(images.iloc[place], rows.get(image_id, none), kind) for kind in KINDS}
        for place, image_id in enumerate(images["image_id"].tolist())
    }


def _outcome(image: "pd.Series[Any]", rows: pd.DataFrame, kind: Kind) -> KindOutcome:
    rows = rows.sort_values("detection")
    columns = (f"{kind}_matched_50", f"{kind}_ignored_50", f"{kind}_region_id", f"{kind}_iou")
    detections = []
    for matched, ignored, region_id, iou in zip(*(rows[name] for name in columns), strict=True):
        verdict: Verdict = "tp" if matched else "ignored" if ignored else "fp"
        detections.append(
            DetectionOutcome(
                verdict=verdict,
                region_id=int(region_id) if matched else None,
                iou=float(iou) if matched else None,
            )
        )
    counts = {name: int(image[f"{kind}_{name}50"]) for name in ("tp", "fp", "fn")}
    return KindOutcome(**counts, f1=float(image[f"{kind}_f1_50"]), detections=tuple(detections))
