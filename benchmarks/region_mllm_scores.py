"""From answers to numbers: shares of right answers with intervals, and differences between systems.

A question is right if the answer is that of the world but for case, white space and a full stop. Values are
means over seeds; the bootstrap of the intervals draws images and seeds anew, alike for all systems.

Shape suffixes:
    S = seeds   I = images   B = resamples
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.region_mllm_world import Asked
from evaluation.bootstrap import draw_weights
from evaluation.questions import exact_match

ALPHA, RESAMPLES = 0.05, 2000
Floats = NDArray[np.float64]
Counts = dict[str, list[list[int]]]
"""Of one run, by kind of question: for each image how many were asked and how many answered right."""


def count(asked: Sequence[Asked], said: Sequence[str], images: int) -> Counts:
    """Count by kind and image."""
    found: Counts = {}
    for item, text in zip(asked, said, strict=True):
        total, right = found.setdefault(item.kind, [[0] * images, [0] * images])
        total[item.image] += 1
        right[item.image] += exact_match(text, [item.answer])
    return found


def merge(counts: Counts, kinds: Sequence[str]) -> list[list[int]]:
    """Add several kinds up."""
    return np.sum([counts[kind] for kind in kinds], axis=0).tolist()  # type: ignore[no-any-return]


def share(runs: Sequence[Sequence[Sequence[int]]]) -> dict[str, Any]:
    """Return the mean share of right answers with its interval, and the share of each seed.

    Args:
        runs: For each seed what was asked and answered right, by image.
    """
    sum_S2I = np.array(runs, np.float64)
    return {"value": _triple(*_measure(sum_S2I)), "by_seed": _rounded(_measure(sum_S2I)[0])}


def difference(
    ours: Sequence[Sequence[Sequence[int]]], theirs: Sequence[Sequence[Sequence[int]]]
) -> list[float]:
    """Return how much larger the share of one system is, on the same images and seeds, with its interval."""
    one, other = _measure(np.array(ours, np.float64)), _measure(np.array(theirs, np.float64))
    return _triple(one[0] - other[0], one[1] - other[1])


def _measure(sum_S2I: Floats) -> tuple[Floats, Floats]:
    """Return the share of each seed, (S,), and under drawn weights of the images, (B, S)."""
    weight_BI = draw_weights(sum_S2I.shape[2], resamples=RESAMPLES, seed=0)
    asked_BS, right_BS = (weight_BI @ sum_S2I[:, part].T for part in range(2))
    return sum_S2I[:, 1].sum(axis=1) / sum_S2I[:, 0].sum(axis=1), right_BS / asked_BS


def _triple(value_S: Floats, value_BS: Floats) -> list[float]:
    seeds = len(value_S)
    weight_BS = draw_weights(seeds, resamples=RESAMPLES, seed=1)
    low, high = np.quantile((value_BS * weight_BS).sum(axis=1) / seeds, [ALPHA / 2, 1 - ALPHA / 2])
    return _rounded([fmean(value_S), low, high])


def _rounded(values: Sequence[float] | Floats) -> list[float]:
    return [round(float(value), 4) for value in values]


def beside(results: Sequence[Mapping[str, Any]], kinds: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Put the shares of a system beside those of the untrained one and of shuffled questions.

    Args:
        results: Of each seed: counts under ``trained``, ``untrained`` and ``shuffled``.
        kinds: What is reported -> kinds of questions that are added up.
    """
    return {
        name: {
            "questions": int(np.sum(merge(results[0]["trained"], parts)[0])),
            **{
                way: share([merge(result[way], parts) for result in results])
                for way in ("trained", "untrained", "shuffled")
            },
        }
        for name, parts in kinds.items()
    }
