"""COCO's greedy matching of one image, kept detection by detection so that any metric can be recomputed.

Source of the rule: ``COCOeval.evaluateImg`` of pycocotools. Detections choose by falling score; each takes
the free region of highest overlap that reaches the threshold, the last one among equals; a region is taken
once, a crowd region only by detections that find no other, and any number of times.

Shape suffixes:
    D = detections of the image   G = its regions   T = thresholds of IoU   C = candidates of one detection
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.definition import IOU_PERCENT, Kind
from evaluation.instances import ImageDetections, ImageTruth, check_masks
from evaluation.masks import box_iou, mask_iou

THRESHOLDS_T = np.linspace(0.5, 0.95, len(IOU_PERCENT))
"""The values that COCO scorers use; 0.6 + 1e-16 is one of them."""

NOBODY = -1
"""The place of the region of a detection that has none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageMatch:
    """Which region each detection took, by one kind of overlap."""

    region: npt.NDArray[np.int64]
    """Place of the region in the image, or ``NOBODY``, shape (T, D)."""
    iou: npt.NDArray[np.float64]
    """Overlap in [0, 1], shape (D, G); 0 between different categories."""
    is_right: npt.NDArray[np.bool_]
    """Matched to a region that is no crowd, shape (T, D)."""
    is_ignored: npt.NDArray[np.bool_]
    """Matched to a crowd: neither right nor wrong, shape (T, D)."""


def match_image(truth: ImageTruth, found: ImageDetections, kind: Kind) -> ImageMatch:
    """Match the detections of one image, category by category.

    Args:
        truth: The regions.
        found: The detections of the same image.
        kind: Which overlap decides.

    Returns:
        Matches at every threshold; arrays of width 0 for an image without detections or regions.
    """
    iou_DG = overlaps(truth, found, kind)
    region_TD = greedy(iou_DG, found.scores, truth.is_crowd)
    matched_TD = region_TD != NOBODY
    crowd_TD = np.zeros_like(matched_TD)
    crowd_TD[matched_TD] = truth.is_crowd[region_TD[matched_TD]]
    return ImageMatch(
        region=region_TD,
        iou=iou_DG,
        is_right=matched_TD & ~crowd_TD,
        is_ignored=crowd_TD,
    )


def overlaps(truth: ImageTruth, found: ImageDetections, kind: Kind) -> npt.NDArray[np.float64]:
    """Return the overlap of each detection with each region of its category, shape (D, G), in [0, 1].

    Raises:
        ValueError: If masks are wanted and the detections have none.
    """
    if kind == "mask":
        check_masks(found)
    iou_DG = np.zeros((len(found.scores), len(truth.masks)))
    for category in np.unique(found.categories):
        d = np.flatnonzero(found.categories == category)
        g = np.flatnonzero(truth.categories == category)
        if kind == "box":
            part = box_iou(found.boxes_xyxy[d], truth.boxes_xyxy[g], truth.is_crowd[g])
        else:
            part = mask_iou([found.masks[i] for i in d], [truth.masks[i] for i in g], truth.is_crowd[g])
        iou_DG[np.ix_(d, g)] = part
    return iou_DG


def greedy(
    iou_DG: npt.NDArray[np.float64], scores_D: npt.NDArray[np.float64], is_crowd_G: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Give each detection at most one region, at every threshold at once.

    Args:
        iou_DG: Overlaps in [0, 1].
        scores_D: Confidence; equal ones keep their order.
        is_crowd_G: Regions that may be taken any number of times.

    Returns:
        Place of the region or ``NOBODY``, shape (T, D), int64.

    Example:
        >>> iou_DG = np.array([[0.6, 0.72], [0.0, 0.8]])
        >>> greedy(iou_DG, np.array([0.9, 0.5]), np.zeros(2, bool))[[0, 5]].tolist()
        [[1, -1], [-1, 1]]
    """
    limit_T1 = np.minimum(THRESHOLDS_T, 1 - 1e-10)[:, None]
    region_TD = np.full((len(THRESHOLDS_T), len(scores_D)), NOBODY)
    free_TG = np.ones((len(THRESHOLDS_T), len(is_crowd_G)), dtype=bool)
    candidates_DG = iou_DG >= THRESHOLDS_T[0]
    order_D = np.argsort(-scores_D, kind="stable")
    for d in order_D[candidates_DG[order_D].any(axis=1)]:
        # Crowds last and equal overlaps in reverse order: the first maximum is then COCO's choice.
        place_C = np.flatnonzero(candidates_DG[d])[::-1]
        iou_C = iou_DG[d, place_C]
        allowed_TC = free_TG[:, place_C] & (iou_C >= limit_T1)
        rank_C = np.where(is_crowd_G[place_C], iou_C - 2.0, iou_C)
        best_T = np.where(allowed_TC, rank_C, -np.inf).argmax(axis=1)
        t = np.flatnonzero(allowed_TC.any(axis=1))
        taken = place_C[best_T[t]]
        region_TD[t, d] = taken
        free_TG[t, taken] = is_crowd_G[taken]
    return region_TD
