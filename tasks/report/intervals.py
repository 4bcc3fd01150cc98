"""How far each number would move if the images were drawn anew, on the gate's own resamples.

The gate's seed, count and level are read from its decision, so an interval here and the one the verdict
rests on come from the same draws.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evaluation import bootstrap
from evaluation.bootstrap import FloatArray, Interval
from evaluation.tables import Tables

_FEWEST = 2  # images: one image drawn anew is itself


def resample(
    evaluation: Path, champion: Path | None, decision: Mapping[str, Any], names: Sequence[str]
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Resample every metric that the tables hold enough for.

    Args:
        evaluation: Directory of the candidate's evaluation.
        champion: Directory of the champion's; None if there is none.
        decision: States ``alpha``, ``resamples`` and ``seed``.
        names: Metrics that have a value.

    Returns:
        Intervals of the values, and of candidate minus champion paired by image. A metric is absent where a
        resample holds no region, or where both models did not see the same images.
    """
    tables = _read_tables(evaluation)
    before = None if champion is None else _read_tables(champion)
    if before is not None and not before.per_image["image_id"].equals(tables.per_image["image_id"]):
        before = None
    num_images = len(tables.per_image)
    drawn = bootstrap.draw_weights(num_images, resamples=decision["resamples"], seed=decision["seed"])
    weights = np.vstack([np.ones((1, num_images)), drawn])
    values, differences = {}, {}
    for name in names:
        ours = _recompute(tables, name, weights)
        if ours is None or num_images < _FEWEST:
            continue
        values[name] = _percentiles(ours, decision["alpha"])
        theirs = None if before is None else _recompute(before, name, weights)
        if theirs is not None:
            differences[name] = _percentiles(ours - theirs, decision["alpha"])
    return values, differences


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


def _percentiles(values: FloatArray, alpha: float) -> Interval:
    """Read the interval off the resamples; the first value is that of the images as they are."""
    low, high = np.quantile(values[1:], [alpha / 2, 1 - alpha / 2])
    return Interval(value=float(values[0]), low=float(low), high=float(high), alpha=alpha)
