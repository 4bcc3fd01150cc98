"""Time several ways of one computation beside each other."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What one way costs, in milliseconds a call."""

    median_ms: float
    min_ms: float
    lower_quartile_ms: float
    upper_quartile_ms: float
    calls: int
    """Calls in each run; their mean is one measurement."""


def interleave(
    methods: Mapping[str, Callable[[], object]], *, runs: int, at_least_ms: float = 5.0
) -> tuple[dict[str, Timing], dict[str, object]]:
    """Warm every method up, then run all of them in turn, ``runs`` times over.

    What slows the machine for a while then slows all of them, and ratios stay honest.

    Args:
        methods: What to call, by name.
        runs: Measurements of each, at least 1.
        at_least_ms: A measurement repeats a short call until it lasts about this long.

    Returns:
        The timing and the last result of each method.
    """
    results, calls = {}, {}
    for name, method in methods.items():
        method()
        started = _now()
        results[name] = method()
        elapsed_ms = 1e3 * (_now() - started)
        calls[name] = max(1, round(at_least_ms / max(elapsed_ms, 1e-3)))
    measured: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(runs):
        for name, method in methods.items():
            started = _now()
            for _ in range(calls[name]):
                method()
            measured[name].append(1e3 * (_now() - started) / calls[name])
    return {name: _summary(times, calls[name]) for name, times in measured.items()}, results


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _summary(times: list[float], calls: int) -> Timing:
    lower, median, upper = (
        statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    )
    low = min(times)
    return Timing(
        median_ms=round(median, 4),
        min_ms=round(low, 4),
        lower_quartile_ms=round(lower, 4),
        upper_quartile_ms=round(upper, 4),
        calls=calls,
    )
