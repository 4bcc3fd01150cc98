"""Both tables made image by image with the readable matcher: the slow twin of ``evaluation.tables``."""

import numpy as np
import pandas as pd

from evaluation.definition import IOU_PERCENT, KINDS
from evaluation.matching import match_image


def slow_tables(truths, detections, categories):
    """Return ``per_image`` and ``matches``."""
    rows, parts = [], []
    for truth, found in zip(truths, detections, strict=True):
        by_box, by_mask = (match_image(truth, found, kind) for kind in KINDS)
        parts.append(_detection_columns(truth, found, by_box, by_mask))
        rows.append(_image_row(truth, found, by_box, by_mask) | _region_counts(truth, categories))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return pd.DataFrame(rows), _match_table(columns, categories)


def _detection_columns(truth, found, by_box, by_mask):
    count_d = len(found.scores)
    columns = {
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


def _iou_of_match(iou_DG, match):
    """Read the overlap with the region matched at IoU 0.5; 0 where there is none."""
    right_D = np.flatnonzero(match.is_right[0])
    value_D = np.zeros(len(iou_DG))
    value_D[right_D] = iou_DG[right_D, match.region[0, right_D]]
    return value_D


def _image_row(truth, found, by_box, by_mask):
    num_regions = int((~truth.is_crowd).sum())
    row = {
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


def _region_counts(truth, categories):
    count_K = np.bincount(truth.categories[~truth.is_crowd], minlength=len(categories))
    return {f"num_regions.{name}": int(count) for name, count in zip(categories, count_K, strict=True)}


def _match_table(columns, categories):
    """Name the categories and mark as absent what a detection without a match does not have."""
    table = dict(columns)
    table["category"] = pd.array([categories[number] for number in columns["category"]], dtype="str")
    for kind in KINDS:
        alone = ~columns[f"{kind}_matched_50"]
        table[f"{kind}_region_id"] = pd.arrays.IntegerArray(columns[f"{kind}_region_id"], alone)
        table[f"{kind}_iou"] = pd.arrays.FloatingArray(columns[f"{kind}_iou"], alone)
    table["mask_iou_at_box_match"] = pd.arrays.FloatingArray(
        columns["mask_iou_at_box_match"], ~columns["box_matched_50"]
    )
    names = ["image_id", "detection", "category", "score", "mask_iou_at_box_match"]
    for kind in KINDS:
        flags = [f"{kind}_{word}_{percent}" for word in ("matched", "ignored") for percent in IOU_PERCENT]
        names += [f"{kind}_region_id", f"{kind}_iou", *flags]
    return pd.DataFrame(table)[names]
