"""Two tables from which every metric can be recomputed under any weighting of the images.

``per_image``, one row per image: ``image_id``, ``num_regions`` (crowds not counted), ``num_detections``,
``num_regions.<category>`` for each category, and for ``box`` and ``mask``: ``<kind>_tp50``, ``<kind>_fp50``,
``<kind>_fn50``, ``<kind>_f1_50`` (1 where there is nothing to find and nothing was found),
``<kind>_iou_sum`` (over the pairs matched at IoU 0.5 of that kind).

``matches``, one row per detection: ``image_id``, ``detection`` (place in the predictions of the image),
``category``, ``score``; for both kinds ``<kind>_region_id`` and ``<kind>_iou`` of the match at IoU 0.5
(absent without one), ``<kind>_matched_50`` to ``_95`` and ``<kind>_ignored_50`` to ``_95`` (matched to a
crowd); and ``mask_iou_at_box_match``, the mask IoU with the region of the box match (absent without one).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from evaluation.definition import IOU_PERCENT, KINDS
from evaluation.instances import ImageDetections, ImageTruth
from evaluation.matching import ImageMatch, match_image


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tables:
    """What one model did, image by image and detection by detection."""

    per_image: pd.DataFrame
    matches: pd.DataFrame

    def problems(self) -> list[str]:
        """Name what keeps the tables from being used; an empty list means that metrics can be recomputed."""
        counts = dict.fromkeys((f"{_REGIONS}{name}" for name in self.categories), "i")
        found = _column_problems("per_image", self.per_image, _IMAGE_COLUMNS | counts)
        found += _column_problems("matches", self.matches, _MATCH_COLUMNS)
        return found or _content_problems(self)

    @property
    def categories(self) -> list[str]:
        """Names of the categories, in order."""
        names = [str(name) for name in self.per_image]
        return [name.removeprefix(_REGIONS) for name in names if name.startswith(_REGIONS)]

    def regions_of(self, category: str) -> npt.NDArray[np.int64]:
        """Return the number of regions of a category, image by image."""
        return self.per_image[f"{_REGIONS}{category}"].to_numpy(dtype=np.int64)


_REGIONS = "num_regions."
_IMAGE_COLUMNS = {"image_id": "i", "num_regions": "i", "num_detections": "i"} | {
    f"{kind}_{name}": letter
    for kind in KINDS
    for name, letter in {"tp50": "i", "fp50": "i", "fn50": "i", "f1_50": "f", "iou_sum": "f"}.items()
}
_MATCH_COLUMNS = {
    "image_id": "i",
    "detection": "i",
    "category": "",
    "score": "f",
    "mask_iou_at_box_match": "f",
} | {
    f"{kind}_{name}": letter
    for kind in KINDS
    for name, letter in {
        "region_id": "i",
        "iou": "f",
        **{f"{word}_{percent}": "b" for word in ("matched", "ignored") for percent in IOU_PERCENT},
    }.items()
}
"""Name -> kind of NumPy type: integer, float, bool; the category is text of any kind."""


def _column_problems(table_name: str, table: pd.DataFrame, columns: Mapping[str, str]) -> list[str]:
    if not table.columns.is_unique:
        return [f"{table_name} has two columns of one name"]
    found = []
    for name, letter in columns.items():
        if name not in table:
            found.append(f"{table_name} has no column {name!r}")
        elif letter and getattr(table[name].dtype, "kind", "") != letter:
            found.append(f"{table_name} has a column {name!r} of type {table[name].dtype}")
        elif name not in _MAY_BE_ABSENT and table[name].isna().any():
            found.append(f"{table_name} has no value somewhere in column {name!r}")
    return found


_MAY_BE_ABSENT = {
    "mask_iou_at_box_match",
    *(f"{kind}_{name}" for kind in KINDS for name in ("region_id", "iou")),
}


def _content_problems(tables: Tables) -> list[str]:
    images, matches = tables.per_image, tables.matches
    is_fraction = matches["score"].between(0.0, 1.0).all() and all(
        matches[name].dropna().between(0.0, 1.0).all()
        for name in ("mask_iou", "box_iou", "mask_iou_at_box_match")
    )
    regions = sum(tables.regions_of(name) for name in tables.categories)
    detections = matches.groupby("image_id").size().reindex(images["image_id"], fill_value=0)
    rules = {
        "per_image has no row": len(images) > 0,
        "image ids of per_image do not rise": images["image_id"].is_monotonic_increasing
        and images["image_id"].is_unique,
        "matches name images that per_image does not": matches["image_id"].isin(images["image_id"]).all(),
        "matches name categories that per_image does not": matches["category"].isin(tables.categories).all(),
        "regions of the categories do not add up": np.array_equal(regions, images["num_regions"]),
        "numbers of regions are negative": images["num_regions"].ge(0).all(),
        "matches and per_image count different detections": np.array_equal(
            detections, images["num_detections"]
        ),
        "scores and overlaps of matches are not all in [0, 1]": is_fraction,
    }
    return [problem for problem, holds in rules.items() if not holds]


def build_tables(
    truths: Sequence[ImageTruth], detections: Sequence[ImageDetections], *, categories: Sequence[str]
) -> Tables:
    """Match every image by boxes and by masks.

    Args:
        truths: Checked by ``check_pairs``.
        detections: Checked by ``check_pairs``.
        categories: Names in the order of their numbers.

    Returns:
        The tables, images by rising id, detections in the order of the predictions.
    """
    rows: list[dict[str, Any]] = []
    parts: list[dict[str, npt.NDArray[Any]]] = []
    for truth, found in zip(truths, detections, strict=True):
        by_box, by_mask = (match_image(truth, found, kind) for kind in KINDS)
        parts.append(_detection_columns(truth, found, by_box, by_mask))
        rows.append(_image_row(truth, found, by_box, by_mask) | _region_counts(truth, categories))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Tables(per_image=pd.DataFrame(rows), matches=_match_table(columns, categories))


def _detection_columns(
    truth: ImageTruth, found: ImageDetections, by_box: ImageMatch, by_mask: ImageMatch
) -> dict[str, npt.NDArray[Any]]:
    count_d = len(found.scores)
    columns: dict[str, npt.NDArray[Any]] = {
        "image_id": np.full(count_d, truth.image_id),
        "detection": np.arange(count_d),
        "category": found.categories,
        "score": found.scores,
        "mask_iou_at_box_match": _iou_of_match(by_mask.iou, by_box),
    }
    for kind, match in zip(KINDS, (by_box, by_mask), strict=True):
        right_D, place_D = match.is_right[0], match.region[0]
        columns[f"{kind}_region_id"] = np.zeros(count_d, dtype=np.int64)
        columns[f"{kind}_region_id"][right_D] = truth.region_ids[place_D[right_D]]
        columns[f"{kind}_iou"] = _iou_of_match(match.iou, match)
        for percent, matched_D, ignored_D in zip(IOU_PERCENT, match.is_right, match.is_ignored, strict=True):
            columns[f"{kind}_matched_{percent}"] = matched_D
            columns[f"{kind}_ignored_{percent}"] = ignored_D
    return columns


def _iou_of_match(iou_DG: npt.NDArray[np.float64], match: ImageMatch) -> npt.NDArray[np.float64]:
    """Read the overlap with the region matched at IoU 0.5; 0 where there is none."""
    right_D = np.flatnonzero(match.is_right[0])
    value_D = np.zeros(len(iou_DG))
    value_D[right_D] = iou_DG[right_D, match.region[0, right_D]]
    return value_D


def _image_row(
    truth: ImageTruth, found: ImageDetections, by_box: ImageMatch, by_mask: ImageMatch
) -> dict[str, Any]:
    num_regions = int((~truth.is_crowd).sum())
    row: dict[str, Any] = {
        "image_id": truth.image_id,
        "num_regions": num_regions,
        "num_detections": len(found.scores),
    }
    for kind, match in zip(KINDS, (by_box, by_mask), strict=True):
        right = int(match.is_right[0].sum())
        wrong = len(found.scores) - right - int(match.is_ignored[0].sum())
        claimed = right + wrong + num_regions
        row |= {
            f"{kind}_tp50": right,
            f"{kind}_fp50": wrong,
            f"{kind}_fn50": num_regions - right,
            f"{kind}_f1_50": 2 * right / claimed if claimed else 1.0,
            f"{kind}_iou_sum": float(_iou_of_match(match.iou, match).sum()),
        }
    return row


def _region_counts(truth: ImageTruth, categories: Sequence[str]) -> dict[str, int]:
    count_K = np.bincount(truth.categories[~truth.is_crowd], minlength=len(categories))
    return {f"{_REGIONS}{name}": int(count) for name, count in zip(categories, count_K, strict=True)}


def _match_table(columns: dict[str, npt.NDArray[Any]], categories: Sequence[str]) -> pd.DataFrame:
    """Name the categories and mark as absent what a detection without a match does not have."""
    table: dict[str, Any] = dict(columns)
    table["category"] = pd.array([categories[number] for number in columns["category"]], dtype="str")
    for kind in KINDS:
        alone = ~columns[f"{kind}_matched_50"]
        table[f"{kind}_region_id"] = pd.arrays.IntegerArray(columns[f"{kind}_region_id"], alone)
        table[f"{kind}_iou"] = pd.arrays.FloatingArray(columns[f"{kind}_iou"], alone)
    table["mask_iou_at_box_match"] = pd.arrays.FloatingArray(
        columns["mask_iou_at_box_match"], ~columns["box_matched_50"]
    )
    return pd.DataFrame(table)[list(_MATCH_COLUMNS)]
