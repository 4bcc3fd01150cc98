"""What a promotion asks for, as data: limits, the metric that must rise, the metrics that must not fall."""

import hashlib
import json
from dataclasses import asdict, dataclass

from evaluation.bootstrap import supports
from evaluation.definition import DETECTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """A metric may not lie below a value."""

    metric: str
    at_least: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """A metric may not lie above a value; keeps recall from being bought with a flood of detections."""

    metric: str
    at_most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Primary:
    """The metric in which a challenger must beat the champion."""

    metric: str
    min_gain: float
    """The lower end of the interval of the gain must lie above this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NonInferior:
    """A metric in which a challenger may not lose much to the champion."""

    metric: str
    max_drop: float
    """The lower end of the interval of the gain must not lie below minus this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of one gate; its hash stands in every decision."""

    split: str
    """Name of the split that must have been evaluated."""
    floors: tuple[Floor, ...]
    ceilings: tuple[Ceiling, ...]
    primary: Primary
    non_inferior: tuple[NonInferior, ...]
    alpha: float
    """Share of the resamples outside an interval, half on each side."""
    resamples: int
    """Number of bootstrap resamples of the images."""
    seed: int

    def __post_init__(self) -> None:
        """Refuse rules that could not be applied, or would let anything pass.

        Raises:
            ValueError: With the metric or number at fault.
        """
        for name in self.metrics:
            DETECTION.spec(name)
        for name in self.compared:
            if not supports(name):
                raise ValueError(f"{name!r} has no interval: it cannot be recomputed for a sample of images.")
        if not self.floors:
            raise ValueError("floors must name at least one metric: without one anything could pass.")
        for floor in self.floors:
            _check_limit("at_least", floor.metric, floor.at_least)
        for ceiling in self.ceilings:
            _check_limit("at_most", ceiling.metric, ceiling.at_most)
        _check_range("min_gain", self.primary.min_gain, 0.0, 1.0)
        for item in self.non_inferior:
            _check_range("max_drop", item.max_drop, 0.0, 1.0)
        _check_range("alpha", self.alpha, 0.001, 0.2)
        _check_range("resamples", self.resamples, 100, 1e6)
        _check_range("seed", self.seed, 0, 2**63)

    @property
    def compared(self) -> tuple[str, ...]:
        """Every metric in which candidate and champion are compared, the primary first."""
        return tuple(dict.fromkeys([self.primary.metric, *(item.metric for item in self.non_inferior)]))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that some rule reads, each once."""
        limits = [*(item.metric for item in self.floors), *(item.metric for item in self.ceilings)]
        return tuple(dict.fromkeys([*limits, *self.compared]))

    @property
    def sha256(self) -> str:
        """Identity: the hash of the canonical JSON."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def _check_limit(name: str, metric: str, limit: float) -> None:
    if not DETECTION.spec(metric).accepts(limit):
        raise ValueError(f"{name} of {metric} must lie in the range of the metric, got {limit}.")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must lie from {low:g} to {high:g}, got {value}.")
