"""Class-agnostic proposals: average recall of the best k boxes of an image, and the most they allow.

Source: Hosang et al., "What Makes for Effective Detection Proposals?" (TPAMI 2016, arXiv 1502.05082), as COCO
computes it: per threshold of IoU from 0.50 to 0.95, the share of regions that the best k proposals of their
image find, one proposal for one region, greedy by score; then the mean over the thresholds. Categories play
no part (``useCats = 0`` in pycocotools); crowds are neither found nor missed. ``oracle_recall``: the share of
regions with IoU of at least 0.5 to some proposal, one proposal serving many regions: no model that only
chooses among the proposals can find more.

By size the regions of the range alone are matched. That is COCO's rule: there a region outside the range is
taken only by proposals that find none inside it, so it never keeps one from being found.

Shape suffixes:
    D = proposals of the image   G = its regions   T = thresholds of IoU   A = area ranges
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.definition import AREAS, IOU_PERCENT, Definition, MetricSpec
from evaluation.instances import ImageTruth, check_rising
from evaluation.masks import areas, box_iou
from evaluation.matching import NOBODY, THRESHOLDS_T, greedy
from evaluation.values import Found, Values, values_of

TOP: Final = (10, 100, 300, 900)
"""Numbers of proposals an image may have, best scores first; the numbers that proposal networks report."""

SIZES: Final = ("small", "medium", "large")
"""Ranges of area that have recalls of their own; closed, as in ``AREAS``."""

PROPOSALS: Final = Definition(
    name="proposals/1",
    iou_percent=IOU_PERCENT,
    recall_points=0,
    caps=TOP,
    areas=tuple((name, low, high) for name, (low, high) in AREAS.items()),
    conventions=(
        "categories play no part; a crowd is neither found nor missed",
        "matching is greedy by score at IoU of at least the threshold; ties keep the order of the proposals",
        "recall is over all regions of the split, or of one range of area; no proposal at all scores 0",
        "the area of a region is that of its mask; one of exactly 32**2 or 96**2 px belongs to both ranges",
        "oracle_recall counts regions with IoU of at least 0.5 to any proposal, however many there are",
    ),
    metrics=(
        *(
            MetricSpec(
                name=f"proposals.ar_{k}", meaning=f"mean recall over the thresholds, best {k} proposals"
            )
            for k in TOP
        ),
        *(
            MetricSpec(name=f"proposals.ar_{k}_{size}", meaning=f"ar_{k} over the {size} regions")
            for size in SIZES
            for k in TOP
        ),
        *(MetricSpec(name=f"proposals.recall50_{k}", meaning=f"recall at IoU 0.50, best {k}") for k in TOP),
        MetricSpec(name="proposals.oracle_recall", meaning="share of regions that some proposal covers"),
        MetricSpec(
            name="proposals.per_image",
            meaning="mean number of proposals",
            unit="proposals per image",
            higher_is_better=False,
            highest=None,
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageProposals:
    """Boxes that may hold anything; the order breaks ties between equal scores."""

    image_id: int
    boxes_xyxy: npt.NDArray[np.float64]
    """Corners in pixels of the original image, shape (D, 4)."""
    scores: npt.NDArray[np.float64]
    """Confidence in [0, 1], shape (D,)."""

    def __post_init__(self) -> None:
        """Check every field. Raises ValueError or TypeError naming the image and the proposal."""
        where = f"image {self.image_id} of the proposals"
        check_boxes(where, self.boxes_xyxy)
        if self.scores.dtype != np.float64:
            raise TypeError(f"{where}: scores must be float64, got {self.scores.dtype}.")
        if self.scores.shape != (len(self.boxes_xyxy),):
            raise ValueError(
                f"{where}: scores must have shape {(len(self.boxes_xyxy),)}, got {self.scores.shape}."
            )
        wrong_D = np.flatnonzero(~((self.scores >= 0.0) & (self.scores <= 1.0)))
        if len(wrong_D):
            raise ValueError(
                f"{where}, number {wrong_D[0]}: score must be finite and in [0, 1], "
                f"got {self.scores[wrong_D[0]]}."
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ProposalEvaluation:
    """Everything that evaluation says about the proposals of one split."""

    values: Values
    per_image: pd.DataFrame
    """One row per image: ``image_id``, ``num_regions`` (crowds not counted), ``num_proposals``, for each k
    ``found_<k>`` (pairs of region and threshold) and ``found50_<k>`` (regions), and ``covered`` (regions with
    IoU of at least 0.5 to any proposal); for each size ``num_regions_<size>`` and ``found_<k>_<size>``.
    ``ar_<k>`` is the sum of ``found_<k>`` over that of ``num_regions``, divided by 10; so every number can be
    recomputed under any weighting of the images."""


def check_boxes(where: str, boxes_xyxy_N4: npt.NDArray[np.float64]) -> None:
    """Refuse boxes that no scorer should meet.

    Raises:
        TypeError: If they are not float64.
        ValueError: If the shape is not (N, 4), or a box is not finite with left < right and top < bottom.
    """
    if boxes_xyxy_N4.dtype != np.float64:
        raise TypeError(f"{where}: boxes_xyxy must be float64, got {boxes_xyxy_N4.dtype}.")
    if boxes_xyxy_N4.ndim != 2 or boxes_xyxy_N4.shape[1] != 4:
        raise ValueError(f"{where}: boxes_xyxy must have shape (N, 4), got {boxes_xyxy_N4.shape}.")
    left, top, right, bottom = boxes_xyxy_N4.T
    ordered = (left >= 0.0) & (left < right) & (right < np.inf)
    ordered &= (top >= 0.0) & (top < bottom) & (bottom < np.inf)
    wrong = np.flatnonzero(~ordered)
    if len(wrong):
        raise ValueError(
            f"{where}, number {wrong[0]}: box_xyxy must be finite with left < right and top < bottom, "
            f"got {boxes_xyxy_N4[wrong[0]].tolist()}."
        )


def check_images(truth_ids: Sequence[int], other_ids: Sequence[int], *, name: str) -> None:
    """Check that both speak of the same images, one by one and in the same order.

    Raises:
        ValueError: If there is no image, ids do not rise, or they differ.
    """
    check_rising(truth_ids)
    if len(truth_ids) != len(other_ids):
        raise ValueError(f"{len(truth_ids)} images have regions, {len(other_ids)} have {name}.")
    for truth_id, other_id in zip(truth_ids, other_ids, strict=True):
        if truth_id != other_id:
            raise ValueError(f"{name} of image {other_id} stand where image {truth_id} is expected.")


def covered(truth: ImageTruth, boxes_xyxy_D4: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Say of each region, crowds too, whether some box has an IoU of at least 0.5 with it, shape (G,)."""
    # A crowd is compared like any region: what a box shares with it says nothing about who finds it.
    iou_DG = box_iou(boxes_xyxy_D4, truth.boxes_xyxy, np.zeros(len(truth.is_crowd), dtype=bool))
    return np.asarray((iou_DG >= THRESHOLDS_T[0]).any(axis=0))


def evaluate_proposals(
    truths: Sequence[ImageTruth], proposals: Sequence[ImageProposals]
) -> ProposalEvaluation:
    """Score the proposals of every image of a split.

    Args:
        truths: The regions, one entry per image, by rising image id.
        proposals: One entry per image in the same order, also for images without a proposal.

    Returns:
        Metrics and the table of images; recalls are undefined if no image has a region, or none of the size.

    Raises:
        ValueError: If the images differ, or there is none.
    """
    check_images([item.image_id for item in truths], [item.image_id for item in proposals], name="proposals")
    table = pd.DataFrame([_image_row(truth, found) for truth, found in zip(truths, proposals, strict=True)])
    pairs = len(THRESHOLDS_T)
    found: dict[str, Found] = {}
    for k in TOP:
        found[f"proposals.ar_{k}"] = _recall(table, f"found_{k}", per_region=pairs)
        found[f"proposals.recall50_{k}"] = _recall(table, f"found50_{k}")
        for size in SIZES:
            found[f"proposals.ar_{k}_{size}"] = _recall(table, f"found_{k}_{size}", size, per_region=pairs)
    found["proposals.oracle_recall"] = _recall(table, "covered")
    found["proposals.per_image"] = (float(table["num_proposals"].mean()), len(table))
    return ProposalEvaluation(values=values_of(PROPOSALS, found), per_image=table)


def _recall(table: pd.DataFrame, column: str, size: str = "", *, per_region: int = 1) -> Found:
    regions = int(table[f"num_regions_{size}" if size else "num_regions"].sum())
    if not regions:
        return f"no image has a {size} region" if size else "no image has a region"
    return float(table[column].sum() / per_region / regions), regions


def _image_row(truth: ImageTruth, found: ImageProposals) -> dict[str, int]:
    iou_DG = box_iou(found.boxes_xyxy, truth.boxes_xyxy, truth.is_crowd)
    order_D = np.argsort(-found.scores, kind="stable")
    region_TD = greedy(iou_DG, found.scores, truth.is_crowd)
    is_right_TD = region_TD != NOBODY
    is_right_TD[is_right_TD] = ~truth.is_crowd[region_TD[is_right_TD]]
    # Greedy matching by score: what the best k find does not depend on the others.
    ranked_TD = is_right_TD[:, order_D]
    row = {
        "image_id": truth.image_id,
        "num_regions": int((~truth.is_crowd).sum()),
        "num_proposals": len(found.scores),
    }
    row |= {f"found_{k}": int(ranked_TD[:, :k].sum()) for k in TOP}
    row |= {f"found50_{k}": int(ranked_TD[0, :k].sum()) for k in TOP}
    row["covered"] = int(covered(truth, found.boxes_xyxy)[~truth.is_crowd].sum())
    area_G = areas(truth.masks)
    for size in SIZES:
        low, high = AREAS[size]
        inside_G = (area_G >= low) & (area_G <= high) & ~truth.is_crowd
        region_TD = greedy(iou_DG[:, inside_G], found.scores, truth.is_crowd[inside_G])
        ranked_TD = (region_TD != NOBODY)[:, order_D]
        row[f"num_regions_{size}"] = int(inside_G.sum())
        row |= {f"found_{k}_{size}": int(ranked_TD[:, :k].sum()) for k in TOP}
    return row
