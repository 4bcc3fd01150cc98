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

from evaluation.definition import IOU_PERCENT, KINDS, Kind
from evaluation.flat_matching import Found, Matches, match_all
from evaluation.instances import ImageDetections, ImageTruth


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
    truths: Sequence[ImageTruth],
    detections: Sequence[ImageDetections],
    *,
    categories: Sequence[str],
    kinds: Sequence[Kind] = KINDS,
) -> Tables:
    """Match every image by boxes and by masks.

    Args:
        truths: Checked by ``check_pairs``.
        detections: Checked by ``check_pairs``.
        categories: Names in the order of their numbers.
        kinds: By which overlaps; the columns of the others are left out.

    Returns:
        The tables, images by rising id, detections in the order of the predictions.
    """
    return tables_of(match_all(truths, detections, kinds=kinds), categories=categories)


def tables_of(matches: Matches, *, categories: Sequence[str]) -> Tables:
    """Lay out what ``match_all`` found, as ``build_tables`` does."""
    return Tables(per_image=_image_table(matches, categories), matches=_match_table(matches, categories))


def _match_table(matches: Matches, categories: Sequence[str]) -> pd.DataFrame:
    """Name images and categories, and mark as absent what a detection without a match does not have."""
    flat = matches.flat
    columns: dict[str, Any] = {
        "image_id": flat.image_ids[flat.image],
        "detection": np.arange(len(flat.image)) - flat.first[flat.image],
        # Taken from the few names, so that no text is made detection by detection.
        "category": pd.array(list(categories), dtype="str").take(flat.categories),
        "score": flat.scores,
    }
    for kind, found in matches.found.items():
        right_N = is_right(found, 0)
        if kind == "mask" and "box" in matches.found:
            boxed_N = is_right(matches.found["box"], 0)
            columns["mask_iou_at_box_match"] = pd.arrays.FloatingArray(
                np.where(boxed_N, found.at_box_match, 0.0), ~boxed_N
            )
        region_N = np.zeros(len(right_N), dtype=np.int64)
        region_N[right_N] = flat.region_ids[found.region[right_N]]
        columns[f"{kind}_region_id"] = pd.arrays.IntegerArray(region_N, ~right_N)
        columns[f"{kind}_iou"] = pd.arrays.FloatingArray(np.where(right_N, found.iou, 0.0), ~right_N)
        for t, percent in enumerate(IOU_PERCENT):
            columns[f"{kind}_matched_{percent}"] = is_right(found, t)
            columns[f"{kind}_ignored_{percent}"] = (found.ignored[0] >> t & 1).astype(bool)
    return pd.DataFrame({name: columns[name] for name in _MATCH_COLUMNS if name in columns}, copy=False)


def is_right(found: Found, threshold: int) -> npt.NDArray[np.bool_]:
    """Say which detections took a region that is no crowd, at a threshold by its place, shape (N,)."""
    right_N: npt.NDArray[np.bool_] = (found.right[0] >> threshold & 1).astype(bool)
    return right_N


def _image_table(matches: Matches, categories: Sequence[str]) -> pd.DataFrame:
    flat, num_images = matches.flat, len(matches.flat.image_ids)
    counted_G = ~flat.is_crowd
    regions_I = np.bincount(flat.region_image[counted_G], minlength=num_images)
    detections_I = np.diff(flat.first)
    columns: dict[str, Any] = {
        "image_id": flat.image_ids,
        "num_regions": regions_I,
        "num_detections": detections_I,
    }
    for kind, found in matches.found.items():
        right_N = is_right(found, 0)
        right_I = np.bincount(flat.image[right_N], minlength=num_images)
        ignored_I = np.bincount(flat.image[(found.ignored[0] & 1).astype(bool)], minlength=num_images)
        wrong_I = detections_I - right_I - ignored_I
        claimed_I = right_I + wrong_I + regions_I
        columns |= {
            f"{kind}_tp50": right_I,
            f"{kind}_fp50": wrong_I,
            f"{kind}_fn50": regions_I - right_I,
            f"{kind}_f1_50": np.where(claimed_I > 0, 2 * right_I / np.maximum(claimed_I, 1), 1.0),
            # Image by image: NumPy adds up in pairs, and these depend on where a sum begins.
            f"{kind}_iou_sum": [
                float(part.sum()) for part in np.split(np.where(right_N, found.iou, 0.0), flat.first[1:-1])
            ],
        }
    code_G = flat.region_image[counted_G] * len(categories) + flat.region_categories[counted_G]
    count_IK = np.bincount(code_G, minlength=num_images * len(categories)).reshape(num_images, -1)
    regions = {f"{_REGIONS}{name}": count_IK[:, k] for k, name in enumerate(categories)}
    return pd.DataFrame(columns | regions)
