"""Intervals of the metrics of answers about regions, by resampling images: sums under weights, then ratios.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

Conventions: those of ``region_answers``. Of each metric, images without a question of its form are not drawn.
CIDEr-D keeps the idf of the questions as they are. A precision or F1 in whose resample nothing positive is
found is 0, as it is without resampling. An interval is over images, not over trainings.

Shape suffixes:
    B = resamples   I = images   S = sums
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import pandas as pd

from evaluation.bootstrap import draw_weights
from evaluation.captions import ORDERS
from evaluation.intervals import FloatArray, Interval, percentile_interval
from evaluation.meteor import COUNTS, chunks_of, meteor_scores
from evaluation.region_answers import RegionAnswers

_Sums = Mapping[str, FloatArray]
"""Name -> shape (B,)."""


def region_answer_intervals(
    result: RegionAnswers, *, resamples: int, seed: int, alpha: float
) -> dict[str, Interval]:
    """Return the metrics with their percentile intervals; none of a metric that fewer than 2 images have.

    Args:
        result: From ``evaluate_region_answers``.
        resamples: How often as many images are drawn.
        seed: Of the draws.
        alpha: Share outside the interval, in (0, 1).

    Raises:
        ValueError: If alpha is not in (0, 1).
    """
    intervals = {}
    for metric in result.values.metrics:
        under, weighs, sums_IS = _parts(result, metric.name)
        drawn_IS = sums_IS[sums_IS[weighs] > 0]
        if len(drawn_IS) < 2:
            continue
        weight_BI = draw_weights(len(drawn_IS), resamples=resamples, seed=seed)
        values_B = np.asarray(weight_BI @ drawn_IS.to_numpy(np.float64))
        sums = {name: values_B[:, place] for place, name in enumerate(drawn_IS.columns)}
        intervals[metric.name] = percentile_interval(metric.value, under(sums), alpha=alpha)
    return intervals


def _parts(result: RegionAnswers, metric: str) -> tuple[Callable[[_Sums], FloatArray], str, pd.DataFrame]:
    """Return how a metric follows from sums, the sum that an image must have, and the sums by image."""
    family, _, name = metric.partition(".")
    table = result.per_item.assign(count=1.0)
    match family, name:
        case "answers", _:
            column = {"exact_match": "is_exact", "answered": "is_answered"}[name]
            return _mean(column), "count", _by_image(table, [column, "count"])
        case "yes_no", _:
            return _YES_NO[name], "positives" if name == "recall" else "count", _yes_no_sums(table)
        case "region_text", _:
            rows = table[table["form"] != "yes-no"]
            return _mean(name, scale=100.0), "count", _by_image(rows, [name, "count"])
        case _, "cider_d" | "rouge_l":
            rows = table[table["form"] == "sentence"]
            return _mean(name), "count", _by_image(rows, [name, "count"])
        case _, "meteor":
            rows = result.captions.assign(count=1.0)
            rows["whole_chunks"] = chunks_of(rows[list(COUNTS)].to_numpy(np.float64))
            return _meteor, "count", _by_image(rows, [*COUNTS, "whole_chunks", "count"])
    columns = ["num_words", "closest_reference_words"]
    columns += [f"{kind}_{n}" for n in ORDERS for kind in ("matches", "grams")]
    order = int(name.removeprefix("bleu_"))
    rows = result.captions.assign(count=1.0)
    return lambda sums: _bleu(sums, order), "count", _by_image(rows, [*columns, "count"])


def _by_image(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Add up columns, one row an image, in the order in which images come up."""
    return rows[columns].astype(np.float64).groupby(rows["image"], sort=False).sum()


def _yes_no_sums(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table["form"] == "yes-no"]
    is_yes, is_right = rows["is_yes"].astype(bool), rows["is_right"].astype(bool)
    sums = pd.DataFrame(
        {
            "image": rows["image"],
            "count": 1.0,
            "right": is_right,
            "said_yes": rows["read"].eq("yes"),
            "positives": is_yes,
            "claimed": rows["is_positive"].astype(bool),
            "hits": is_yes & is_right,
        }
    )
    return _by_image(sums, [name for name in sums.columns if name != "image"])


def _mean(column: str, *, scale: float = 1.0) -> Callable[[_Sums], FloatArray]:
    # The mean of cosines may lie below 0, and is reported as 0.
    return lambda sums: np.maximum(scale * sums[column] / sums["count"], 0.0)


def _ratio(part_B: FloatArray, whole_B: FloatArray) -> FloatArray:
    return np.asarray(part_B / np.where(whole_B > 0, whole_B, 1.0))


_YES_NO: Final[Mapping[str, Callable[[_Sums], FloatArray]]] = {
    "accuracy": lambda sums: _ratio(sums["right"], sums["count"]),
    "precision": lambda sums: _ratio(sums["hits"], sums["claimed"]),
    "recall": lambda sums: _ratio(sums["hits"], sums["positives"]),
    "f1": lambda sums: _ratio(2.0 * sums["hits"], sums["claimed"] + sums["positives"]),
    "yes_ratio": lambda sums: _ratio(sums["said_yes"], sums["count"]),
}


def _bleu(sums: _Sums, order: int) -> FloatArray:
    """Return BLEU of the sums, as ``evaluation.captions.corpus_bleu`` of their rows."""
    said_B = sums["num_words"]
    safe_B = np.where(said_B > 0, said_B, 1.0)
    penalty_B = np.where(
        said_B > 0, np.exp(np.minimum(0.0, 1.0 - sums["closest_reference_words"] / safe_B)), 0.0
    )
    log_B = np.zeros_like(said_B)
    for n in range(1, order + 1):
        share_B = _ratio(sums[f"matches_{n}"], sums[f"grams_{n}"])
        log_B += np.where(share_B > 0, np.log(np.where(share_B > 0, share_B, 1.0)), -np.inf)
    return np.asarray(penalty_B * np.exp(log_B / order))


def _meteor(sums: _Sums) -> FloatArray:
    return meteor_scores(np.stack([sums[name] for name in COUNTS], axis=1), sums["whole_chunks"])
