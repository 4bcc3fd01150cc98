"""Detection over a large vocabulary of which each image is annotated only in part: the rules of LVIS.

Source: Gupta et al., "LVIS: A Dataset for Large Vocabulary Instance Segmentation" (CVPR 2019,
arXiv 1908.03195), section 2 (federated dataset, evaluation), with the conventions of the authors' tool
lvis-api 0.5.3 where the paper leaves room. Of each image three lists are known: the categories with regions,
the *negative* categories, verified to be absent, and the *not exhaustive* ones, of which more may be there
than was annotated. So a detection

* beyond the best 300 of its image, over all categories, is not looked at;
* of a category that is neither annotated nor negative in its image has nothing to be compared with and is
  left out: it is neither right nor wrong;
* of a not-exhaustive category that finds no region is neither right nor wrong.

Everything else is COCO: ``evaluation.matching`` and ``DETECTION``, but that the area of a region is the
annotated one, and that means are also taken over the rare, common and frequent categories (1 to 10, 11 to
100, more than 100 training images).

Differences: no crowds exist in LVIS and they are refused; what contradicts itself is refused, where the tool
lets one list win.

Shape suffixes:
    T = thresholds of IoU   R = points of recall   K = categories   A = area ranges   G = regions
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.definition import AREAS, IOU_PERCENT, KINDS, RECALL_POINTS, Definition, Kind, MetricSpec
from evaluation.instances import ImageDetections, check_masks, check_pairs
from evaluation.lvis_scorer import LvisScores, score_lvis
from evaluation.lvis_tables import count_categories, image_table, match_table, region_table, standings, take
from evaluation.lvis_truth import FREQUENCIES, LvisCategory, LvisImage, check_lists
from evaluation.values import Found, Values, values_of

MOST: Final = 300
"""Detections of an image that are looked at, over all categories; best scores first."""

SIZES: Final = ("small", "medium", "large")


def _of_kind(kind: Kind) -> tuple[MetricSpec, ...]:
    quantities = {
        "ap": "mean average precision over the thresholds of IoU",
        "ap50": "average precision at IoU 0.50",
        "ap75": "average precision at IoU 0.75",
        **{f"ap_{size}": f"ap over {size} regions" for size in SIZES},
        **{f"ap_{name}": f"ap over {name} categories" for name in FREQUENCIES},
        "ar_300": "mean recall over the thresholds of IoU, 300 detections an image",
        **{f"ar_300_{size}": f"ar_300 over {size} regions" for size in SIZES},
    }
    return tuple(MetricSpec(name=f"lvis.{kind}.{name}", meaning=text) for name, text in quantities.items())


LVIS: Final = Definition(
    name="lvis/1",
    iou_percent=IOU_PERCENT,
    recall_points=RECALL_POINTS,
    caps=(MOST,),
    areas=tuple((name, low, high) for name, (low, high) in AREAS.items()),
    conventions=(
        "the best 300 detections of an image over all categories are looked at; ties keep their order",
        "a detection of a category neither annotated nor negative in its image is left out",
        "a detection of a not-exhaustive category that finds no region is neither right nor wrong",
        "matching is greedy by score, within image and category; ties keep the order of the predictions",
        "precision is interpolated at 101 points of recall",
        "metrics are means over the categories that have regions",
        "the area of a region is the annotated one; of a detection, that of its box or mask as compared",
        "no detection at all, or no match at all, scores 0; no region at all leaves a metric undefined",
    ),
    metrics=(
        *_of_kind("box"),
        *_of_kind("mask"),
        MetricSpec(
            name="lvis.detections_per_image",
            meaning="mean number of detections, also of those not looked at",
            unit="detections per image",
            higher_is_better=False,
            highest=None,
        ),
    ),
)


_NAMES: Final = tuple(spec.name for spec in LVIS.metrics)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LvisEvaluation:
    """Everything that evaluation says about one model on one split."""

    values: Values
    per_image: pd.DataFrame
    """As ``lvis_tables.image_table`` describes it, one row per image."""
    per_category: pd.DataFrame
    """One row per category: as ``lvis_tables.count_categories`` describes it, and for each kind that was
    scored ``<kind>_ap`` and ``<kind>_ap50`` (absent without a region)."""
    matches: pd.DataFrame
    """As ``lvis_tables.match_table`` describes it, one row per detection, also of those left out."""
    regions: pd.DataFrame
    """``image_id``, ``category``, ``num_regions``: with ``matches``, all that the metrics over regions of
    every size are made of."""


def evaluate_lvis(
    images: Sequence[LvisImage],
    detections: Sequence[ImageDetections],
    *,
    categories: Sequence[LvisCategory],
    kinds: Sequence[Kind] = KINDS,
) -> LvisEvaluation:
    """Score the detections of every image of a split.

    Args:
        images: The regions, one entry per image, by rising image id.
        detections: One entry per image in the same order, also for images without a detection.
        categories: In the order of their numbers.
        kinds: Which overlaps to score; the metrics of another one are undefined.

    Returns:
        Metrics and tables.

    Raises:
        ValueError: If the images differ or there is none, a category is unknown, names repeat, no kind is
            given, or masks are to be scored where detections have none.
    """
    truths = [image.truth for image in images]
    check_pairs(truths, detections, num_categories=len(categories))
    check_lists(images, categories)
    if not kinds or not set(kinds) <= set(KINDS):
        raise ValueError(f"kinds must be some of {KINDS}, got {tuple(kinds)}.")
    for found in detections if "mask" in kinds else ():
        check_masks(found)
    standing = [standings(image, found, most=MOST) for image, found in zip(images, detections, strict=True)]
    chosen = [take(found, where) for found, where in zip(detections, standing, strict=True)]
    scores = {kind: score_lvis(images, chosen, categories=categories, kind=kind) for kind in kinds}
    values: dict[str, Found] = dict.fromkeys(_NAMES, "this kind of overlap was not scored")
    for kind, item in scores.items():
        values |= _numbers(kind, item, images, categories)
    counts = [len(item.scores) for item in detections]
    values["lvis.detections_per_image"] = (float(np.mean(counts)), len(counts))
    names = [category.name for category in categories]
    matches = match_table(images, detections, standing, names=names, kinds=tuple(kinds))
    per_category = count_categories(images, chosen, categories)
    for kind, item in scores.items():
        alone_K = ~item.has_regions[:, 0]
        mean_K = item.precision[..., 0].mean(axis=(0, 1))
        per_category[f"{kind}_ap"] = pd.arrays.FloatingArray(mean_K, alone_K)
        per_category[f"{kind}_ap50"] = pd.arrays.FloatingArray(
            item.precision[0, :, :, 0].mean(axis=0), alone_K
        )
    return LvisEvaluation(
        values=values_of(LVIS, values),
        per_image=image_table(images, matches, kinds=tuple(kinds)),
        per_category=per_category,
        matches=matches,
        regions=region_table(images, names),
    )


def _numbers(
    kind: Kind, scores: LvisScores, images: Sequence[LvisImage], categories: Sequence[LvisCategory]
) -> dict[str, Found]:
    precision, recall, has_KA = scores.precision, scores.recall, scores.has_regions
    area_G = np.concatenate([image.areas for image in images])
    category_G = np.concatenate([image.truth.categories for image in images])
    place = {percent: index for index, percent in enumerate(IOU_PERCENT)}
    every = (len(area_G), "no image has a region")
    found = {
        "ap": _mean(precision[..., 0], has_KA[:, 0], *every),
        "ap50": _mean(precision[place[50], ..., 0], has_KA[:, 0], *every),
        "ap75": _mean(precision[place[75], ..., 0], has_KA[:, 0], *every),
        "ar_300": _mean(recall[..., 0], has_KA[:, 0], *every),
    }
    for a, size in enumerate(AREAS):
        if size in SIZES:
            low, high = AREAS[size]
            about = (int(((area_G >= low) & (area_G <= high)).sum()), f"no image has a {size} region")
            found[f"ap_{size}"] = _mean(precision[..., a], has_KA[:, a], *about)
            found[f"ar_300_{size}"] = _mean(recall[..., a], has_KA[:, a], *about)
    letter_K = np.array([category.frequency for category in categories])
    for name, letter in FREQUENCIES.items():
        is_in_K = letter_K == letter
        about = (int(is_in_K[category_G].sum()), f"no {name} category has a region")
        found[f"ap_{name}"] = _mean(precision[..., 0], has_KA[:, 0] & is_in_K, *about)
    return {f"lvis.{kind}.{name}": item for name, item in found.items()}


def _mean(
    values_K: npt.NDArray[np.float64], chosen_K: npt.NDArray[np.bool_], count: int, reason: str
) -> Found:
    """Average over the chosen categories (last axis) and over all else."""
    return (float(values_K[..., chosen_K].mean()), count) if chosen_K.any() else reason
