"""Metrics under weights in plain NumPy, category by category: the slow twin of ``evaluation.weighted``."""

import numpy as np
import pandas as pd

from evaluation.definition import CAPS, IOU_PERCENT


def slow_metric(tables, metric, weight_BI):
    """Return an average precision or recall under each row of weights, shape (B,)."""
    kind, quantity = metric.split(".")
    percents = {"ap50": (50,), "ap75": (75,), "recall50": (50,)}.get(quantity, IOU_PERCENT)
    caps = {f"ar_{cap}": cap for cap in CAPS}
    sum_B, count_B = np.zeros(len(weight_BI)), np.zeros(len(weight_BI))
    ordered = tables.matches.sort_values(["image_id", "detection"])
    ordered = ordered.sort_values("score", ascending=False, kind="stable")
    image_ids = tables.per_image["image_id"].to_numpy()
    ordered = ordered.assign(image=np.searchsorted(image_ids, ordered["image_id"].to_numpy()))
    for name in tables.categories:
        if not tables.regions_of(name).any():
            continue
        regions_B = weight_BI @ tables.regions_of(name)
        has_B = regions_B > 0
        own = ordered[ordered["category"] == name]
        if quantity.startswith("ap"):
            values = [_area(own, kind, percent, weight_BI, regions_B) for percent in percents]
            value_B = np.mean(values, axis=0)
        else:
            value_B = _recall(own, kind, percents, caps.get(quantity), weight_BI, regions_B)
        sum_B += np.where(has_B, value_B, 0.0)
        count_B += has_B
    return sum_B / count_B


def _area(own, kind, percent, weight_BI, regions_B):
    counted_N = ~own[f"{kind}_ignored_{percent}"].to_numpy(bool)
    right_N = own[f"{kind}_matched_{percent}"].to_numpy(bool)[counted_N]
    if not right_N.any():
        return np.zeros(len(weight_BI))
    weight_NB = weight_BI.T[own["image"].to_numpy()[counted_N]]
    right_PB = np.cumsum(weight_NB * right_N[:, None], axis=0)[right_N]
    precision_PB = right_PB / (np.cumsum(weight_NB, axis=0)[right_N] + np.spacing(1))
    recall_PB = right_PB / np.where(regions_B > 0, regions_B, 1.0)
    reached_PB = np.searchsorted(np.linspace(0.0, 1.0, 101), recall_PB, side="right")
    best_PB = np.maximum.accumulate(precision_PB[::-1], axis=0)[::-1]
    points_PB = np.diff(reached_PB, axis=0, prepend=0)
    return np.cumsum(best_PB * points_PB, axis=0)[-1] / 101


def _recall(own, kind, percents, cap, weight_BI, regions_B):
    rank_N = own.groupby("image").cumcount()
    allowed = own[rank_N < (len(own) if cap is None else cap)]
    right_N = np.sum([allowed[f"{kind}_matched_{percent}"].to_numpy(bool) for percent in percents], axis=0)
    right_I = np.bincount(allowed["image"], weights=right_N, minlength=weight_BI.shape[1])
    return weight_BI @ right_I / len(percents) / np.where(regions_B > 0, regions_B, 1.0)


def permuted(tables, seed):
    """Return the tables with the rows of the matches in another order."""
    order = np.random.default_rng(seed).permutation(len(tables.matches))
    return type(tables)(per_image=tables.per_image, matches=pd.DataFrame(tables.matches.iloc[order]))
