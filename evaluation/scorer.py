"""COCO precision and recall, accumulated from the matches that the tables are made of.

Why no scorer of others: the matches must be made for the tables anyway, detection by detection, and what is
left of ``COCOeval`` is one loop. Precision, recall and score arrays equal those of pycocotools and of hotcoco
1.3 to the last bit on every test vector, on nuclei with up to 861 detections an image and on random scenes of
edge cases (faster-coco-eval: to 2e-16); ``benchmarks/evaluation.py`` has the times. hotcoco, as fast from its
own files, has to be given half a million dictionaries, and gives back no matches. Empty predictions score 0
where pycocotools raises IndexError; NaN never comes this far, where pycocotools gives NaN boxes recall 1.

Shape suffixes:
    T = thresholds of IoU   R = points of recall   K = categories   A = area ranges   M = caps on detections
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.definition import AREAS, CAPS, RECALL_POINTS, Kind
from evaluation.flat import Flat
from evaluation.flat_matching import Matches, match_all
from evaluation.instances import ImageDetections, ImageTruth
from evaluation.matching import THRESHOLDS_T


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """COCO's arrays; a category without regions in an area range has no number there."""

    precision: npt.NDArray[np.float64]
    """Interpolated, over all detections, shape (T, R, K, A)."""
    score: npt.NDArray[np.float64]
    """Confidence at which that recall is reached, 0 where it never is, shape (T, R, K, A)."""
    recall: npt.NDArray[np.float64]
    """Highest recall, shape (T, K, A, M); the last cap is "all"."""
    has_regions: npt.NDArray[np.bool_]
    """Shape (K, A)."""


def score(
    truths: Sequence[ImageTruth],
    detections: Sequence[ImageDetections],
    *,
    categories: Sequence[str],
    kind: Kind,
) -> Scores:
    """Match and accumulate as COCO does.

    Args:
        truths: Checked by ``check_pairs``.
        detections: Checked by ``check_pairs``.
        categories: Names in the order of their numbers.
        kind: Which overlap decides.

    Returns:
        Arrays over the 10 thresholds, 101 points of recall, categories, 4 area ranges and 4 caps.
    """
    matches = match_all(truths, detections, kinds=(kind,))
    return scores_of(matches, kind, num_categories=len(categories))


def scores_of(matches: Matches, kind: Kind, *, num_categories: int) -> Scores:
    """Accumulate what ``match_all`` found by one kind of overlap, as ``score`` does."""
    from evaluation.compiled_scores import accumulate

    flat, found = matches.flat, matches.found[kind]
    regions_KA = _regions(flat, num_categories)
    shape = (len(THRESHOLDS_T), RECALL_POINTS, num_categories, len(AREAS))
    precision, confidence = np.full(shape, -1.0), np.full(shape, -1.0)
    recall = np.full((shape[0], *shape[2:], len(CAPS) + 1), -1.0)
    first = np.searchsorted(flat.categories[flat.by_category], np.arange(num_categories + 1))
    accumulate(
        flat.by_category, first, flat.scores, flat.rank, found.right, found.ignored, regions_KA,
        np.linspace(0.0, 1.0, RECALL_POINTS), np.array([*CAPS, len(flat.scores) + 1]),
        precision, confidence, recall,
    )  # fmt: skip
    return Scores(precision=precision, score=confidence, recall=recall, has_regions=regions_KA > 0)


def _regions(flat: Flat, num_categories: int) -> npt.NDArray[np.int64]:
    """Count the regions that are no crowd, shape (K, A)."""
    columns = []
    for low, high in AREAS.values():
        counted_G = ~flat.is_crowd & (flat.region_areas >= low) & (flat.region_areas <= high)
        columns.append(np.bincount(flat.region_categories[counted_G], minlength=num_categories))
    return np.stack(columns, axis=1)
