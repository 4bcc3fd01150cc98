"""How far each number would move if the images were drawn anew, on the gate's own resamples.

The gate's seed, count and level are read from its decision, so an interval here and the one the verdict
rests on come from the same draws.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evaluation import bootstrap
from evaluation.bootstrap import FloatArray, Interval, Method
from evaluation.intervals import bca_interval, leave_out_weights, percentile_interval
from evaluation.tables import Tables

_FEWEST = 2  # images: one image drawn anew is itself


def resample(
    evaluation: Path, champion: Path | None, decision: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Resample every metric that the tables hold enough for.

    Args:
        evaluation: Directory of the candidate's evaluation.
        champion: Directory of the champion's; None if there is none.
        decision: States ``alpha``, ``resamples``, ``seed`` and ``interval``, how the ends are read off the
            resamples; a decision of an older release has no ``interval`` and took percentiles.
        names: Metrics that have a value.

    Returns:
        Intervals of the values, and of candidate minus champion paired by image. A metric is absent where a
        resample holds no region, where BCa has no answer, or where both models did not see the same images.
    """
    tables = _read_tables(evaluation)
    before = None if champion is None else _read_tables(champion)
    if before is not None and not before.per_image["image_id"].equals(tables.per_image["image_id"]):
        before = None
    num_images = len(tables.per_image)
    drawn = bootstrap.draw_weights(num_images, resamples=decision["resamples"], seed=decision["seed"])
    method = decision.get("interval", "percentile")
    rows = [np.ones((1, num_images)), drawn]
    rows += [leave_out_weights(num_images)] if method == "bca" else []
    weights = np.vstack(rows)
    read = partial(_read, num=len(drawn), alpha=decision["alpha"], method=method)
    values: dict[str, Interval | None] = {}
    differences: dict[str, Interval | None] = {}
    for name in names:
        ours = _recompute(tables, name, weights)
        if ours is None or num_images < _FEWEST:
            continue
        values[name] = read(ours)
        theirs = None if before is None else _recompute(before, name, weights)
        differences[name] = None if theirs is None else read(ours - theirs)
    return _found(values), _found(differences)


def _found(intervals: Mapping[str, Interval | None]) -> dict[str, Interval]:
    return {name: interval for name, interval in intervals.items() if interval is not None}


def _read_tables(evaluation: Path) -> Tables:
    return Tables(
        per_image=pd.read_parquet(evaluation / "per_image.parquet"),
        matches=pd.read_parquet(evaluation / "matches.parquet"),
    )


def _recompute(tables: Tables, name: str, weights: FloatArray) -> FloatArray | None:
    if not bootstrap.supports(name):
        return None
    try:
        return bootstrap.recompute(tables, name, weights)
    except ValueError:  # a resample without a region: no interval is the honest answer
        return None


def _read(values: FloatArray, *, num: int, alpha: float, method: Method) -> Interval | None:
    """Read the interval off the images as they are, the resamples, and for BCa the images left out."""
    value, resampled, left_out = float(values[0]), values[1 : 1 + num], values[1 + num :]
    if method == "percentile":
        return percentile_interval(value, resampled, alpha=alpha)
    try:
        return bca_interval(value, resampled, left_out, alpha=alpha)
    except ValueError:  # all resamples on one side: no interval is the honest answer
        return None
