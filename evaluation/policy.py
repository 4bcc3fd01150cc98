"""What a promotion asks for, as data: limits, the metric that must rise, the metrics that must not fall."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Any

from evaluation.bootstrap import Method, supports
from evaluation.definition import DETECTION, Definition
from evaluation.ref_boxes import REF_BOXES
from evaluation.ref_masks import REF_MASKS
from evaluation.weighted import has_categories

_DEFINITIONS = {definition.name: definition for definition in (DETECTION, REF_BOXES, REF_MASKS)}
_OF_AN_IMAGE = "detections_per_image"
_SHARE_OF_REGIONS = re.compile(r"(box|mask)\.(recall50|ar_\w+)")


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
    each_image: bool = False
    """Whether the fullest image is held to it, not the mean; for ``detections_per_image`` alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFloor:
    """A metric of single categories may not lie below a value; a category without regions is an objection.

    Of many categories with few regions some miss a floor by luck. ``min_objects`` leaves the rarest out, and
    the decision lists them; ``confidence`` rejects only what luck does not explain.
    """

    metric: str
    at_least: float
    categories: tuple[str, ...] = ()
    """Names; none: every category of the dataset."""
    min_objects: int = 0
    """A category with fewer regions is not judged, and listed as such; 0: every category is judged."""
    confidence: float | None = None
    """A category misses the floor only if the upper end of its one-sided interval lies below it (Wilson, see
    ``evaluation.proportions``; for ``recall50`` and ``ar_*``). Regions of one image count as independent,
    which makes the interval rather too narrow: the rule is strict. None: the value itself is held to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MustPass:
    """A metric may not lie below a value on any of some images; an image that is gone is an objection too."""

    metric: str
    at_least: float
    image_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSize:
    """How much a metric must rest on at least to be believed."""

    metric: str
    images: int
    """With at least one item."""
    objects: int
    """Items: regions, detections or expressions, see ``evaluation.bootstrap.counted``."""


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
    definition: str = DETECTION.name
    """Name of the definition that the metrics are of."""
    interval: Method = "percentile"
    class_floors: tuple[ClassFloor, ...] = ()
    must_pass: tuple[MustPass, ...] = ()
    sample_sizes: tuple[SampleSize, ...] = ()
    max_uses: int | None = None
    """So many different models may be judged on one version of the split; then only new data promotes. Of N
    equal challengers one wins by luck N times as likely as a single one. None: they are counted only."""
    sealed: bool = False
    """Only a promotion judges on the split: it is not looked at while models are chosen."""

    def __post_init__(self) -> None:
        """Refuse rules that could not be applied, or would let anything pass.

        Raises:
            ValueError: With the metric or number at fault.
        """
        if self.definition not in _DEFINITIONS:
            raise ValueError(f"definition must be one of {list(_DEFINITIONS)}, got {self.definition!r}.")
        if self.interval not in ("percentile", "bca"):
            raise ValueError(f"interval must be 'percentile' or 'bca', got {self.interval!r}.")
        for name in self.metrics:
            self.judges.spec(name)
        for name in self.compared:
            _check_recomputed(name, "interval: it cannot be recomputed for a sample of images")
        if not self.floors:
            raise ValueError("floors must name at least one metric: without one anything could pass.")
        lowest: tuple[Floor | ClassFloor | MustPass, ...] = (
            *self.floors,
            *self.class_floors,
            *self.must_pass,
        )
        for floor in lowest:
            self._check_limit("at_least", floor.metric, floor.at_least)
        for ceiling in self.ceilings:
            self._check_limit("at_most", ceiling.metric, ceiling.at_most)
            if ceiling.each_image and ceiling.metric != _OF_AN_IMAGE:
                raise ValueError(f"each_image is for {_OF_AN_IMAGE} alone, got {ceiling.metric!r}.")
        self._check_single()
        _check_range("min_gain", self.primary.min_gain, 0.0, 1.0)
        for item in self.non_inferior:
            _check_range("max_drop", item.max_drop, 0.0, 1.0)
        _check_range("alpha", self.alpha, 0.001, 0.2)
        _check_range("resamples", self.resamples, 100, 1e6)
        _check_range("seed", self.seed, 0, 2**63)
        _check_range("max_uses", 1 if self.max_uses is None else self.max_uses, 1, 1e9)

    def _check_single(self) -> None:
        """Check the rules about single categories, images and samples."""
        for floor in self.class_floors:
            if not has_categories(floor.metric):
                raise ValueError(f"{floor.metric!r} has no value of one category.")
            _check_once(f"categories of {floor.metric}", floor.categories)
            _check_range(f"min_objects of {floor.metric}", floor.min_objects, 0, 1e9)
            if floor.confidence is not None:
                _check_range(f"confidence of {floor.metric}", floor.confidence, 0.5, 0.9999)
                if not _SHARE_OF_REGIONS.fullmatch(floor.metric):
                    raise ValueError(f"confidence is for recall50 and ar_* alone, got {floor.metric!r}.")
        for item in self.must_pass:
            _check_recomputed(item.metric, "value on one image")
            if not self.judges.spec(item.metric).higher_is_better:
                raise ValueError(f"must_pass needs a metric that should rise, got {item.metric!r}.")
            if not item.image_ids:
                raise ValueError(f"image_ids of {item.metric} must name at least one image.")
            _check_once(f"image_ids of {item.metric}", item.image_ids)
        for size in self.sample_sizes:
            _check_recomputed(size.metric, "count: it cannot be recomputed from the tables")
            for name, least in (("images", size.images), ("objects", size.objects)):
                _check_range(f"{name} of {size.metric}", least, 1, 1e9)

    def _check_limit(self, name: str, metric: str, limit: float) -> None:
        if not self.judges.spec(metric).accepts(limit):
            raise ValueError(f"{name} of {metric} must lie in the range of the metric, got {limit}.")

    @property
    def judges(self) -> Definition:
        """The definition that the metrics are of."""
        return _DEFINITIONS[self.definition]

    @property
    def compared(self) -> tuple[str, ...]:
        """Every metric in which candidate and champion are compared, the primary first."""
        return tuple(dict.fromkeys([self.primary.metric, *(item.metric for item in self.non_inferior)]))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that some rule reads, each once."""
        limits = [*(item.metric for item in self.floors), *(item.metric for item in self.ceilings)]
        single = [*(item.metric for item in self.class_floors), *(item.metric for item in self.must_pass)]
        sizes = [item.metric for item in self.sample_sizes]
        return tuple(dict.fromkeys([*limits, *single, *sizes, *self.compared]))

    @property
    def sha256(self) -> str:
        """Identity: the hash of the canonical JSON.

        A field that has a default and is left at it is not in there: a rule that is new to the gate leaves
        the hash of every policy that does not use it as it was.
        """
        return hashlib.sha256(json.dumps(_stated(self), sort_keys=True).encode()).hexdigest()


def _stated(value: Any) -> Any:  # noqa: ANN401
    """Turn rules into plain JSON values, without the fields left at their default."""
    if isinstance(value, tuple):
        return [_stated(item) for item in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    return dict(_stated_fields(value))


def _stated_fields(rule: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    for field in fields(rule):
        value = getattr(rule, field.name)
        if field.default is MISSING or value != field.default:
            yield field.name, _stated(value)


def _check_recomputed(metric: str, what: str) -> None:
    if not supports(metric):
        raise ValueError(f"{metric!r} has no {what}.")


def _check_once(name: str, values: tuple[str, ...] | tuple[int, ...]) -> None:
    if len(set(values)) != len(values):
        raise ValueError(f"{name} must name each once, got {list(values)}.")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must lie from {low:g} to {high:g}, got {value}.")
