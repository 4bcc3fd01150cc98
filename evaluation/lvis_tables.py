"""The tables of an evaluation by the rules of LVIS, and which detections those rules look at.

``per_image``, one row per image: ``image_id``, ``num_regions``, ``num_detections``, of these ``num_scored``,
``num_beyond_cap`` and ``num_not_annotated``, and for each kind ``<kind>_tp50``, ``<kind>_fp50``,
``<kind>_fn50`` and ``<kind>_ignored50`` (scored, of a not-exhaustive category, without a region).

``matches``, one row per detection, also of those left out: ``image_id``, ``detection`` (place in the
predictions of the image), ``category``, ``score``, ``standing``; for each kind ``<kind>_region_id`` and
``<kind>_iou`` of the match at IoU 0.5 (absent without one), ``<kind>_matched_50`` to ``_95`` and
``<kind>_ignored_50`` to ``_95`` (neither right nor wrong; true at all thresholds for what is left out).

``per_category``: ``category``, ``frequency``, ``num_regions``, ``num_scored``, and the number of images in
which it is ``annotated``, ``negative`` and ``not_exhaustive``.

Shape suffixes:
    D = detections of the image   T = thresholds of IoU   K = categories
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.definition import IOU_PERCENT, Kind
from evaluation.instances import ImageDetections
from evaluation.lvis_truth import LvisCategory, LvisImage
from evaluation.matching import match_image

SCORED: Final = "scored"
BEYOND_CAP: Final = "beyond the cap"
NOT_ANNOTATED: Final = "category not annotated"
STANDINGS: Final = (SCORED, BEYOND_CAP, NOT_ANNOTATED)
"""What becomes of a detection; each has exactly one."""


def standings(image: LvisImage, found: ImageDetections, *, most: int) -> npt.NDArray[np.int64]:
    """Say of each detection whether it is scored.

    Args:
        image: Regions and lists of the image.
        found: The detections of the same image.
        most: How many detections are looked at, over all categories; ties keep their order.

    Returns:
        Place in ``STANDINGS``, shape (D,). The cap comes first: a detection beyond it is never anything else.
    """
    known = np.array(sorted({*image.truth.categories.tolist(), *image.negative}), dtype=np.int64)
    standing_D = np.where(np.isin(found.categories, known), 0, 2)
    standing_D[np.argsort(-found.scores, kind="stable")[most:]] = 1
    return standing_D


def take(found: ImageDetections, standing_D: npt.NDArray[np.int64]) -> ImageDetections:
    """Return the detections that are scored, in their order."""
    place = np.flatnonzero(standing_D == 0)
    return ImageDetections(
        image_id=found.image_id,
        height=found.height,
        width=found.width,
        categories=found.categories[place],
        boxes_xyxy=found.boxes_xyxy[place],
        masks=tuple(found.masks[d] for d in place) if found.masks else (),
        scores=found.scores[place],
    )


def match_table(
    images: Sequence[LvisImage],
    detections: Sequence[ImageDetections],
    standing: Sequence[npt.NDArray[np.int64]],
    *,
    names: Sequence[str],
    kinds: tuple[Kind, ...],
) -> pd.DataFrame:
    """Match the detections that are scored and list all of them.

    Args:
        images: By rising image id.
        detections: Of the same images, all of them.
        standing: What ``standings`` says of each.
        names: Of the categories, in the order of their numbers.
        kinds: Which overlaps to match by.

    Returns:
        The table ``matches``.
    """
    parts = [
        _columns(image, found, where, kinds)
        for image, found, where in zip(images, detections, standing, strict=True)
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    table: dict[str, Any] = dict(columns)
    table["category"] = pd.array(np.array(names, dtype=object)[columns["category"]], dtype="str")
    table["standing"] = pd.array(np.array(STANDINGS, dtype=object)[columns["standing"]], dtype="str")
    for kind in kinds:
        alone = ~columns[f"{kind}_matched_50"]
        table[f"{kind}_region_id"] = pd.arrays.IntegerArray(columns[f"{kind}_region_id"], alone)
        table[f"{kind}_iou"] = pd.arrays.FloatingArray(columns[f"{kind}_iou"], alone)
    return pd.DataFrame(table)


def _columns(
    image: LvisImage, found: ImageDetections, standing_D: npt.NDArray[np.int64], kinds: tuple[Kind, ...]
) -> dict[str, npt.NDArray[Any]]:
    truth, count = image.truth, len(found.scores)
    place, chosen = np.flatnonzero(standing_D == 0), take(found, standing_D)
    is_open_D = np.isin(found.categories, np.array(sorted(image.not_exhaustive), dtype=np.int64))
    columns: dict[str, npt.NDArray[Any]] = {
        "image_id": np.full(count, truth.image_id),
        "detection": np.arange(count),
        "category": found.categories,
        "score": found.scores,
        "standing": standing_D,
    }
    for kind in kinds:
        match = match_image(truth, chosen, kind)
        right_TD = np.zeros((len(IOU_PERCENT), count), dtype=bool)
        right_TD[:, place] = match.is_right
        ignored_TD = ~right_TD & (is_open_D | (standing_D != 0))
        d = np.flatnonzero(match.is_right[0])
        g = match.region[0, d]
        region_id_D, iou_D = np.zeros(count, dtype=np.int64), np.zeros(count)
        region_id_D[place[d]], iou_D[place[d]] = truth.region_ids[g], match.iou[d, g]
        columns |= {f"{kind}_region_id": region_id_D, f"{kind}_iou": iou_D}
        for percent, right_D, ignored_D in zip(IOU_PERCENT, right_TD, ignored_TD, strict=True):
            columns |= {f"{kind}_matched_{percent}": right_D, f"{kind}_ignored_{percent}": ignored_D}
    return columns


def image_table(
    images: Sequence[LvisImage], matches: pd.DataFrame, *, kinds: tuple[Kind, ...]
) -> pd.DataFrame:
    """Count the rows of ``matches`` image by image; return the table ``per_image``."""
    ids = np.array([image.truth.image_id for image in images])
    row_D = np.searchsorted(ids, matches["image_id"].to_numpy())

    def count(chosen_D: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        return np.bincount(row_D[chosen_D], minlength=len(ids)).astype(np.int64)

    standing_D = matches["standing"].to_numpy(dtype=object)
    is_scored_D = standing_D == SCORED
    num_regions = np.array([len(image.truth.masks) for image in images])
    table: dict[str, npt.NDArray[np.int64]] = {
        "image_id": ids,
        "num_regions": num_regions,
        "num_detections": count(np.ones(len(row_D), dtype=bool)),
        "num_scored": count(is_scored_D),
        "num_beyond_cap": count(standing_D == BEYOND_CAP),
        "num_not_annotated": count(standing_D == NOT_ANNOTATED),
    }
    for kind in kinds:
        right_D = matches[f"{kind}_matched_50"].to_numpy(dtype=bool)
        ignored_D = matches[f"{kind}_ignored_50"].to_numpy(dtype=bool)
        right = count(right_D)
        table[f"{kind}_tp50"] = right
        table[f"{kind}_fp50"] = count(~right_D & ~ignored_D)
        table[f"{kind}_fn50"] = num_regions - right
        table[f"{kind}_ignored50"] = count(is_scored_D & ignored_D)
    return pd.DataFrame(table)


def region_table(images: Sequence[LvisImage], names: Sequence[str]) -> pd.DataFrame:
    """Count the regions: ``image_id``, ``category``, ``num_regions``, only where there are any."""
    ids, places, counts = [], [], []
    for image in images:
        place, count = np.unique(image.truth.categories, return_counts=True)
        ids.append(np.full(len(place), image.truth.image_id))
        places.append(place)
        counts.append(count)
    category = pd.array(np.array(names, dtype=object)[np.concatenate(places)], dtype="str")
    columns = {"image_id": np.concatenate(ids), "category": category, "num_regions": np.concatenate(counts)}
    return pd.DataFrame(columns)


def count_categories(
    images: Sequence[LvisImage], chosen: Sequence[ImageDetections], categories: Sequence[LvisCategory]
) -> pd.DataFrame:
    """Count what the numbers of each category rest on.

    Args:
        images: By rising image id.
        chosen: The detections that are scored.
        categories: In the order of their numbers.

    Returns:
        The counts of ``per_category``, one row per category, in order.
    """
    size = len(categories)

    def count(places: Sequence[Any]) -> npt.NDArray[np.int64]:
        numbers = [np.array(sorted(place), dtype=np.int64) for place in places]
        return np.bincount(np.concatenate(numbers), minlength=size).astype(np.int64)

    columns: dict[str, Any] = {
        "category": pd.array([item.name for item in categories], dtype="str"),
        "frequency": pd.array([item.frequency for item in categories], dtype="str"),
        "num_regions": count([image.truth.categories for image in images]),
        "num_scored": count([item.categories for item in chosen]),
        "annotated": count([np.unique(image.truth.categories) for image in images]),
        "negative": count([image.negative for image in images]),
        "not_exhaustive": count([image.not_exhaustive for image in images]),
    }
    return pd.DataFrame(columns)
